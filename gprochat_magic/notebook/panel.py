"""The chat panel: an anywidget that shows what the desk says, and a transcript below it.

Invariants: what a page says of the panel's state is not taken; nothing secret and nothing of the
conversation's window is in a trait; the cell's saved outputs are the transcript and a short note.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.core.getipython import get_ipython

from gprochat_magic import engine
from gprochat_magic.chat import Chat
from gprochat_magic.errors import ConfigError
from gprochat_magic.notebook import looks, shown
from gprochat_magic.notebook.basic import BasicPanel
from gprochat_magic.notebook.desk import Desk, free
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.notebook.sheet import HINT, Sheet, has_page, put_out, succeed
from gprochat_magic.notebook.talk import State

PATIENCE = 3.0
"""Seconds that a page has to say hello before the transcript says what may be missing."""
KINDS = ("", "panel", "basic", "static")
"""What `ui` may be; empty is `panel` where there is a page to use one, else `static`."""
_HOME = Path(__file__).parent


class ChatPanel(anywidget.AnyWidget):
    """A chat in the output of a cell, on the conversation of that name, begun if there is none.

    Without a name it is the current conversation, also when another one is put in use. Its turns
    are those of the magics and of `Chat`, live both ways. As the last line of a cell, or given to
    `display`, it is shown with a transcript below it, which is what a saved notebook keeps; shown
    again, it is the same chat in another place.

    - `ui`: "panel"; "basic" for one of plain ipywidgets, where the server of the notebook lacks
      anywidget; "static" for the transcript alone. Left out, "panel" where a screen can use one,
      and "static" where a notebook is run without one.
    - `height`: how high it may grow, a number of pixels, or one with px, em, rem or vh.
    - `placeholder`: what stands in the empty box.
    - `suggestions`: prompts that are offered while the conversation is empty, four at most.

    `close()` takes it away; a reply on its way goes on, into the conversation. The cell that made
    it, run again, closes it. Raises `ConfigError` for an option or a name that cannot be, and for
    options that a transcript has no use for.

    ChatPanel("review", height="20em", suggestions=["What changed?", "What could break?"])
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
            return BasicPanel(conversation, **options)
        if ui == "static" and options:
            raise ConfigError(
                f"a static panel has no {', '.join(sorted(options))}", hint="Leave that out."
            )
        if ui == "static" or (not ui and not _is_usable()):
            return StillPanel(conversation)
        return super().__new__(cls)

    def __init__(
        self,
        conversation: str = "",
        *,
        ui: str = "",
        height: str | float = "",
        placeholder: str = "",
        suggestions: Sequence[str] = (),
    ) -> None:
        wanted = looks.checked(height=height, placeholder=placeholder, suggestions=suggestions)
        self._sheet = Sheet()
        self._hint = ""
        self._desk = Desk(self, conversation)
        super().__init__(snapshot=self._desk.seat.snapshot(), ui=wanted)
        free(self)
        succeed(self)
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

    def repeat(self) -> None:
        """Send the traits once more: set to what they are, they would not be sent."""
        if self.comm is not None:
            self.send_state(["state", "snapshot"])

    def keep(self) -> None:
        """Renew the transcript."""
        if self._desk.met:
            self._hint = ""
        self._sheet.renew(_transcript(self._desk, self._hint))

    def set_state(self, sync_data: object) -> None:
        """Drop what a page says of the state: the truth is here."""

    def close(self) -> None:
        """Take the panel away. A reply on its way goes on, into the conversation."""
        if hasattr(self, "_desk"):  # one that could not be made is closed too
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
        if self.comm is not None:
            data, metadata = self._repr_mimebundle_() or ({}, {})
            put_out(data, metadata, name=self._desk.seat.talk.line.conversation.name)
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
