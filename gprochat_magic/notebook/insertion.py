"""Code on its way into a cell: offered to the front end as the next input, never executed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from gprochat_magic.notebook.snippets import Snippet

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LARGEST = 1_000_000
"""Bytes that a cell is given at most."""
WAYS = ("below", "replace", "none")
"""Where code goes: a new cell below, in place of the cell that asked, or nowhere."""


def insert(shell: InteractiveShell, snippet: Snippet, *, way: str) -> tuple[bool, list[str]]:
    """Offer code as the next cell. Returns whether it was, and what to tell of it.

    Nothing that cannot be Python or a shell script is offered, and nothing above `LARGEST`.
    """
    if not snippet.insertable:
        return False, [f"{_named(snippet.language)} is shown, not inserted"]
    remarks = snippet.remarks()
    cell = snippet.cell
    if way == "none":
        return False, remarks
    if (size := len(cell.encode("utf-8", "replace"))) > LARGEST:
        return False, [
            f"{size / 1e6:.1f} MB of code are too much for a cell: not inserted",
            *remarks,
        ]
    if reason := _prevented(shell):
        return False, [f"{reason} cannot insert a cell: copy the code from here", *remarks]
    replace = way == "replace"
    shell.set_next_input(cell, replace=replace)
    where = "the code replaces this cell" if replace else "the code is in the next cell"
    return True, [where, *remarks]


def _named(language: str) -> str:
    return f"code in {language}" if language not in ("", "text") else "text that is no code"


def _prevented(shell: Any) -> str:
    """The front end that would ignore the offer; empty if it takes it."""
    if "google.colab" in sys.modules:
        return "Colab"
    if os.environ.get("PYCHARM_HOSTED"):
        return "PyCharm"
    if getattr(shell, "kernel", None) is not None:
        return ""
    # A prompt without line editing drops the code; a dumb terminal hides it until Enter runs it.
    blind = getattr(shell, "simple_prompt", False) or os.environ.get("TERM") in ("dumb", "unknown")
    return "this prompt" if blind else ""
