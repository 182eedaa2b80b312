"""What a turn costs in a history of 100,000 turns, against one in an empty file.

Run `python -m tests.benchmarks.history`; it prints the figures and fails past its bounds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from gprochat_magic.store import Store
from tests.store.test_size import grow, seconds, send

OPENING = 0.3
"""Seconds to open the big file and load one of its conversations."""
RATIO = 1.5
"""A turn in the big file against one in an empty file, medians of interleaved rounds."""


def main(turns: int = 100_000, rounds: int = 40) -> int:
    """Measure, print, and say with the exit status whether the bounds hold."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.sqlite"
        grow(path, turns)
        big, small = Store(path), Store(Path(folder) / "small.sqlite")
        opening = seconds(lambda: big.load("c3"))
        conversation, other = big.load("c3").summary.id, small.create("small")
        in_big, in_small = [], []
        for _ in range(rounds):
            in_big.append(seconds(lambda: send(big, conversation)))
            in_small.append(seconds(lambda: send(small, other)))
        big.close()
        small.close()
    ratio = median(in_big) / median(in_small)
    sys.stdout.write(f"{turns} turns: opened in {opening * 1e3:.0f} ms; a turn costs {ratio:.2f}\n")
    return int(opening >= OPENING or ratio >= RATIO)


if __name__ == "__main__":
    sys.exit(main())
