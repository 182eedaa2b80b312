"""The static transcript below a panel: an output of the same cell, renewed once a turn."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from IPython.core.getipython import get_ipython

HINT = (
    "No panel above? The server that shows this notebook lacks anywidget. Install it there with "
    "pip install anywidget, then reload the page; or run %gprochat panel basic."
)


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
