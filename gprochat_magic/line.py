"""An open conversation: what its sends wait for, and who is told when it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from gprochat_magic.conversation import Conversation
from gprochat_magic.stream import Stream


class Line:
    """An open conversation, with what makes its sends wait for one another."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.readers: list[tuple[object, Stream[Any]]] = []
        """Who is taking a reply now, and that reply; one in the background may be among them."""
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self.kept_in: object = None
        """The file, or the store in memory, that has this conversation."""

    @property
    def lock(self) -> asyncio.Lock:
        """What sends hold in turn. A new loop, after a stop of the engine, has one of its own."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = loop, asyncio.Lock()
        return self._lock[1]


_watchers: list[Callable[[Line], object]] = []


def watch(watcher: Callable[[Line], object]) -> Callable[[], None]:
    """Have a function told of each conversation that changes or is put in use.

    Returns what ends that. It is called in the thread that made the change; it must neither wait
    nor raise.
    """
    _watchers.append(watcher)

    def end() -> None:
        with contextlib.suppress(ValueError):  # ended before
            _watchers.remove(watcher)

    return end


def tell(line: Line) -> None:
    """Tell everyone who watches that a conversation has changed, or is put in use."""
    for watcher in tuple(_watchers):
        watcher(line)
