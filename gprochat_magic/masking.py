"""Secrets in text that is about to leave the machine: found by their shape, and taken out."""

from __future__ import annotations

import re

MASK = "[secret]"

_SECRET = re.compile(
    r"""
    \b(?:sk|rk|pk)-[A-Za-z0-9_-]{16,}
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | (?<=bearer\ )[\w.~+/-]{8,}=*
    | (?<=://)[^\s/:@'"]+:[^\s/@'"]+(?=@)
    | (?<=password=)(?!\s)[^\s&;,)]+ | (?<=passwd=)(?!\s)[^\s&;,)]+ | (?<=password\ =\ )[^\s&;,)]+
    """,
    re.VERBOSE | re.IGNORECASE,
)


def masked(text: str) -> tuple[str, int]:
    """The text with what looks like a key, token or password masked, and how many there were."""
    return _SECRET.subn(MASK, text)
