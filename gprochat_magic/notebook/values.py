"""Values of flags: read, checked, and put together.

The readers raise `ArgumentTypeError`, which the parser makes one line of.
"""

from __future__ import annotations

import argparse
import json
import keyword
import re
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError

from gprochat_magic import config

QUOTED = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
"""The pattern of a text in quotes, in which a backslash stands before a quote that is meant."""


def unquoted(word: str) -> str:
    """A word without the quotes that it stands in; other backslashes stay, as in a path."""
    is_quoted = re.fullmatch(QUOTED, word, re.DOTALL)
    return re.sub(r"\\(['\"])", r"\1", word[1:-1]) if is_quoted else word


def quoted(name: str) -> str:
    """A name as it is typed behind a subcommand: in quotes where it is not one plain word."""
    return name if re.fullmatch(r"[^\s:'\"][^\s:]*", name) else '"' + name.replace('"', r"\"") + '"'


def name(text: str) -> str:
    """A name, which nothing but spaces is not."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a name is needed")
    return text


def variable(text: str) -> str:
    """The name of a variable."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be the name of a variable")
    return text


def proxy(text: str) -> str:
    """The address of a proxy; empty for none."""
    if text and not config.is_address(text):
        # It may hold a password, so it is not repeated.
        raise argparse.ArgumentTypeError("an http:// or https:// address is needed")
    return text


def temperature(text: str) -> float:
    """A number from 0 to 2."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 2:
        raise argparse.ArgumentTypeError(f"a number from 0 to 2 is needed, not {text!r}")
    return number


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is needed, not {text!r}")
    return int(text)


def turns(text: str) -> int:
    """A whole number; -1 for all."""
    if text == "all":
        return -1
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number or all is needed, not {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    return above_zero(text, "a number of seconds")


def above_zero(text: str, what: str = "a number") -> float:
    """A number above 0, called `what` where it is none."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{what} above 0 is needed, not {text!r}")
    return number


def parameter(text: str) -> tuple[str, Any]:
    """A name and its value: as its own flag wants it, else JSON where it parses, else text."""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[^\W\d][\w.-]*", name):
        raise argparse.ArgumentTypeError(f"KEY=VALUE is needed, not {text!r}")
    if name == "model":
        raise argparse.ArgumentTypeError("the model is named with -m")
    if name in _FLAGGED:
        return name, _FLAGGED[name](value)
    try:
        found = json.loads(value)
        json.dumps(found, allow_nan=False)  # NaN and what overflows are read, and are no JSON
        return name, found
    except (ValueError, RecursionError):
        return name, unquoted(value)


_FLAGGED: dict[str, Callable[[str], Any]] = {"temperature": temperature, "max_tokens": count}


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """What goes to the model beside the messages. Raises `UsageError` for a name given twice."""
    flags = {"temperature": options.temperature, "max_tokens": options.max_tokens}
    named = {name: value for name, value in flags.items() if value is not None}
    for name, value in options.parameter or ():
        if name in named:
            raise UsageError(f"{name} is given twice, and only one of them can count")
        named[name] = value
    return named
