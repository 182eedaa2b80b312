"""Ctrl-C while a reader waits: counted in place of raised, so that what has arrived is handed out.

Only the main thread can be interrupted; elsewhere the count stays 0.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from gprochat_magic.errors import ReplyInterrupted, StreamInterruptedError


class Presses:
    """Presses of Ctrl-C while a reader waits."""

    def __init__(self, before: Any) -> None:
        self.count = 0
        self.over = False
        self.before = before

    def error(self) -> BaseException:
        """What the reader raises, once the host's own handler has been called."""
        try:
            self.pass_on(signal.SIGINT, None)
        except KeyboardInterrupt:
            return ReplyInterrupted()
        # A host with another way, such as a kernel that awaits a cell, is not ready for one: out
        # of a task it ends the event loop, and the kernel with it.
        return stopped()

    def pass_on(self, number: int, frame: Any) -> None:
        """Do what would have been done without us."""
        if callable(self.before):
            self.before(number, frame)


@contextlib.contextmanager
def interruptible(wake: Callable[[], object]) -> Iterator[Presses]:
    """Count presses of Ctrl-C, and `wake` the reader at each; the third one raises.

    `wake` is called in a signal handler, so it must be reentrant.
    """
    presses = Presses(signal.getsignal(signal.SIGINT))

    def press(number: int, frame: object) -> None:
        if presses.over:
            # Readers may end in any order, so one that began later can put this back.
            presses.pass_on(number, frame)
            return
        presses.count += 1
        if presses.count >= 3:
            raise presses.error()
        wake()

    if threading.current_thread() is not threading.main_thread() or presses.before is None:
        yield presses
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield presses
    finally:
        presses.over = True
        if signal.getsignal(signal.SIGINT) is press:
            signal.signal(signal.SIGINT, presses.before)


def stopped() -> StreamInterruptedError:
    """What a reader raises whose source was stopped."""
    return StreamInterruptedError(
        "the reply was stopped",
        kind="stopped",
        hint="The text so far is kept in the conversation.",
    )
