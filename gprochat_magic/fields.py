"""Fields in braces: how one is written, and how its value becomes text.

What a prompt of a cell and a template over data have in common.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

NAME = r"[^\W\d]\w*"
"""A name as Python writes it."""
_FORMAT = r"(?:!(?P<convert>[rsa]))?(?::(?P<spec>[^{}\n]*))?"
_CONVERT: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}


def pattern(expression: str) -> re.Pattern[str]:
    """The pattern of a field with such an expression; one more pair of braces escapes it.

    Its groups: `escape`, `convert`, `spec`, and those of the expression.
    """
    return re.compile(
        rf"(?P<escape>\{{(?=\{{[^{{}}\n]*\}}\}}))?\{{{expression}{_FORMAT}\}}(?(escape)\}})"
    )


def formatted(value: Any, convert: str | None, spec: str) -> str:
    """The value as text, as an f-string shows it. Raises whatever the value's own methods raise."""
    return format(_CONVERT[convert](value) if convert else value, spec)
