"""Values of flags that go to the model: read, checked, and put together.

The readers raise `ArgumentTypeError`, which the parser makes one line of.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from IPython.core.error import UsageError


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
    """A name and its value: JSON where it parses, else text."""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[^\W\d][\w.-]*", name):
        raise argparse.ArgumentTypeError(f"KEY=VALUE is needed, not {text!r}")
    if name == "model":
        raise argparse.ArgumentTypeError("the model is named with -m")
    try:
        found = json.loads(value)
        json.dumps(found, allow_nan=False)  # NaN and what overflows are read, and are no JSON
        return name, found
    except (ValueError, RecursionError):
        return name, value


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """What goes to the model beside the messages. Raises `UsageError` for a name given twice."""
    flags = {"temperature": options.temperature, "max_tokens": options.max_tokens}
    named = {name: value for name, value in flags.items() if value is not None}
    for name, value in options.parameter or ():
        if name in named:
            raise UsageError(f"{name} is given twice, and only one of them can count")
        named[name] = value
    return named
