"""What a panel and its page say to each other: what a page may ask, and nothing of it on trust."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gprochat_magic.errors import GPROChatError

VERSION = 1
LONGEST_TEXT = 1_000_000
"""Bytes of a prompt."""
LONGEST_NAME = 200
"""Characters of a name, an id or a nonce."""

Message = dict[str, Any]


def _name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME and "\0" not in value


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    # A bool is an int to Python.
    return type(value) is int and -1 <= value < 1 << 53


_ASKS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "hello": {},
    "send": {"nonce": _name, "text": _text},
    "stop": {"rid": _name},
    "retry": {"mid": _name},
    "edit": {"mid": _name, "text": _text, "nonce": _name},
    "alt": {"mid": _name, "k": _count},
    "use": {"name": _name},
    "new": {},
    "model": {"name": _name},
    "sync": {"rid": _name, "have": _count},
    "undo": {},
    "names": {"prefix": _name},
}
"""What a page may ask, with the fields that it needs for that."""
_MAY_ADD = {"retry": {"nonce": _name}, "new": {"name": _name}}
"""Fields that may be left out."""


def checked(content: object) -> Message | None:
    """What a page asks, with only the fields that count; None for what is unknown or malformed."""
    if not isinstance(content, dict) or not isinstance(kind := content.get("t"), str):
        return None
    fields = _ASKS.get(kind)
    if fields is None or not all(fits(content.get(name)) for name, fits in fields.items()):
        return None
    more = {name for name, fits in _MAY_ADD.get(kind, {}).items() if fits(content.get(name))}
    return {"t": kind, **{name: content[name] for name in [*fields, *more]}}


def is_too_long(text: str) -> bool:
    """Whether a prompt is longer than a page may send."""
    return len(text) > LONGEST_TEXT or len(text.encode("utf-8", "replace")) > LONGEST_TEXT


def failure(error: GPROChatError) -> dict[str, Any]:
    """What a page is told of an error."""
    return {
        "text": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "retry_after": error.retry_after,
    }


def refusal(error: GPROChatError, nonce: str) -> Message:
    """What a page is told of a wish that came to nothing; `nonce` says which."""
    return {"t": "err", "rid": None, "nonce": nonce, "seq": 0, **failure(error)}
