"""What a turn costs in a history of 100,000 turns, against one in an empty file.

Run `python -m tests.benchmarks.history`; it prints the figures and fails past its bounds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from gprochat_magic.store import Store
from tests.benchmarks.table import Row, in_turn, told
from tests.store.test_size import grow, seconds, send

OPENING = 300.0
"""Milliseconds to open the big file and load one of its conversations."""
RATIO = 1.5
"""A turn in the big file against one in an empty file, medians of interleaved rounds."""


def rows(turns: int = 100_000, rounds: int = 40) -> list[Row]:
    """Measure a big file and a small one in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.sqlite"
        grow(path, turns)
        big, small = Store(path), Store(Path(folder) / "small.sqlite")
        opening = seconds(lambda: big.load("c3")) * 1e3
        conversation, other = big.load("c3").summary.id, small.create("small")
        in_big, in_small, ratio = in_turn(
            lambda: seconds(lambda: send(big, conversation)),
            lambda: seconds(lambda: send(small, other)),
            rounds=rounds,
        )
        big.close()
        small.close()
    return [
        Row(
            f"a turn kept in a file of {turns:,}, against an empty file",
            f"{in_big * 1e3:.1f} ms",
            f"{in_small * 1e3:.1f} ms",
            ratio,
            at_most=RATIO,
        ),
        Row(
            f"a file of {turns:,} turns opened, one conversation read",
            f"{opening:.0f} ms",
            "-",
            opening,
            " ms",
            at_most=OPENING,
        ),
    ]


def main(turns: int = 100_000, rounds: int = 40) -> int:
    """Measure, print, and say with the exit status whether the bounds hold."""
    return told(rows(turns, rounds))


if __name__ == "__main__":
    sys.exit(main())
