"""What a cell that shows a panel puts out: the panel, and below it a transcript, renewed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from html import escape
from typing import Any, Protocol

from IPython.core.getipython import get_ipython
from IPython.display import display

HINT = (
    "No panel above? The server that shows this notebook lacks anywidget. Install it there with "
    "pip install anywidget, then reload the page; or run %gprochat panel basic."
)


class Closable(Protocol):
    """A panel."""

    def close(self) -> None:
        """Take it away."""


_made: dict[str, tuple[int, list[Closable]]] = {}
"""The panels that each cell made, and in which run of the cell."""


def succeed(panel: Closable) -> None:
    """Close what an earlier run of this cell has made: its views went with its output."""
    cell, shell = cell_id(), get_ipython()
    if not cell or shell is None:
        return
    count = shell.execution_count
    run, panels = _made.get(cell, (count, []))
    if run != count:
        for each in panels:
            each.close()
        panels = []
    _made[cell] = count, [*panels, panel]


def put_out(data: Mapping[str, Any], metadata: Mapping[str, Any], *, name: str) -> None:
    """Show a panel's bundle in the cell that runs.

    For readers without a panel, the bundle's own text and HTML become a note.
    """
    note = f"Chat panel: {name}. It works once this cell has run; a transcript is below."
    notes = {"text/plain": note, "text/html": f"<p>{escape(note, quote=False)}</p>"}
    display({**data, **notes}, metadata=dict(metadata), raw=True)  # type: ignore[no-untyped-call]


class Sheet:
    """One output that can be renewed from any thread, also when its cell has ended."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._shown: Mapping[str, str] | None = None
        self._publisher: Any = None

    def put_out(self, bundle: Mapping[str, str]) -> None:
        """Show it in the cell that runs."""
        shell: Any = get_ipython()
        # Kept: a later cell may capture what is displayed, and this is not that cell's.
        self._publisher = shell.display_pub if shell is not None else None
        self._publish(bundle, update=False)

    def renew(self, bundle: Mapping[str, str]) -> None:
        """Replace what it shows, if it is shown and differs."""
        if self._publisher is not None and bundle != self._shown:
            self._publish(bundle, update=True)

    def _publish(self, bundle: Mapping[str, str], *, update: bool) -> None:
        if self._publisher is not None:
            self._shown = bundle
            transient = {"display_id": self._id}
            self._publisher.publish(dict(bundle), metadata={}, transient=transient, update=update)


def has_page() -> bool:
    """Whether anybody can use a panel: not where a notebook is run without a screen.

    A run by nbclient keeps the state of every widget in the file, so there must be none.
    """
    hosts = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "SERVER_SOFTWARE", "VSCODE_PID")
    return bool(cell_id()) or any(os.environ.get(name) for name in hosts)


def cell_id() -> str:
    """The id of the cell that runs, where the front end tells it."""
    kernel: Any = getattr(get_ipython(), "kernel", None)
    parent = kernel.get_parent("shell") if kernel is not None else {}
    return str(parent.get("metadata", {}).get("cellId", ""))
