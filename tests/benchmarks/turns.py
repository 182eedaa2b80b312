"""A turn in a conversation of 10,000 turns, against one in a conversation of 10; both in a file.

Run `python -m tests.benchmarks.turns`; it prints the figures and fails past its bound.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from gprochat_magic import Chat, conversations
from gprochat_magic.store import Store
from tests.benchmarks.table import Row, in_turn, told
from tests.gateways import served
from tests.store.histories import fill

RATIO = 1.5
"""A turn in the long conversation against one in the short, at most."""
FEW = 10


def turn(chat: Chat) -> float:
    """Milliseconds of one prompt, its reply kept."""
    began = time.perf_counter()
    assert chat.ask_blocking("hello").text == "ok"
    return (time.perf_counter() - began) * 1e3


def rows(turns: int = 10_000, rounds: int = 60) -> list[Row]:
    """Measure in both conversations in turn."""
    with tempfile.TemporaryDirectory() as folder, served() as far:
        path = Path(folder) / "history.sqlite"
        store = Store(path)
        for name, count in (("long", turns), ("short", FEW)):
            fill(store, name, count, reply="слово reply " * 40)
        store.close(60)
        settings = {**far.environment, "GPROCHAT_STORE": str(path), "GPROCHAT_WIRE": "turns"}
        with mock.patch.dict(os.environ, settings):
            long, short = Chat("long"), Chat("short")
            for chat in (long, short):
                turn(chat)
            in_long, in_short, ratio = in_turn(
                functools.partial(turn, long), functools.partial(turn, short), rounds=rounds
            )
            conversations.close()
    return [
        Row(
            f"a turn in a conversation of {turns:,} turns, against one of {FEW}",
            f"{in_long:.1f} ms",
            f"{in_short:.1f} ms",
            ratio,
            at_most=RATIO,
        )
    ]


def main(turns: int = 10_000, rounds: int = 60) -> int:
    """Measure, print, and say with the exit status whether the bound holds."""
    return told(rows(turns, rounds))


if __name__ == "__main__":
    sys.exit(main())
