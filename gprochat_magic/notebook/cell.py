"""A reply as it grows: in a notebook's cell, in a terminal, or nowhere (one base, three children).

Invariants: only the thread that runs the cell displays; a display that fails never costs a reply;
the last frame is always shown and holds the whole text.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterable
from typing import Any

import psutil
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display, update_display

from gprochat_magic import markdown
from gprochat_magic.notebook.formats import Format
from gprochat_magic.reply import Reply
from gprochat_magic.retry import Waiting

PATIENT = 1.0
"""Seconds of silence after which a cell says that it waits."""
NOTHING = ("pending", "failed")
"""States of a turn that no text came for."""
TERMINAL_RATE = 20.0
"""Writes a second to a terminal, at most."""


class Display:
    """Somewhere for a reply to grow. Give it what arrives with `take`; end it with `finish`."""

    def __init__(self) -> None:
        self.text = ""
        self._began = self._silent_since = time.monotonic()
        self._again_at: tuple[float, str] | None = None

    def take(self, events: Iterable[str | Waiting]) -> None:
        """What has arrived since; nothing at all is news too, for a clock that shows."""
        pieces = []
        for event in events:
            if isinstance(event, Waiting):
                self._again_at = (time.monotonic() + event.seconds, event.reason)
            else:
                pieces.append(event)
        if pieces:
            self.text += "".join(pieces)
            self._silent_since = time.monotonic()
        if self.text:
            # In silence too: what was held back may be due by now.
            self.grown()
        else:
            self.waiting(self._status())

    def grown(self) -> None:
        """There is more text."""

    def waiting(self, status: str) -> None:
        """There is no text yet; the status says why, and changes each second."""

    def finish(self, reply: Reply, note: str) -> None:
        """The reply is as it will stay."""

    def _status(self) -> str:
        now = time.monotonic()
        if self._again_at is not None and self._again_at[0] > now:
            when, reason = self._again_at
            return f"{reason}; asking again in {when - now:.0f} s"
        waited = now - self._began
        return f"waiting, {waited:.0f} s" if waited >= PATIENT else ""


class NotebookDisplay(Display):
    """One output of a cell, redrawn at a rate that falls as the reply grows.

    A redraw sends the whole reply again, so the redraws of a reply have to thin out: beyond a head
    start they may cost `BYTES_PER_BYTE` times the text so far, each with the `ENVELOPE` that a
    message has around it. That leaves room for the end, which is some three times the text.
    """

    HEAD_START = 4_000
    BYTES_PER_BYTE = 7
    ENVELOPE = 600

    def __init__(self, form: Format, *, rate: float, final_only: bool) -> None:
        super().__init__()
        self._id = uuid.uuid4().hex
        self._least = 1 / rate
        self._form = form
        self._final_only = final_only
        self._shown = False
        self._sent = self._frame = 0
        self._status_shown = ""
        self._drawn_at = float("-inf")
        self._drawn = 0
        self._cost = 0.0
        self._broken: Exception | None = None

    def grown(self) -> None:
        """Redraw, if that is due."""
        now = time.monotonic()
        first = self._drawn_at < 0
        room = self.HEAD_START + self.BYTES_PER_BYTE * len(self.text)
        affordable = self._sent + self._frame <= room
        # A reader of a reply that pauses wants the words before the pause, whatever they cost.
        affordable = affordable or now - self._silent_since >= PATIENT
        if (
            self._final_only
            or len(self.text) == self._drawn
            or not (first or (affordable and now - self._drawn_at >= self._pause()))
        ):
            return
        html = self._form.live(self.text)
        self._publish(html, markdown.plain(self.text) if first or not html else "")
        self._drawn_at = time.monotonic()
        self._drawn = len(self.text)
        self._cost = self._drawn_at - now

    def _pause(self) -> float:
        return min(1.0, max(self._least, 4 * self._cost))

    def waiting(self, status: str) -> None:
        """Say that nothing has come yet; there is time to load what the first text will need."""
        markdown.prepare()
        if status != self._status_shown and not self._final_only:
            self._status_shown = status
            self._publish(self._form.waiting(status), status)

    def finish(self, reply: Reply, note: str) -> None:
        """The last frame: coloured code, formulas, the footer, and the plain text beside it."""
        if reply.state in NOTHING and not self._shown:
            return  # nothing came and nothing was said: the error alone is the output
        html, plain = self._form.whole(reply, note)
        self._publish(html, plain or note)
        if self._broken is not None:
            sys.stderr.write(f"The reply could not be shown ({self._broken!r}); it is kept.\n")

    def _publish(self, html: str, plain: str) -> None:
        bundle = {"text/plain": plain, "text/html": html}
        bundle = {kind: data for kind, data in bundle.items() if data}
        try:
            self._send(bundle)
            self._shown = True
        except Exception as error:  # noqa: BLE001  # whatever a front end does, the reply goes on
            self._broken = error
        self._frame = self.ENVELOPE + sum(map(len, bundle.values()))
        self._sent += self._frame

    def _send(self, bundle: dict[str, str]) -> None:
        show = update_display if self._shown else display
        show(bundle, raw=True, display_id=self._id)  # type: ignore[no-untyped-call]


class TerminalDisplay(Display):
    """Text written as it comes, without control sequences of the model's."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self._form = form
        self._plain = markdown.PlainStream()
        self._said = ""
        self._status_shown = ""
        self._last = float("-inf")

    def grown(self) -> None:
        """Write what is new, if that is due."""
        if time.monotonic() - self._last >= 1 / TERMINAL_RATE:
            self._write(self._plain.feed(self._new(self._form.streamed(self.text))))
            self._last = time.monotonic()

    def waiting(self, status: str) -> None:
        """Say once for each wait why nothing comes."""
        reason = status.partition(";")[0] if ";" in status else ""
        if reason and reason != self._status_shown:
            self._status_shown = reason
            self._write(f"[{status}]\n")

    def finish(self, reply: Reply, note: str) -> None:
        """Write the rest and the footer."""
        if reply.state in NOTHING:
            return
        whole = self._form.streamed(self.text, ended=True)
        if not whole.startswith(self._said):
            self._write("\n")
            self._said = ""
        rest = self._plain.feed(self._new(whole)) + self._plain.finish()
        end = "" if whole.endswith("\n") or not whole else "\n"
        self._write(f"{rest}{end}[{note}]\n")

    def _new(self, said: str) -> str:
        new, self._said = said[len(self._said) :], said
        return new

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def display_for(shell: InteractiveShell, form: Format, *, quiet: bool, rate: float) -> Display:
    """The display that fits this shell's front end."""
    if quiet:
        return Display()
    kernel: Any = getattr(shell, "kernel", None)
    if kernel is None or started_by_console():
        return TerminalDisplay(form)
    # %%capture keeps every update as an output of its own, so it gets the last frame only.
    final_only = isinstance(shell.display_pub, CapturingDisplayPublisher)
    return NotebookDisplay(form, rate=rate, final_only=final_only)


def started_by_console() -> bool:
    """Whether `jupyter console` started this kernel: it shows text only, and no updates."""
    try:
        command = psutil.Process().parent().cmdline()
    except (psutil.Error, AttributeError):
        return False
    return any("jupyter-console" in word or "jupyter_console" in word for word in command[:3])
