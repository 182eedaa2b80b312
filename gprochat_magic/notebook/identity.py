"""Which kernel, notebook and cell this is, as far as the front end tells."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


def kernel_id(shell: InteractiveShell) -> str:
    """What stays the same when a kernel restarts: the stem of its connection file. Else empty."""
    kernel: Any = getattr(shell, "kernel", None)
    path = getattr(getattr(kernel, "parent", None), "connection_file", "")
    return Path(path).stem if path else ""


def notebook_path(shell: InteractiveShell) -> str:
    """The notebook that the kernel was started for, where jupyter_server or VS Code tell it.

    Only a label: a notebook that is renamed or moved keeps its old one until its kernel restarts.
    """
    told = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", "")
    return str(told) if str(told).endswith(".ipynb") else ""


@dataclass(frozen=True)
class Place:
    """The name of a prompt in a cell, and whether a turn of that name is one to replace."""

    cell: str = ""
    rerun: bool = False


class CellCounter:
    """Names the prompts of a cell, so that running it again is known to replace them.

    A front end's cell id is best. A kernel whose front end sends none knows a cell by its text,
    and only while its turn is the last one. In a terminal every line is a new place.
    """

    def __init__(self) -> None:
        self._execution = -1
        self._count = 0

    def next(self, shell: InteractiveShell, last: str) -> Place:
        """Where the prompt is that is sent now; `last` names the conversation's last turn."""
        kernel: Any = getattr(shell, "kernel", None)
        if kernel is None:
            return Place()
        if shell.execution_count != self._execution:
            self._execution, self._count = shell.execution_count, 0
        self._count += 1
        cell_id = kernel.get_parent("shell").get("metadata", {}).get("cellId")
        if cell_id:
            return Place(f"id:{cell_id}:{self._count}", rerun=True)
        history: Any = shell.history_manager
        text = history.input_hist_raw[-1] if history else ""
        name = f"text:{hashlib.sha256(text.encode()).hexdigest()}:{self._count}"
        return Place(name, rerun=name == last)
