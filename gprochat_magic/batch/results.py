"""What a map gives back: a list, a Series or a frame as its data were, with what failed.

The classes for pandas and polars are made at first use, from the library that the data came from.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gprochat_magic.batch.rows import Rows
from gprochat_magic.batch.work import Counts, Failure
from gprochat_magic.errors import GPROChatError

VALUE = "value"
"""The column of what is no object, where objects are spread over columns."""
ERROR = "error"
"""The column of why a row failed, where one did."""


class Mapped:
    """What every result of a map has beside its values.

    `failed` lists the rows that failed, `counts` says what the run took, `estimate` what the rest
    would, after a trial.
    """

    _gprochat: _Origin

    @property
    def failed(self) -> list[Failure]:
        """The rows that failed, in order: number, index and error of each."""
        return self._gprochat.failed

    @property
    def counts(self) -> Counts:
        """What the run took: rows, requests, seconds, tokens."""
        return self._gprochat.counts

    @property
    def estimate(self) -> str:
        """What the rows beyond a trial's `limit` would take, in words; empty if there are none."""
        return self._gprochat.estimate

    def retry_failed(self) -> Any:
        """The result with the rows that failed asked again; nothing else is. From any code."""
        return self._gprochat.again(self._gprochat)

    async def aretry_failed(self) -> Any:
        """`retry_failed`, awaited."""
        return await self._gprochat.again_awaited(self._gprochat)


class _Origin:
    """Where a result comes from, and how its failed rows are asked again."""

    def __init__(
        self,
        values: list[Any],
        failed: Sequence[Failure],
        counts: Counts,
        *,
        estimate: str,
        again: Callable[[_Origin], Any],
        again_awaited: Callable[[_Origin], Any],
    ) -> None:
        self.values = values
        self.failed = sorted(failed, key=lambda each: each.row)
        self.counts, self.estimate = counts, estimate
        self.again, self.again_awaited = again, again_awaited


Origin = _Origin


class MappedList(Mapped, list[Any]):
    """The values in the order of the rows; that of a row that failed is its error."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The run does not go into a pickle: its data and settings belong to this process.
        return list, (list(self),)


def shaped(rows: Rows, origin: Origin, *, spread: bool, column: str = "") -> Any:
    """The values as the data were: a list for a list, else a Series, or a frame if `spread`.

    With `column` it is the frame that the data were, and the values in a column of that name.
    """
    if rows.kind == "list":
        found: Any = MappedList(origin.values)
    elif rows.kind == "pandas":
        found = _pandas(rows, origin.values, spread=spread)
    else:
        found = _polars(origin.values, spread=spread)
    if column:
        whole = rows.beside(found, column)
        kind: Any = type(whole)
        found = _class(kind)(whole)
    object.__setattr__(found, "_gprochat", origin)
    return found


def _pandas(rows: Rows, values: list[Any], *, spread: bool) -> Any:
    pandas: Any = sys.modules["pandas"]
    index = rows.index[: len(values)]
    if not spread:
        return _class(pandas.Series)(values, index=index, dtype=None if values else object)
    return _class(pandas.DataFrame)(_columns(values), index=index)


def _polars(values: list[Any], *, spread: bool) -> Any:
    polars: Any = sys.modules["polars"]
    if not spread:
        texts = [None if isinstance(value, GPROChatError) else value for value in values]
        return _class(polars.Series)("answer", texts, dtype=polars.String)
    return _class(polars.DataFrame)(_columns(values), strict=False)


def _columns(values: list[Any]) -> dict[str, list[Any]]:
    """Objects as columns, in the order in which their keys come up."""
    columns: dict[str, list[Any]] = {}
    for at, value in enumerate(values):
        for name, cell in _cells(value).items():
            columns.setdefault(name, [None] * len(values))[at] = cell
    return columns


def _cells(value: Any) -> dict[str, Any]:
    if isinstance(value, GPROChatError):
        return {ERROR: f"{type(value).__name__}: {value.message}"}
    return value if isinstance(value, dict) else {VALUE: value}


@functools.cache
def _class(base: type) -> type:
    """A class of a library's with what `Mapped` adds. What is computed from it is plain again."""
    plain = property(lambda self: base)
    extra: dict[str, Any] = {
        "__doc__": Mapped.__doc__,
        "_metadata": [],
        "_constructor": plain,
        "__reduce__": lambda self: (_as_it_is, (_plain(base, self),)),
    }
    return type(f"Mapped{base.__name__}", (Mapped, base), extra)


def _plain(base: Any, value: Any) -> Any:
    return base(value)


def _as_it_is(value: Any) -> Any:
    return value
