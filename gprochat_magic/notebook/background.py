"""Replies in the background: each has a thread that draws it, a handle, and an end that shows.

Invariants: a reply that began in a cell ends in that cell's output, whole, whatever ended it; a
cell that runs again stops the reply it began before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from gprochat_magic.errors import GPROChatError, StreamInterruptedError

if TYPE_CHECKING:
    from gprochat_magic.chat import Chat, Run
    from gprochat_magic.notebook.distant import DistantDisplay
    from gprochat_magic.reply import Reply

STOP_SECONDS = 5.0
"""How long a stop waits for the last frame."""


class Background:
    """A reply that grows while other cells run. Its methods may be called from any cell."""

    def __init__(
        self,
        chat: Chat,
        run: Run,
        display: DistantDisplay,
        *,
        cell: str,
        note: Callable[[Reply], str],
        finish: Callable[[Reply], object],
    ) -> None:
        self.conversation = chat.conversation
        self.cell = cell
        self._chat, self._run, self._display = chat, run, display
        self._note, self._finish = note, finish
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._draw, name="gprochat-background", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether the reply has ended and its last frame is shown."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> Reply:
        """The whole reply, waited for in this cell. Raises what went wrong, or `TimeoutError`."""
        self._thread.join(timeout)
        if not self.done:
            raise TimeoutError("the reply still streams in the background")
        self._display.again()
        if self._error is not None:
            raise self._error
        return self._run.reply()

    def cancel(self) -> None:
        """Ask it to stop."""
        self._run.stream.cancel()

    def stop(self) -> None:
        """Stop it and wait for its last frame; the text so far is kept."""
        self.cancel()
        self._thread.join(STOP_SECONDS)

    def __repr__(self) -> str:
        state = "ended" if self.done else "streams in the background"
        return f"<{told(self._run.turn.prompt)}: {state}, {len(self._display.text)} characters>"

    def said(self) -> str:
        """What it was and how far it came, in one line."""
        return f"{told(self._run.turn.prompt)} ({len(self._run.turn.reply)} characters are kept)"

    def _draw(self) -> None:
        try:
            for events in self._chat.batches(self._run):
                self._display.take(events)
        except StreamInterruptedError as error:
            self._error = None if error.kind == "stopped" else error
        except Exception as error:  # noqa: BLE001  # a thread has nobody to raise to: the output says it
            self._error = error
        reply = self._run.reply()
        if self._error is None:
            try:
                self._finish(reply)
            except GPROChatError as error:  # such as no JSON in it
                self._error = error
        self._display.end(reply, self._note(reply), _lines(self._error))


def told(prompt: str) -> str:
    """The beginning of a prompt, for people."""
    line = " ".join(prompt.split())
    return repr(line if len(line) <= 40 else f"{line[:40]}…")


def _lines(error: BaseException | None) -> list[str]:
    if isinstance(error, GPROChatError):
        return error._render_traceback_()
    return [] if error is None else [f"{type(error).__name__}: {error}"]


class Jobs:
    """The replies of this kernel that are in the background."""

    def __init__(self) -> None:
        self._jobs: list[Background] = []

    @property
    def running(self) -> list[Background]:
        """Those that still stream, oldest first."""
        self._jobs = [job for job in self._jobs if not job.done]
        return list(self._jobs)

    def add(self, job: Background) -> Background:
        """Take note of one."""
        self._jobs = [*self.running, job]
        return job

    def last_cell(self, conversation: object) -> str:
        """The cell of the newest one in a conversation; its turn may not be in there yet."""
        cells = [job.cell for job in self.running if job.conversation is conversation]
        return cells[-1] if cells else ""

    def make_way(self, cell: str) -> None:
        """Stop what a cell began before it was run again."""
        for job in self.running:
            if cell and job.cell == cell:
                job.stop()

    def stop(self) -> list[Background]:
        """Stop them all; returns which they were."""
        stopped = self.running
        for job in stopped:
            job.cancel()
        for job in stopped:
            job.stop()
        return stopped


def refuse_terminals(shell: InteractiveShell, *, console: Callable[[], bool]) -> None:
    """Raise `UsageError` where there is no output of a cell's own to grow."""
    if getattr(shell, "kernel", None) is None or console():
        raise UsageError(
            "--bg needs a notebook: a terminal has no output of its own for each cell, "
            "and the reply would run into what you type"
        )
