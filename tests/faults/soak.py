"""Thousands of turns one after another, and what the process holds on to meanwhile.

Run `python -m tests.faults.soak --turns 10000`. Real chats, the real engine, a real gateway on
loopback, conversations in a real file; one turn in ten breaks off and one is stopped. Prints a line
of figures for each tenth, and exits with 1 if they do not stay flat after the first two.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gprochat_magic import Chat, config, conversations, engine
from gprochat_magic.conversation import Conversation
from gprochat_magic.conversations import Line
from gprochat_magic.errors import GPROChatError
from gprochat_magic.gateway.backends import BackendError
from tests.faults import texts
from tests.faults.watching import watching
from tests.gateways import Served, served

LENGTH = 50
"""Turns in a conversation before it is deleted and the next one begun. A process remembers what it
wrote, should the file go away, so what is kept would be all that grows."""
WARM = 2
"""Tenths that are not compared: caches fill."""
GROWTH = 16 * 2**20
"""Bytes by which memory may grow from the warm tenths to the last one."""


@dataclass(frozen=True)
class Figures:
    """What is held after so many turns. `memory` is in bytes, `seconds` since the start."""

    turns: int
    memory: int
    held: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        held = "".join(f"{count:13}" for count in self.held.values())
        return f"{self.turns:7} {self.memory / 2**20:12.1f}{held}{self.seconds:10.0f}"


@dataclass
class Course:
    """The figures of a soak, tenth by tenth, and how its turns ended."""

    figures: list[Figures] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    @property
    def growth(self) -> int:
        """Bytes of memory from the warm tenths to the last one."""
        return self.figures[-1].memory - self.figures[WARM - 1].memory

    @property
    def flat(self) -> bool:
        """Whether nothing grew that must not."""
        warm, last = self.figures[WARM - 1], self.figures[-1]
        more = [name for name, count in last.held.items() if count > warm.held[name]]
        return not more and not self.complaints and self.growth <= GROWTH

    def __str__(self) -> str:
        names = "".join(f"{name:>13}" for name in self.figures[0].held)
        rows = [f"{'turns':>7} {'memory, MiB':>12}{names}{'seconds':>10}", *map(str, self.figures)]
        ends = ", ".join(f"{count} {state}" for state, count in sorted(self.ends.items()))
        rows.append(f"{ends}; memory grew by {self.growth / 2**20:.1f} MiB after the warm-up")
        return "\n".join(rows + [f"complaint: {each}" for each in self.complaints[:20]])


async def soak(turns: int, seed: int) -> Course:
    """So many turns, in order."""
    dice, course, began = random.Random(seed), Course(), time.monotonic()
    chat = Chat.of(Line(Conversation("first")))
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(watching())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        gateway = stack.enter_context(served())
        settings = config.Settings(
            api_endpoint=gateway.gateway.endpoint,
            secret_key=gateway.gateway.secret,
            store=str(Path(folder) / "history.sqlite"),
        )
        config.put_in_force(settings)
        stack.callback(config.withdraw, settings)
        stack.callback(conversations.close)
        stack.callback(engine.shared().stop)
        for number in range(1, turns + 1):
            course.ends[await _turn(chat, gateway, number, dice)] += 1
            if number % LENGTH == 0:
                kept = conversations.shared().store
                await asyncio.wrap_future(kept.delete(chat.conversation.id))
                chat = Chat.of(Line(Conversation(f"after {number}")))
            if number % max(1, turns // 10) == 0:
                gc.collect()
                seconds = time.monotonic() - began
                course.figures.append(Figures(number, watch.memory(), watch.held(), seconds))
    course.complaints = watch.complaints
    return course


async def _turn(chat: Chat, gateway: Served, number: int, dice: random.Random) -> str:
    """One turn, its text checked; says how it ended."""
    backend = gateway.backend
    backend.pieces = [f"{number} ", *(texts.text(dice, 8) for _ in range(dice.randint(1, 20)))]
    stopped, refused = number % 10 == 5, number % 10 == 0
    backend.pause = 0.02 if stopped else 0
    backend.refusal = BackendError(400, "no") if refused else None
    run, pieces = chat.start(f"{number} {texts.text(dice, 8)}"), list[str]()
    with contextlib.suppress(GPROChatError):
        async with contextlib.aclosing(chat.taken(run)) as events:
            async for event in events:
                pieces += [event] if isinstance(event, str) else []
                if stopped:
                    run.stream.cancel()
    # What it notes for other tests would be all that grows.
    backend.asked.clear()
    text, whole = "".join(pieces), "".join(backend.pieces).removeprefix("\ufeff")
    expected = "" if refused else whole[: len(text)] if stopped else whole
    if (text, run.turn.reply) != (expected, expected):
        raise AssertionError(f"turn {number} is not what was sent")
    return run.turn.state


def main(arguments: list[str] | None = None) -> int:
    """Run a soak, print its figures, and say with the exit status whether they are flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    course = asyncio.run(soak(given.turns, given.seed))
    sys.stdout.write(f"{course}\n")
    return int(not course.flat)


if __name__ == "__main__":
    sys.exit(main())
