"""A template over rows: which of its braces name columns, and a row's values put into them.

Braces that name no column stay as typed, but a lone name in braces that is none is taken for a
slip. One pass: what a value contains is never looked at again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gprochat_magic import fields
from gprochat_magic.errors import ConfigError

ITEM = "item"
"""What the value is called in a template over single values."""
_LONE = re.compile(rf"(?P<name>{fields.NAME})")
_LATEX = re.compile(r"(?:\\[A-Za-z]+|[\^_])(?:\{[^{}]*\}|\[[^\[\]]*\])*$")


class Unfit(ValueError):
    """A value that cannot be text; says why, as the end of a sentence."""


@dataclass(frozen=True)
class Field:
    """A place for a column's value: its column, how it is written there, and as it was typed."""

    column: str
    convert: str | None
    spec: str
    typed: str

    def text(self, value: Any) -> str:
        """The value as text. Raises `Unfit`."""
        if type(value) is str and not (self.convert or self.spec):
            return value
        return _text(value, self.convert, self.spec)


class Template:
    """A template for the rows of a table. `columns` are those that it uses, in order.

    With `single`, rows are single values: `{item}`, one of `names`, or whatever the only name in
    braces is. Raises `ConfigError` for a name that is no column, and where none is used.
    """

    def __init__(self, text: str, names: Sequence[str], *, single: bool = False) -> None:
        if not isinstance(text, str):
            raise ConfigError(
                f"a template is text, not a {type(text).__name__}", hint="Nothing was sent."
            )
        self._names = [*names]
        if single:
            lone = dict.fromkeys(match["name"] for match in _lone(text) if not match["escape"])
            named = any(name in names for name in lone)
            self._names += lone if not named and len(lone) == 1 else []
        self._parts = self._read(text)
        # `{time:utc}` may name a column of just that name.
        found = {part.typed for part in self._parts if isinstance(part, Field)}
        for match in _lone(text):
            known = match["name"] in self._names or match[0] in found
            if not match["escape"] and not known:
                raise _no_column(match["name"], self._names)
        if not self.columns:
            raise ConfigError(
                "the template names no column, so that every row would ask the same",
                hint=f"Write one in braces: {_listed(self._names)}.",
            )

    @property
    def columns(self) -> list[str]:
        """The columns that it uses, each once."""
        return list(dict.fromkeys(p.column for p in self._parts if isinstance(p, Field)))

    def settle(self, values: Sequence[Any]) -> None:
        """Take what is no format for the first row's value as typed: `{key: value}` is JSON.

        `values` are those of `columns`.
        """
        first = dict(zip(self.columns, values, strict=True))
        for at, part in enumerate(self._parts):
            if isinstance(part, Field) and part.spec and _is_no_format(part, first[part.column]):
                self._parts[at] = part.typed

    def fill(self, values: Sequence[Any], columns: Sequence[str]) -> str:
        """The prompt for a row whose values of `columns` are these. Raises `Unfit`."""
        row = dict(zip(columns, values, strict=True))
        pieces = []
        for part in self._parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            try:
                pieces.append(part.text(row[part.column]))
            except Unfit as error:
                raise Unfit(f"{part.column!r} {error}") from None
        return "".join(pieces)

    def _read(self, text: str) -> list[str | Field]:
        # The longest first, or `{a b}` could end after `a`.
        names = "|".join(re.escape(n) for n in sorted(self._names, key=len, reverse=True))
        parts: list[str | Field] = []
        end = 0
        for match in fields.pattern(f"(?P<name>{names})").finditer(text) if names else ():
            parts.append(text[end : match.start()])
            if match["escape"]:
                parts.append(match[0][1:-1])
            else:
                parts.append(Field(match["name"], match["convert"], match["spec"] or "", match[0]))
            end = match.end()
        return [*parts, text[end:]]


def _lone(text: str) -> list[re.Match[str]]:
    """The names that stand alone in braces and are no part of LaTeX."""
    found = fields.pattern(_LONE.pattern).finditer(text)
    return [
        match
        for match in found
        if not (match["spec"] or "").startswith(" ") and not _LATEX.search(text[: match.start()])
    ]


def _no_column(name: str, names: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(name, names, 1)
    ask = f"Did you mean {{{near[0]}}}? " if near else f"There are {_listed(names)}. "
    return ConfigError(
        f"the data have no column {name!r}",
        hint=f"{ask}{{{{{name}}}}} is sent as {{{name}}}.",
        kind="no_column",
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"{{{name}}}" for name in names[:8])
    return shown + (", …" if len(names) > 8 else "")


def _is_no_format(field: Field, value: Any) -> bool:
    try:
        fields.formatted(value, field.convert, field.spec)
    except (ValueError, TypeError):
        return True
    except Exception:  # noqa: BLE001  # a value's own methods may raise anything; `fill` tells of it
        return False
    return False


def _text(value: Any, convert: str | None, spec: str) -> str:
    kind: Any = type(value)
    if value is None or kind.__name__ in ("NAType", "NaTType") or _is_nan(value):
        raise Unfit("has no value")
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise Unfit("holds bytes, which are no text")
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        # Its text would be an address in memory, another one in each run.
        raise Unfit(f"holds a {kind.__name__}, which is no text")
    try:
        return fields.formatted(value, convert, spec)
    except Exception as error:  # noqa: BLE001  # a value's own methods may raise anything at all
        raise Unfit(f"cannot be shown: {type(error).__name__}") from None


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
