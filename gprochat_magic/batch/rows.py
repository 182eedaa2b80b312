"""The data of a map: a list, a Series or a frame seen as rows with columns, read in place.

The libraries are not imported: a value of theirs is here only if they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from gprochat_magic.batch.template import ITEM
from gprochat_magic.errors import ConfigError

_HINT = "Nothing was sent."
Kind = Literal["list", "pandas", "polars"]


class Rows:
    """Rows in their order. `names` are the columns; `single` says that a row is one value.

    `kind` is the family that the result belongs to, `index` what it takes over from pandas.
    """

    kind: Kind = "list"
    single = False
    is_frame = False
    names: tuple[str, ...] = ()
    index: Any = None
    complete = True
    """Whether these are all rows; false where an iterable of unknown length was cut."""

    def __len__(self) -> int:
        raise NotImplementedError

    def values(self, columns: Sequence[str], start: int, stop: int) -> list[tuple[Any, ...]]:
        """The values of these columns in the rows from `start` to `stop`. Raises `ConfigError`."""
        raise NotImplementedError

    def beside(self, answers: Any, column: str) -> Any:
        """The frame with the answers, a Series, in a column of that name. Only a frame has it."""
        raise NotImplementedError

    def label(self, number: int) -> Any:
        """How the data themselves call a row: its label in the index, else its number."""
        return number if self.index is None else self.index[number]


class _List(Rows):
    def __init__(self, values: Sequence[Any], *, complete: bool) -> None:
        self._values, self.complete = values, complete
        first = values[0] if values else None
        if isinstance(first, Mapping):
            dicts = [row for row in values if isinstance(row, Mapping)]
            self.names = tuple(dict.fromkeys(str(key) for row in dicts for key in row))
        elif isinstance(first, tuple):
            fields = getattr(first, "_fields", range(len(first)))
            self.names = tuple(str(field) for field in fields)
        else:
            self.single, self.names = True, (ITEM,)
        self._shape = Mapping if isinstance(first, Mapping) else tuple

    def __len__(self) -> int:
        return len(self._values)

    def values(self, columns: Sequence[str], start: int, stop: int) -> list[tuple[Any, ...]]:
        rows = self._values[start:stop]
        if self.single:
            return [(row,) * len(columns) for row in rows]
        return [self._row(row, columns, start + at) for at, row in enumerate(rows)]

    def _row(self, row: Any, columns: Sequence[str], number: int) -> tuple[Any, ...]:
        if not isinstance(row, self._shape):
            raise ConfigError(
                f"row {number} is a {type(row).__name__}, unlike the first one", hint=_HINT
            )
        if isinstance(row, Mapping):
            found = {str(key): value for key, value in row.items()}
        else:
            found = dict(zip(self.names, row, strict=False))
        for column in columns:
            if column not in found:
                raise ConfigError(f"row {number} has no {column!r}", hint=_HINT)
        return tuple(found[column] for column in columns)


class _Series(Rows):
    single = True

    def __init__(self, series: Any, kind: Kind) -> None:
        self._series, self.kind = series, kind
        name = str(series.name) if series.name not in (None, "") else ITEM
        self.names = tuple(dict.fromkeys((name, ITEM)))
        self.index = series.index if kind == "pandas" else None

    def __len__(self) -> int:
        return len(self._series)

    def values(self, columns: Sequence[str], start: int, stop: int) -> list[tuple[Any, ...]]:
        return [(value,) * len(columns) for value in _cut(self._series, start, stop)]


class _Frame(Rows):
    is_frame = True

    def __init__(self, frame: Any, kind: Kind) -> None:
        self._frame, self.kind = frame, kind
        self.names = tuple(str(name) for name in frame.columns)
        self.index = frame.index if kind == "pandas" else None

    def __len__(self) -> int:
        return int(self._frame.shape[0])

    def values(self, columns: Sequence[str], start: int, stop: int) -> list[tuple[Any, ...]]:
        cut = [_cut(self._column(name), start, stop) for name in columns]
        return list(zip(*cut, strict=True))

    def beside(self, answers: Any, column: str) -> Any:
        if self.kind == "polars":
            return self._frame.head(len(answers)).with_columns(answers.alias(column))
        # Their values alone: an index with doubles could not be matched.
        return self._frame.iloc[: len(answers)].assign(**{column: answers.array})

    def _column(self, name: str) -> Any:
        if self.names.count(name) > 1:
            raise ConfigError(f"more than one column is called {name!r}", hint=_HINT)
        at = self.names.index(name)
        return self._frame.iloc[:, at] if self.kind == "pandas" else self._frame.to_series(at)


def _cut(series: Any, start: int, stop: int) -> list[Any]:
    # A piece at a time: a whole column as Python objects may be many times its size.
    part = series.iloc[start:stop] if hasattr(series, "iloc") else series[start:stop]
    return list(part.tolist() if hasattr(part, "tolist") else part.to_list())


def rows_of(data: Any, *, most: int | None = None) -> Rows:
    """Data as rows. Of an iterable without a length no more than `most` are taken.

    Raises `ConfigError` for what has no rows.
    """
    rows = _seen_as(data, most)
    if not len(rows):
        raise ConfigError("there are no rows", hint=_HINT)
    return rows


def _seen_as(data: Any, most: int | None) -> Rows:
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(data).__mro__}
    for kind in ("pandas", "polars"):
        library: Kind = "pandas" if kind == "pandas" else "polars"
        if f"{kind}.DataFrame" in kinds:
            return _Frame(data, library)
        if f"{kind}.Series" in kinds:
            return _Series(data, library)
    if "polars.LazyFrame" in kinds:
        raise ConfigError("a LazyFrame has no rows yet", hint="Pass frame.collect().")
    if getattr(data, "ndim", 1) != 1:
        raise ConfigError("an array must have one dimension", hint="Make it a DataFrame.")
    if isinstance(data, (str, bytes, Mapping)) or not isinstance(data, Iterable):
        raise ConfigError(
            f"a {type(data).__name__} is no rows of data",
            hint="Pass a list, a Series, a DataFrame, or anything else to iterate over.",
        )
    if isinstance(data, list):
        return _List(data, complete=True)
    if most is None or hasattr(data, "__len__"):
        return _List(list(data), complete=True)
    taken = list(itertools.islice(data, most + 1))
    return _List(taken[:most], complete=len(taken) <= most)
