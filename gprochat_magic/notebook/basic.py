"""The panel of plain ipywidgets, for servers without anywidget: a log, a line to type, buttons."""

from __future__ import annotations

import time
from html import escape
from typing import Any

import ipywidgets
from IPython.display import display

from gprochat_magic import markdown
from gprochat_magic.notebook import shown
from gprochat_magic.notebook.desk import Desk
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.notebook.sheet import Sheet
from gprochat_magic.notebook.talk import State

RATE = 5.0
"""Updates of the log a second, at most: each sends the growing reply again."""


class BasicPanel(ipywidgets.VBox):  # type: ignore[misc]  # published without types
    """A chat of plain widgets on a conversation; without a name, the current one."""

    def __init__(self, conversation: str = "") -> None:
        self._sheet = Sheet()
        self._log = ipywidgets.HTML()
        self._growing = ipywidgets.HTML()
        self._note = ipywidgets.Label()
        self._prompt = ipywidgets.Text(placeholder="Ask something", continuous_update=False)
        self._send = ipywidgets.Button(description="Send")
        self._stop = ipywidgets.Button(description="Stop", disabled=True)
        self._sent = 0
        self._rid = ""
        self._frozen = ""
        self._drawn = 0.0
        self._desk = Desk(self, conversation)
        row = ipywidgets.HBox([self._prompt, self._send, self._stop])
        super().__init__([self._log, self._growing, self._note, row])
        self._send.on_click(lambda button: self._ask())
        self._stop.on_click(lambda button: self._desk.receive({"t": "stop", "rid": self._rid}))
        self._prompt.observe(lambda change: self._ask(), "value")
        self._desk.open()

    def post(self, message: Message) -> None:
        """Show what a run says."""
        match message["t"]:
            case "open":
                self._rid, self._frozen = message["rid"], ""
                self._note.value = ""
                self._growing.value = _wrapped(message["user"]["html"])
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
        self._stop.disabled = state == "idle"
        if snapshot:
            said = [_said(each) for each in snapshot["messages"] if each["status"] != "pending"]
            self._log.value = _wrapped("".join(said))

    def keep(self) -> None:
        """Renew the transcript."""
        talk = self._desk.seat.talk
        self._sheet.renew(shown.transcript(talk.line.conversation, talk.rendering))

    def close(self) -> None:
        """Take the panel away. A reply on its way goes on, into the conversation."""
        self._desk.close()
        super().close()

    def _ask(self) -> None:
        # Enter comes as a change of the value, and so does the emptying here.
        if text := self._prompt.value.strip():
            self._prompt.value = ""
            self._sent += 1
            self._desk.receive({"t": "send", "nonce": str(self._sent), "text": text})

    def _draw(self, html: str) -> None:
        if time.monotonic() - self._drawn >= 1 / RATE:
            self._growing.value = _wrapped(html)
            self._drawn = time.monotonic()

    def _ipython_display_(self, **kwargs: Any) -> None:
        data = self._repr_mimebundle_()
        display(data, raw=True)  # type: ignore[no-untyped-call]
        talk = self._desk.seat.talk
        self._sheet.put_out(shown.transcript(talk.line.conversation, talk.rendering))


def _said(message: shown.Shown) -> str:
    who = "You" if message["role"] == "user" else message["meta"].get("model") or "Reply"
    error = f"<p>{escape(message['error'], quote=False)}</p>" if message["error"] else ""
    return f"<p><strong>{escape(who, quote=False)}</strong></p>{message['html']}{error}"


def _wrapped(html: str) -> str:
    return (
        f'<div class="gprochat mathjax_ignore tex2jax_ignore">{html}'
        f"<style>{markdown.STYLE}</style></div>"
    )
