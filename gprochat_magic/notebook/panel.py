"""The chat panel: an anywidget that shows what the desk says, and a transcript below it.

Invariants: what a page says of the panel's state is not taken; nothing secret and nothing of the
conversation's window is in a trait; the cell's saved outputs are the transcript and a short note.
"""

from __future__ import annotations

import asyncio
from html import escape
from pathlib import Path
from typing import Any, cast

import anywidget
import traitlets
from IPython.core.getipython import get_ipython
from IPython.display import display

from gprochat_magic import engine
from gprochat_magic.chat import Chat
from gprochat_magic.errors import ConfigError
from gprochat_magic.notebook import shown
from gprochat_magic.notebook.basic import BasicPanel
from gprochat_magic.notebook.desk import Desk
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.notebook.sheet import HINT, Sheet, cell_id, has_page
from gprochat_magic.notebook.talk import State

PATIENCE = 3.0
"""Seconds that a page has to say hello before the transcript says what may be missing."""
KINDS = ("", "panel", "basic", "static")
"""What `ui` may be; empty is `panel` where there is a page to use one, else `static`."""
_HOME = Path(__file__).parent
_placed: dict[str, tuple[int, list[ChatPanel]]] = {}
"""The panels of each cell, and which run of the cell showed them."""


class ChatPanel(anywidget.AnyWidget):
    """A chat in the output of a cell, on the conversation of that name; without, the current one.

    Its turns are those of the magics and of `Chat`. `ui="basic"` makes it of plain ipywidgets, for
    a server without anywidget; `ui="static"` is the transcript alone. `height` is in CSS units,
    `suggestions` are offered while the conversation is empty. Raises `ConfigError` for a `ui` or a
    name that cannot be.
    """

    _esm = _HOME / "panel.mjs"
    _css = _HOME / "panel.css"

    snapshot = traitlets.Dict().tag(sync=True)
    state = traitlets.Unicode("idle").tag(sync=True)
    ui = traitlets.Dict().tag(sync=True)

    def __new__(cls, conversation: str = "", *, ui: str = "", **options: Any) -> Any:
        """The panel, or its stand-in where a panel cannot be."""
        if ui not in KINDS:
            raise ConfigError(f"ui is one of {', '.join(KINDS[1:])}", hint="Leave it out.")
        if ui == "basic":
            return BasicPanel(conversation)
        if ui == "static" or (not ui and not _is_usable()):
            return StillPanel(conversation)
        return super().__new__(cls)

    def __init__(
        self,
        conversation: str = "",
        *,
        ui: str = "",
        height: str = "",
        placeholder: str = "",
        suggestions: tuple[str, ...] | list[str] = (),
    ) -> None:
        wishes = {"height": height, "placeholder": placeholder, "suggestions": list(suggestions)}
        self._sheet = Sheet()
        self._hint = ""
        self._desk = Desk(self, conversation)
        super().__init__(snapshot=self._desk.seat.snapshot(), ui=wishes)
        self.on_msg(lambda widget, content, buffers: self._desk.receive(content))
        self._desk.open()

    # What the desk shows; on the engine.

    def post(self, message: Message) -> None:
        """Send a message to every view."""
        if self.comm is not None:
            self.send(message)

    def show(self, snapshot: dict[str, Any], state: State) -> None:
        """Set the traits; an empty snapshot leaves the one that is there."""
        if self.comm is None:
            return
        with self.hold_sync():
            self.state = state
            if snapshot:
                self.snapshot = snapshot

    def keep(self) -> None:
        """Renew the transcript."""
        if self._desk.met:
            self._hint = ""
        self._sheet.renew(_transcript(self._desk, self._hint))

    def set_state(self, sync_data: object) -> None:
        """Drop what a page says of the state: the truth is here."""

    def close(self) -> None:
        """Take the panel away. A reply on its way goes on, into the conversation."""
        self._desk.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return None
        # Colab finds its widgets by the metadata, which therefore stays as it is.
        data, metadata = made if isinstance(made, tuple) else (made, {})
        return {**data, **_transcript(self._desk, "")}, metadata

    def _ipython_display_(self, **kwargs: Any) -> None:
        _replace_earlier(self)
        data, metadata = self._repr_mimebundle_() or ({}, {})
        # The transcript is below, and up to date; this is for readers without a panel.
        name = self._desk.seat.talk.line.conversation.name
        note = f"Chat panel: {name}. It works once this cell has run; a transcript is below."
        data |= {"text/plain": note, "text/html": f"<p>{escape(note, quote=False)}</p>"}
        display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        self._sheet.put_out(_transcript(self._desk, ""))
        engine.shared().submit(self._look_for_page())

    async def _look_for_page(self) -> None:
        await asyncio.sleep(PATIENCE)
        if not self._desk.met:
            self._hint = HINT
            self.keep()


class StillPanel:
    """The transcript alone, for notebooks that are run without a screen."""

    def __init__(self, conversation: str = "") -> None:
        self._line = Chat(conversation).line

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return shown.transcript(self._line.conversation, shown.Rendering())


def _transcript(desk: Desk, hint: str) -> dict[str, str]:
    return shown.transcript(desk.seat.talk.line.conversation, desk.seat.talk.rendering, hint=hint)


def _is_usable() -> bool:
    # Outside IPython someone else shows the panel, and knows why.
    return get_ipython() is None or has_page()


def _replace_earlier(panel: ChatPanel) -> None:
    """Close what an earlier run of this cell has shown: its views went with its output."""
    cell = cell_id()
    if not cell:
        return
    count = cast(Any, get_ipython()).execution_count
    run, panels = _placed.get(cell, (count, []))
    if run != count:
        for each in panels:
            each.close()
        panels = []
    _placed[cell] = count, [*panels, panel]
