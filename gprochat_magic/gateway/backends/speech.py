"""The reply that the events of a model's server make: its pieces, its usage, and whether it ended.

What an event says in which dialect is the backends' affair; how a reply is put together is told
here, once for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from gprochat_magic.gateway.backends import BackendError, Speaker, Usage
from gprochat_magic.gateway.backends.events import Halves
from gprochat_magic.gateway.backends.upstream import Answer, Question, Upstream

Event = Mapping[str, Any]


def text_in(event: Event, name: str) -> str:
    """The text that an event has under a name; empty where that is none."""
    value = event.get(name)
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Said:
    """What one event says: more text, why the reply ends, the tokens up to it, the model's name.

    `used_up` says that it ends because no more tokens were allowed, `objection` why the server
    would not go on; the words after "stopped the reply: ".
    """

    text: str = ""
    ends: bool = False
    used_up: bool = False
    objection: str = ""
    usage: Usage | None = None
    model: str = ""


async def spoken(
    upstream: Upstream, question: Question, read: Callable[[Event], Said]
) -> AsyncGenerator[str]:
    """The reply to a question, piece by piece, between a `Speaker` and a `Usage`; see `Backend`.

    `read` tells what an event says, and raises `BackendError` for one that ends it all.
    """
    async with upstream.ask(question) as answer, aclosing(_pieces(answer, read)) as pieces:
        async for piece in pieces:
            yield piece


async def _pieces(answer: Answer, read: Callable[[Event], Said]) -> AsyncGenerator[str]:
    halves, any_text, ends, used_up, objection = Halves(), False, False, False, ""
    usage: Usage | None = None
    async with aclosing(answer.events()) as events:
        async for event in events:
            said = read(event)
            if piece := halves.join(said.text):
                if said.model and not any_text:
                    yield Speaker(said.model)
                any_text = True
                yield piece
            # Some servers count in every event; only the last count is whole.
            usage = usage if said.usage is None else said.usage
            ends, used_up = ends or said.ends, used_up or said.used_up
            objection = objection or said.objection
    if rest := halves.end():
        yield rest
    if usage is not None:
        yield usage
    if objection:
        raise BackendError(422, f"{answer.where} stopped the reply: {objection}")
    answer.check_end(finished=ends, used_up=used_up and not any_text)
