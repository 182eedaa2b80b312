"""A secret that was typed into a cell: it works, and the user is told where it is now."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

from IPython.core.interactiveshell import InteractiveShell

KEPT = "This cell, In[] and IPython's history now hold the secret that you typed."
"""What is said of a secret in a cell."""


class Typed:
    """Tells, once for each cell, that a secret was typed in it."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._told = -1

    def secret(self, value: str) -> None:
        """Look whether the cell that runs now holds a key."""
        self._tell(value, "%gprochat key, or GPROCHAT_SECRET_KEY set before the kernel starts")

    def address(self, url: str, setting: str) -> None:
        """Look whether the cell that runs now holds the password of an address."""
        try:
            password = urlsplit(url).password or ""
        except ValueError:
            return  # it cannot be used, which is said elsewhere
        self._tell(password, f"GPROCHAT_{setting.upper()} set before the kernel starts")

    def _tell(self, value: str, instead: str) -> None:
        if not value or value not in self._cell() or self._told == self._shell.execution_count:
            return
        self._told = self._shell.execution_count
        sys.stderr.write(f"{KEPT} Better: {instead}; and choose a new one.\n")

    def _cell(self) -> str:
        """The text of the cell that runs, as the front end sent it."""
        kernel: Any = getattr(self._shell, "kernel", None)
        if kernel is not None:
            return str(kernel.get_parent("shell").get("content", {}).get("code", ""))
        history: Any = self._shell.history_manager
        return str(history.input_hist_raw[-1]) if history else ""
