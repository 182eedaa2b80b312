"""The shapes of what can be typed: a flag with its value, a subcommand with what fits behind it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Flag:
    """One flag: its spellings, what it does, and its value: none where `metavar` is empty.

    `completes` names what Tab offers as its value: model, conversation, context, picture,
    parameter. `repeat` says that the flag may be given several times; its option is then a list.
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    type: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    completes: str = ""
    repeat: bool = False

    @property
    def dest(self) -> str:
        """The attribute of the parsed options that holds it."""
        return self.names[-1].lstrip("-").replace("-", "_")

    @property
    def spelling(self) -> str:
        """How the help writes it."""
        return ", ".join(self.names) + (f" {self.metavar}" if self.metavar else "")


@dataclass(frozen=True)
class Shape:
    """A subcommand's name, its argument as help writes it, the pattern that fits it, its help.

    `completes` names what Tab offers for the argument: conversation, subcommand, setting, …
    `cell` is the pattern of the first line where it also has a cell form; `flags` are its own where
    they are not those of a prompt. `shown` says that the shell displays what it gives.
    """

    name: str
    argument: str
    pattern: str
    help: str
    completes: str = ""
    cell: re.Pattern[str] | None = None
    flags: tuple[Flag, ...] = ()
    shown: bool = False

    def fits(self, rest: str) -> bool:
        """Whether what follows the name is an argument, and the line no prompt."""
        return bool(re.fullmatch(self.pattern, rest))

    @property
    def usage(self) -> str:
        """The line to type."""
        return f"%gprochat {self.name} {self.argument}".strip()


Row = tuple[Shape, Callable[[Any, str], Any]]
"""A subcommand and what it does: given the magics and its argument, it says text or sends."""


def in_columns(left: str, right: str, *, width: int) -> str:
    """A row of help: what is typed, and from column `width` on what it does, in lines of 100."""
    first = f"  {left:<{width}}" if len(left) < width - 1 else f"  {left}\n{' ' * (width + 2)}"
    lines = textwrap.wrap(right, 98 - width, break_on_hyphens=False)
    return first + f"\n{' ' * (width + 2)}".join(lines)
