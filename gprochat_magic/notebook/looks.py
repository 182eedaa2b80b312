"""How a panel is to look: what its user may ask for, found wrong before there is a panel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gprochat_magic.errors import ConfigError

_HEIGHT = re.compile(r"\d{1,4}(\.\d+)?(px|r?em|vh)")


def checked(*, height: str | float, placeholder: str, suggestions: Sequence[str]) -> dict[str, Any]:
    """What a page is told of it; a height without a unit is in pixels.

    Raises `ConfigError` for what cannot be shown.
    """
    tall = f"{height}px" if re.fullmatch(r"\d+(\.\d+)?", str(height)) else height
    if tall and not (isinstance(tall, str) and _HEIGHT.fullmatch(tall)):
        raise ConfigError(
            f"height is a number with px, em, rem or vh, not {height!r}", hint='Such as "20em".'
        )
    if not isinstance(placeholder, str):
        raise ConfigError("placeholder is a text", hint="Leave it out for the usual one.")
    many = isinstance(suggestions, Sequence) and not isinstance(suggestions, str)
    if not many or not all(isinstance(each, str) for each in suggestions):
        raise ConfigError("suggestions are a list of prompts", hint='Such as ["What changed?"].')
    return {"height": tall, "placeholder": placeholder, "suggestions": list(suggestions)}
