"""What a server does in one reply of a campaign, and how that reply may end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from gprochat_magic.conversation import State
from tests.faults import texts
from tests.faults.servers import CHUNKED, END, Connection, Script, Step, chunk, head, play, reset

BROKEN: frozenset[State] = frozenset({"interrupted", "failed"})
"""How a reply ends whose end was not reached."""
NOTHING: frozenset[State] = frozenset({"failed"})
WHOLE: frozenset[State] = frozenset({"complete"})
UNPROVEN: frozenset[State] = frozenset({"unverified"})

FRAMINGS = ("chunked", "length", "none")


class Began:
    """A step before the first byte of a body; `at` is the connection that it was sent on."""

    def __init__(self) -> None:
        self.at: int | None = None

    async def __call__(self, connection: Connection) -> None:
        """Note the connection: no other may follow it."""
        self.at = connection.server.connections

    async def reset(self, connection: Connection) -> None:
        """A step that ends the connection with a reset, which may undo what was not read yet."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.server.heard.wait(), 0.05)
        if not connection.server.heard.is_set():
            self.at = None
        await reset(connection)


@dataclass
class Plan:
    """What a server does, connection by connection, and how the reply may end.

    `body` is the text that the last script sends, as bytes; where `all_of_it` is true, none of it
    may be missing from what is shown. The reader stops after `stop` seconds. `settings` are
    seconds too. `refused` has nobody listen. The next send
    comes after `said`.
    """

    scripts: tuple[Script, ...]
    states: frozenset[State]
    body: bytes = b""
    all_of_it: bool = False
    began: Began = field(default_factory=Began)
    settings: dict[str, float] = field(default_factory=dict)
    stop: float | None = None
    refused: bool = False
    said: asyncio.Event | None = None


async def a_moment(connection: Connection) -> None:
    """A step that lets a client in another thread read what was sent, or part of it."""
    await asyncio.sleep(0.001)


def written(dice: random.Random, data: bytes) -> list[Step]:
    """Steps that write bytes in pieces, cut anywhere, with or without a moment in between."""
    steps: list[Step] = []
    for piece in texts.cut(dice, data):
        steps += [piece, a_moment] if dice.random() < 0.4 else [piece]
    return steps


def framed(dice: random.Random, body: bytes, framing: str, *, more: int = 0) -> bytes:
    """Head and body of an answer; no final chunk. `more` is added to the length announced."""
    if framing == "length":
        return head(f"Content-Length: {len(body) + more}") + body
    if framing == "none":
        return head() + body
    return head(CHUNKED) + b"".join(chunk(piece) for piece in texts.cut(dice, body))


def ended(dice: random.Random, body: bytes, framing: str) -> bytes:
    """A whole answer."""
    return framed(dice, body, framing) + (END if framing == "chunked" else b"")


def answered(
    dice: random.Random,
    body: bytes,
    data: bytes,
    *,
    states: frozenset[State],
    then: Iterable[Step] = (),
    before: tuple[Script, ...] = (),
    all_of_it: bool = True,
) -> Plan:
    """A plan in which, after the scripts `before`, these bytes are written, which hold the body."""
    began = Began()
    steps = ([began] if body else []) + written(dice, data)
    last = play(*steps, *then)
    return Plan((*before, last), states, body, all_of_it=all_of_it, began=began)


def sound(
    dice: random.Random,
    body: bytes,
    *,
    framing: str = "",
    before: tuple[Script, ...] = (),
    then: Iterable[Step] = (),
) -> Plan:
    """A plan in which the whole reply comes in the end."""
    framing = framing or dice.choice(FRAMINGS)
    states = UNPROVEN if framing == "none" else WHOLE
    data = ended(dice, body, framing)
    return answered(dice, body, data, states=states, before=before, then=then)
