"""Frames, series and arrays in a few lines: shape, types, what is missing, statistics, first rows.

Invariants: the description of a table of any size stays within `MOST` bytes; the data are read in
place, a piece at a time, never copied whole; a cell is masked before it is cut. The libraries are
not imported: a value of theirs is here only if they are.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gprochat_magic.masking import MASK, is_secret_name, masked

MOST = 1_600
"""Bytes of UTF-8 that a description has at most; what is put around it fits into 2 kB with it."""
_COLUMNS = 1_000
"""Bytes of them for the list of columns."""
_ROWS, _ACROSS, _CELL, _NAME = 5, 8, 24, 40
_CHUNK = 65_536
_LONG = 2_000
"""Characters of one cell that are looked at; it is cut far below that."""


@dataclass(frozen=True)
class Column:
    """A column: its name and type, how many values are missing, its statistics, its first values.

    `numeric` ones are never secrets, whatever their name.
    """

    name: str
    kind: str
    missing: int
    statistics: str
    first: list[Any]
    numeric: bool = False


@dataclass
class Cells:
    """Values as short text, masked; `hidden` counts what was masked."""

    hidden: int = 0

    def name(self, column: Column) -> str:
        """A column's name, in one line."""
        return self.short(column.name, _NAME)

    def value(self, value: object, column: Column) -> str:
        """A value, in one line."""
        if is_secret_name(column.name) and not column.numeric:
            self.hidden += 1
            return MASK
        return self.short(_number(value))

    def short(self, text: str, most: int = _CELL) -> str:
        """A text in one line, cut."""
        clean, count = masked(text[:_LONG])
        self.hidden += count
        line = " ".join(clean.split())
        return line if len(line) <= most else line[: most - 1] + "…"


def described(value: Any) -> tuple[str, int] | None:
    """A frame, series or array in words, and how much was masked; None for what is none of them."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(value).__mro__}
    if "pandas.DataFrame" in kinds:
        rows, width = value.shape
        columns = (_pandas_column(str(name), value.iloc[:, at]) for at, name in enumerate(value))
        return _told(f"{rows:,} rows x {width:,} columns", columns, width)
    if "pandas.Series" in kinds:
        return _told(f"{len(value):,} values", [_pandas_column(str(value.name), value)], 1)
    if "polars.DataFrame" in kinds:
        rows, width = value.shape
        columns = (_polars_column(value.to_series(at)) for at in range(width))
        return _told(f"{rows:,} rows x {width:,} columns", columns, width)
    if "polars.Series" in kinds:
        return _told(f"{len(value):,} values", [_polars_column(value)], 1)
    return _array(value) if "numpy.ndarray" in kinds else None


def _told(shape: str, columns: Iterable[Column], width: int) -> tuple[str, int]:
    cells = Cells()
    shown: list[Column] = []
    lines = [shape, "column: type, missing values; statistics"]
    # Lazily: the columns that do not fit are never read.
    for column in columns:
        line = f"  {cells.name(column)}: {column.kind[:_NAME]}, {column.missing:,} missing"
        line += f"; {column.statistics}" if column.statistics else ""
        if _size([*lines, line]) > _COLUMNS:
            break
        lines.append(line)
        shown.append(column)
    if len(shown) < width:
        lines.append(f"  … and {width - len(shown):,} more columns")
    _add_rows(lines, shown[:_ACROSS], cells)
    return "\n".join(lines), cells.hidden


def _add_rows(lines: list[str], columns: list[Column], cells: Cells) -> None:
    """Put the first rows behind the columns: as many as fit, of fewer columns if none does."""
    while columns and columns[0].first:
        head = ["first rows:", " | ".join(cells.name(column) for column in columns)]
        fitting = list(head)
        for row in zip(*(column.first for column in columns), strict=True):
            line = " | ".join(map(cells.value, row, columns))
            if _size([*lines, *fitting, line]) > MOST:
                break
            fitting.append(line)
        if len(fitting) > len(head):
            lines += fitting
            return
        columns = columns[:-1]


def _size(lines: list[str]) -> int:
    return len("\n".join(lines).encode("utf-8", "replace"))


def _pandas_column(name: str, series: Any) -> Column:
    dtype = series.dtype
    first = series.iloc[:_ROWS].tolist()
    # A plain type's values can be seen in place; an extension type's would be copied for that.
    plain = type(dtype).__module__.partition(".")[0] == "numpy"
    if plain and dtype.kind in "iufb":
        found = _moments(series.to_numpy())
        return Column(name, str(dtype), found.missing, found.told(sample=True), first, numeric=True)
    missing = int(series.isna().sum())
    numeric = sys.modules["pandas"].api.types.is_numeric_dtype(dtype) and dtype.kind != "c"
    present = missing < len(series)
    statistics = ""
    if numeric and present:
        statistics = _statistics(series.mean(), series.std(), series.min(), series.max())
    elif plain and dtype.kind in "mM" and present:
        statistics = f"{series.min()} to {series.max()}"
    return Column(name, str(dtype), missing, statistics, first, numeric=bool(numeric))


def _polars_column(series: Any) -> Column:
    numeric = series.dtype.is_numeric()
    statistics = ""
    if series.null_count() < len(series):
        if numeric:
            statistics = _statistics(series.mean(), series.std(), series.min(), series.max())
        elif series.dtype.is_temporal():
            statistics = f"{series.min()} to {series.max()}"
    first = series.head(_ROWS).to_list()
    return Column(
        series.name, str(series.dtype), series.null_count(), statistics, first, numeric=numeric
    )


def _array(array: Any) -> tuple[str, int]:
    lines = [f"shape {array.shape}, dtype {array.dtype}"[: _NAME * 8] + f", {array.nbytes:,} bytes"]
    if array.dtype.kind in "iufb":
        found = _moments(array)
        lines.append(f"{found.missing:,} missing (NaN)" if array.dtype.kind == "f" else "")
        lines.append(found.told(sample=False))
    cells = Cells()
    # numpy walks through no more dimensions than 32.
    values = (
        []
        if array.ndim > 32
        else [cells.short(_number(value)) for value in array.flat[: 4 * _ROWS].tolist()]
    )
    if values:
        more = ", …" if array.size > len(values) else ""
        lines.append(f"first values: {', '.join(values)}{more}")
    return "\n".join(filter(None, lines)), cells.hidden


@dataclass
class Moments:
    """Count, mean, spread and range of the numbers seen so far; `missing` were no numbers."""

    count: int = 0
    missing: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, count: int, mean: float, squares: float) -> None:
        """Take in a piece: exact also where the spread is small beside the mean."""
        away = mean - self.mean
        both = self.count + count
        self.squares += squares + away * away * self.count * count / both
        self.mean += away * count / both
        self.count = both

    def told(self, *, sample: bool) -> str:
        """The statistics in words; none where there was no number."""
        degrees = self.count - 1 if sample else self.count
        spread = math.sqrt(self.squares / degrees) if degrees > 0 and self.squares >= 0 else None
        return _statistics(self.mean, spread, self.low, self.high) if self.count else ""


def _moments(array: Any) -> Moments:
    numpy: Any = sys.modules["numpy"]
    found = Moments()
    pieces = numpy.nditer(
        array, flags=["external_loop", "buffered", "zerosize_ok"], buffersize=_CHUNK
    )
    with numpy.errstate(all="ignore"):
        for piece in pieces if array.size else ():
            good = piece[~numpy.isnan(piece)] if array.dtype.kind == "f" else piece
            found.missing += piece.size - good.size
            if not good.size:
                continue
            found.low = min(found.low, good.min().item())
            found.high = max(found.high, good.max().item())
            numbers = good.astype(numpy.float64)
            mean = float(numbers.mean())
            found.add(good.size, mean, float(((numbers - mean) ** 2).sum()))
    return found


def _statistics(mean: Any, spread: Any, low: Any, high: Any) -> str:
    known = {"mean": mean, "std": spread, "min": low, "max": high}
    return ", ".join(
        f"{name} {_number(value)}" for name, value in known.items() if value is not None
    )


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
