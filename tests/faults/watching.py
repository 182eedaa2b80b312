"""What is left behind: threads, descriptors, tasks, complaints; and whether a secret was told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import psutil

from gprochat_magic import conversations, engine
from tests.faults.sending import HIDDEN


async def _tasks(complaints: list[str]) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(str(context)))
    return len(asyncio.all_tasks()) - 1


class Watch:
    """Everything that is said beside the replies, and what a process holds on to."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        """What an event loop, the interpreter or a warning had to say."""
        self.told = 0
        """Log records, complaints or other texts in which there was a secret."""
        self._process = psutil.Process()

    def look(self, text: str) -> None:
        """Count a text that tells a secret."""
        self.told += any(hidden in text for hidden in HIDDEN)

    def complain(self, text: str) -> None:
        """Note a complaint."""
        self.complaints.append(text)
        self.look(text)

    def held(self) -> dict[str, int]:
        """Descriptors, threads, and the tasks of this loop and of the engine's."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: self.complain(str(context)))
        there = 0
        if engine.shared().running:
            there = engine.shared().submit(_tasks(self.complaints)).result(10)
        return {
            "descriptors": self._process.num_fds(),
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks()) - 1 + there,
        }

    def memory(self) -> int:
        """Bytes that this process has in memory."""
        return int(self._process.memory_info().rss)

    async def settled(self, before: dict[str, int]) -> dict[str, int]:
        """What is held beyond what was before, once all that was in use has been stopped."""
        engine.shared().stop()
        conversations.close()
        more: dict[str, int] = {}
        for _ in range(100):
            gc.collect()
            now = self.held()
            more = {name: now[name] - count for name, count in before.items() if now[name] > count}
            if not more:
                break
            await asyncio.sleep(0.02)
        return more


class _Ear(logging.Handler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        # Formatted as a log file would have it, with traceback.
        self._watch.look(self.format(record))
        # A raw server goes on writing to a client that has gone; only asyncio remarks on that.
        if record.levelno >= logging.WARNING and "socket.send() raised" not in record.msg:
            self._watch.complaints.append(record.getMessage())


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Listen to every log, warning and exception that nobody caught."""
    watch, root = Watch(), logging.getLogger()
    ear, level, hook = _Ear(watch), root.level, sys.unraisablehook

    def unraisable(found: Any) -> None:
        watch.complain(f"{found.err_msg} {found.object!r}: {found.exc_value!r}")

    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    sys.unraisablehook = unraisable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *rest, **more: watch.complain(str(message))
            yield watch
            gc.collect()
    finally:
        sys.unraisablehook = hook
        root.setLevel(level)
        root.removeHandler(ear)
