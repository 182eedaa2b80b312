"""Interpolation: which braces of a prompt name something of the user's, and what goes in there.

Only a name with attribute and item access is looked up; nothing is called or computed. One pass:
what a value contains is never looked at again. Everything else stays as typed, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from IPython.core.error import UsageError

from gprochat_magic import fields
from gprochat_magic.fields import NAME
from gprochat_magic.messages import ImagePart

MOST = 200_000
"""Characters that one value may add; more is cut, and said."""

_KEY = r"-?\d+|\"[^\"\\\n]*\"|'[^'\\\n]*'"
_PATH = rf"(?P<name>{NAME})(?P<path>(?:\.{NAME}|\[(?:{_KEY})\])*)"
_FIELD = fields.pattern(_PATH)
_STEP = re.compile(rf"\.(?P<attribute>{NAME})|\[(?P<key>{_KEY})\]")


@dataclass
class Filled:
    """A prompt with its values in: which expressions were put in, and which did not resolve.

    `images` go along with it.
    """

    text: str = ""
    used: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    images: tuple[ImagePart, ...] = ()


class _Unresolved(LookupError):
    """Nothing of the user's has that name, attribute or item."""


def fill(
    text: str,
    namespace: Mapping[str, Any],
    *,
    strict: bool = False,
    standing: Collection[str] = (),
) -> Filled:
    """Replace what resolves in the namespace, but for the fields that are to stand as they are.

    Raises `UsageError` where a value exists and cannot be shown, and, if `strict`, where anything
    that looks like a name does not resolve.
    """
    filled = Filled()

    def replaced(match: re.Match[str]) -> str:
        if match[0] in standing:
            return match[0]
        try:
            return _value(match, namespace, filled)
        except _Unresolved:
            if not match["escape"]:
                filled.missing.append(match[0].strip("{}"))
            return match[0]

    filled.text = _FIELD.sub(replaced, text)
    if strict and filled.missing:
        missing = ", ".join(dict.fromkeys(filled.missing))
        raise UsageError(f"nothing is called {missing}; nothing was sent")
    return filled


def fields_of(text: str) -> set[str]:
    """What looks like a field in a text, braces and all."""
    return {match[0] for match in _FIELD.finditer(text)}


def resolve(expression: str, namespace: Mapping[str, Any]) -> Any:
    """What a name with attribute and item access stands for.

    Raises `LookupError` where it does not resolve, `UsageError` where it raises in being read.
    """
    whole = re.fullmatch(_PATH, expression)
    if whole is None:
        raise _Unresolved(expression)
    return _look_up(whole["name"], whole["path"], namespace)


def _value(match: re.Match[str], namespace: Mapping[str, Any], filled: Filled) -> str:
    expression = match["name"] + match["path"]
    found = _look_up(match["name"], match["path"], namespace)
    if match["escape"]:
        return match[0][1:-1]
    shown = _formatted(found, match["convert"], match["spec"] or "", expression)
    if len(shown) > MOST:
        filled.used.append(f"{expression} (cut at {MOST:,} of {len(shown):,} characters)")
        return shown[:MOST]
    filled.used.append(expression)
    return shown


def _look_up(name: str, path: str, namespace: Mapping[str, Any]) -> Any:
    if name not in namespace:
        raise _Unresolved(name)
    found = namespace[name]
    for step in _STEP.finditer(path):
        attribute = step["attribute"]
        # What these mean of an item, a property raises for a reason of its own.
        absent = AttributeError if attribute else (LookupError, TypeError, ValueError)
        try:
            found = getattr(found, attribute) if attribute else found[_key(step["key"])]
        except absent:
            raise _Unresolved(name) from None
        except Exception as error:  # noqa: BLE001  # a property may raise anything at all
            raise UsageError(f"{{{name}{path}}} cannot be read: {type(error).__name__}") from None
    return found


def _key(text: str) -> int | str:
    return text[1:-1] if text[0] in "\"'" else int(text)


def _formatted(found: Any, convert: str | None, spec: str, expression: str) -> str:
    try:
        return fields.formatted(found, convert, spec)
    except Exception as error:  # noqa: BLE001  # a value's own __format__ or __repr__ may raise anything
        if spec and isinstance(error, (ValueError, TypeError)):
            # {key: value} of a JSON object or a dict is no format, so it is text.
            raise _Unresolved(expression) from None
        raise UsageError(f"{{{expression}}} cannot be shown: {type(error).__name__}") from None
