"""The panel of plain ipywidgets, for servers without anywidget: a log, a line to type, buttons.

Invariants: model text is in `HTML` widgets, rendered by us, and elsewhere in widgets that show
plain text alone; what is typed is sent by Enter or Send, never by leaving the line.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets

from gprochat_magic import engine, markdown
from gprochat_magic.notebook import looks, shown
from gprochat_magic.notebook.desk import Desk, free
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.notebook.seat import post
from gprochat_magic.notebook.sheet import Sheet, put_out, succeed
from gprochat_magic.notebook.talk import State

RATE = 5.0
"""Updates of the growing reply a second, at most: each sends all of it again."""
SETTLING = 0.2
"""Seconds after Enter by which the line's last letters are here: they may come behind it."""
MOST_OFFERED = 4


class BasicPanel(ipywidgets.VBox):  # type: ignore[misc]  # published without types
    """A chat of plain widgets; the options are those of `ChatPanel`."""

    def __init__(
        self,
        conversation: str = "",
        *,
        height: str | float = "",
        placeholder: str = "",
        suggestions: Sequence[str] = (),
    ) -> None:
        wanted = looks.checked(height=height, placeholder=placeholder, suggestions=suggestions)
        self._sheet = Sheet()
        self._rid = self._mid = self._frozen = ""
        self._drawn = 0.0
        self._make_widgets(placeholder, suggestions)
        self._desk = Desk(self, conversation)
        log = ipywidgets.VBox([self._log, self._growing, self._offers])
        if wanted["height"]:
            log.layout.max_height, log.layout.overflow = wanted["height"], "auto"
        head = ipywidgets.HBox([self._names, self._new, self._models])
        row = ipywidgets.HBox([self._prompt, self._send, self._stop, self._retry])
        super().__init__([head, log, self._note, row])
        self._listen()
        succeed(self)
        self._desk.open()

    def _make_widgets(self, placeholder: str, suggestions: Sequence[str]) -> None:
        self._names = ipywidgets.Dropdown()
        self._models = ipywidgets.Dropdown()
        self._new = ipywidgets.Button(description="New conversation")
        self._log = ipywidgets.HTML()
        self._growing = ipywidgets.HTML()
        self._note = ipywidgets.Label()
        self._prompt = ipywidgets.Text(
            placeholder=placeholder or "Ask something", continuous_update=False
        )
        self._send = ipywidgets.Button(description="Send")
        self._stop = ipywidgets.Button(description="Stop", disabled=True)
        self._retry = ipywidgets.Button(description="Retry", disabled=True)
        offers = [ipywidgets.Button(description=text) for text in suggestions[:MOST_OFFERED]]
        self._offers = ipywidgets.HBox(offers)

    def _listen(self) -> None:
        tell = self._desk.receive
        for widget in (self._prompt, self._send, self._stop):
            free(widget)
        self._send.on_click(lambda button: self._ask())
        self._stop.on_click(lambda button: tell({"t": "stop", "rid": self._rid}))
        self._retry.on_click(lambda button: tell({"t": "retry", "mid": self._mid}))
        self._new.on_click(lambda button: tell({"t": "new"}))
        self._names.observe(lambda change: self._picked("use", change["new"]), "value")
        self._models.observe(lambda change: self._picked("model", change["new"]), "value")
        self._prompt.on_msg(self._pressed)
        for offer in self._offers.children:
            offer.on_click(lambda button: self._say(button.description))

    # What the desk shows; on the engine.

    def post(self, message: Message) -> None:
        """Show what a run says."""
        match message["t"]:
            case "open":
                self._rid, self._frozen = message["rid"], ""
                self._note.value = ""
                self._growing.value = markdown.document("", body=message["user"]["html"])
            case "d":
                self._frozen += message["frozen"]
                self._draw(self._frozen + message["tail"])
            case "done":
                self._growing.value = ""
            case "wait":
                self._note.value = f"{message['reason']}; again in {message['seconds']:.0f} s"
            case "err":
                self._note.value = f"{message['text']} {message['hint']}"

    def show(self, snapshot: dict[str, Any], state: State) -> None:
        """Show the conversation as it is."""
        self._stop.disabled = state in ("idle", "stopping")
        if not snapshot:
            return
        said = [each for each in snapshot["messages"] if each["status"] != "pending"]
        self._log.value = markdown.document("", body="".join(map(_said, said)))
        self._mid = said[-1]["id"] if said else ""
        self._retry.disabled = not said or state != "idle"
        self._offers.layout.display = "none" if snapshot["messages"] else ""
        _fill(self._names, snapshot["names"], snapshot["conversation"])
        _fill(self._models, snapshot["models"], snapshot["model"])

    def repeat(self) -> None:
        """Plain widgets do not ask for it."""

    def keep(self) -> None:
        """Renew the transcript."""
        self._sheet.renew(self._transcript())

    def close(self) -> None:
        """Take the panel away. A reply on its way goes on, into the conversation."""
        if hasattr(self, "_desk"):  # one that could not be made is closed too
            self._desk.close()
        super().close()

    # What a reader does; on any thread.

    def _pressed(self, widget: object, content: object, buffers: object) -> None:
        if isinstance(content, dict) and content.get("event") == "submit":
            post(self._ask_soon())

    async def _ask_soon(self) -> None:
        await asyncio.sleep(SETTLING)
        self._ask()

    def _ask(self) -> None:
        if text := self._prompt.value.strip():
            self._prompt.value = ""
            self._say(text)

    def _say(self, text: str) -> None:
        self._desk.receive({"t": "send", "nonce": secrets.token_hex(8), "text": text})

    def _picked(self, kind: str, name: object) -> None:
        # On the engine's thread it is us who fill the list.
        if not engine.shared().inside():
            self._desk.receive({"t": kind, "name": name})

    def _draw(self, html: str) -> None:
        if time.monotonic() - self._drawn >= 1 / RATE:
            self._growing.value = markdown.document("", body=html)
            self._drawn = time.monotonic()

    def _transcript(self) -> dict[str, str]:
        talk = self._desk.seat.talk
        return shown.transcript(talk.line.conversation, talk.rendering)

    def _ipython_display_(self, **kwargs: Any) -> None:
        if self.comm is not None:
            name = self._desk.seat.talk.line.conversation.name
            put_out(self._repr_mimebundle_(), {}, name=name)
        self._sheet.put_out(self._transcript())


def _fill(widget: Any, names: list[str], chosen: str) -> None:
    if tuple(names) != widget.options:
        widget.options = tuple(names)
    widget.value = chosen


def _said(message: shown.Shown) -> str:
    who = "You" if message["role"] == "user" else message["meta"].get("model") or "Reply"
    notes = [message["error"]] if message["error"] else []
    if message["status"] not in ("complete", "failed"):
        notes.append(message["status"])
    remarks = "".join(f"<p><em>{escape(note, quote=False)}</em></p>" for note in notes)
    return f"<p><strong>{escape(who, quote=False)}</strong></p>{message['html']}{remarks}"
