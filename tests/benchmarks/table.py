"""The frame of every benchmark: rounds in turn, medians, and one table against the budgets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One line of the table. `figure` is what the budget bounds: a ratio, or what `unit` says.

    Without a budget a row only tells.
    """

    what: str
    ours: str
    bare: str
    figure: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the budget holds."""
        low = self.at_least is None or self.figure >= self.at_least
        return low and (self.at_most is None or self.figure <= self.at_most)

    @property
    def budget(self) -> str:
        """The budget in words; a dash where there is none."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}{self.unit}"
        return "-" if self.at_least is None else f">= {self.at_least:g}{self.unit}"

    def cells(self) -> list[str]:
        """What the table shows of it."""
        verdict = "-" if self.budget == "-" else "yes" if self.ok else "NO"
        return [
            self.what,
            self.ours,
            self.bare,
            _short(self.figure) + self.unit,
            self.budget,
            verdict,
        ]


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def in_turn(
    ours: Callable[[], float], bare: Callable[[], float], *, rounds: int
) -> tuple[float, float, float]:
    """Measure one after the other, so many times: both medians, and that of ours over bare.

    The ratio is that of each round, so that a load which comes and goes falls on both.
    """
    pairs = [(bare(), ours()) for _ in range(rounds)]
    plain, mine = (median(values) for values in zip(*pairs, strict=True))
    return mine, plain, median(mine / plain for plain, mine in pairs)


def printed(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Write a table in Markdown, its columns as wide as they need."""
    every = [list(heads), *map(list, lines)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    every.insert(1, ["-" * width for width in widths])
    for cells in every:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        sys.stdout.write(f"| {' | '.join(padded)} |\n")
    sys.stdout.flush()


def told(rows: Sequence[Row]) -> int:
    """Print the rows; the exit status says whether every budget holds."""
    printed(
        ("what", "ours", "bare", "ratio", "budget", "ok"),
        (row.cells() for row in rows),
    )
    return int(not all(row.ok for row in rows))
