"""What a cell is told beside its output: that a secret was typed into it, and what is better."""

from __future__ import annotations

import sys
from typing import Any

from gprochat_magic import config
from gprochat_magic.config import Secret

WATCHED = ("secret_key", "proxy", "api_endpoint")
"""The settings that can hold a secret."""


def typed(change: Any) -> None:
    """Called by traitlets when one of them is set."""
    warn(change.name, change.new)


def warn(name: str, value: object) -> None:
    """Say where a value is now, if it is a key or holds a password."""
    if value and (isinstance(value, Secret) or config.has_password(str(value))):
        sys.stderr.write(
            f"What you typed for {name} is in force. It is now in this cell, in In[] and in "
            "IPython's history; better is to set "
            f"{config.PREFIX}{name.upper()} before the kernel starts.\n"
        )
