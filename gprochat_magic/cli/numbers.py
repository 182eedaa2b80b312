"""Numbers on the command line. What does not fit raises `ArgumentTypeError`."""

from __future__ import annotations

import argparse


def _number(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"a number from {least} to {most} is needed, not {text!r}")
    return int(text)


def whole(text: str) -> int:
    """A number from 1 up."""
    return _number(text, 1, 10**6)


def count(text: str) -> int:
    """A number from 0 up."""
    return _number(text, 0, 10**6)


def port(text: str) -> int:
    """A port; 0 leaves it to the system."""
    return _number(text, 0, 65535)


def turns(text: str) -> int:
    """How many turns; `all` is -1."""
    return -1 if text == "all" else count(text)
