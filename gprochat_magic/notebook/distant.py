"""The output of a cell that is over: a reply goes on growing in it while other cells run.

Invariants: the output is made in the cell's own thread, while the cell runs; after that only its
display id is written to, under the header of the request that made it, so that nothing of it can
appear in another cell.
"""

from __future__ import annotations

import threading
from html import escape
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import update_display

from gprochat_magic import markdown
from gprochat_magic.notebook.cell import NotebookDisplay
from gprochat_magic.notebook.formats import Format
from gprochat_magic.reply import Reply

BEGUN = "in the background; %gprochat stop ends it"


class DistantDisplay(NotebookDisplay):
    """An output that may be written to from any one thread, whichever cell runs then."""

    def __init__(self, shell: InteractiveShell, form: Format, *, rate: float) -> None:
        super().__init__(form, rate=rate, final_only=False)
        kernel: Any = shell.kernel  # type: ignore[attr-defined]  # only a kernel's shell has one
        self._session, self._socket = kernel.session, kernel.iopub_socket
        self._parent = kernel.get_parent("shell")
        self._own = threading.get_ident()
        self._over = False
        self._last: dict[str, str] = {}
        self.waiting(BEGUN)
        self._over = True

    def end(self, reply: Reply, note: str, error: list[str]) -> None:
        """The last frame: the whole text, the footer, and below it the lines of an error."""
        html, plain = self._form.whole(reply, note)
        if error and html:
            html += f"<pre>{escape(markdown.plain(chr(10).join(error)), quote=False)}</pre>"
        self._publish(html, "\n".join(filter(None, [plain, *error])) or note)

    def again(self) -> None:
        """Show the last frame once more, from the cell that runs now.

        For programs that run notebooks: they drop what comes for a cell that is over.
        """
        update_display(self._last, raw=True, display_id=self._id)  # type: ignore[no-untyped-call]

    def _send(self, bundle: dict[str, str]) -> None:
        self._last = bundle
        if not self._over:
            super()._send(bundle)
            return
        # IPython's own publisher would use the header of whichever cell runs now, or lose it.
        content = {"data": bundle, "metadata": {}, "transient": {"display_id": self._id}}
        self._session.send(
            self._socket,
            "update_display_data",
            content,
            parent=self._parent,
            ident=b"update_display_data",
        )
