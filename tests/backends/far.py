"""A scripted server on a loop in a thread of its own, for a kernel is driven in the test's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.backends.scripted import Scripted, serving


@dataclass
class Far:
    """The server, and the loop that it runs on."""

    model: Scripted
    loop: asyncio.AbstractEventLoop

    def left(self) -> bool:
        """Wait until a client closed its connection before the script had ended."""
        return asyncio.run_coroutine_threadsafe(self.model.closed.wait(), self.loop).result(5)


@contextmanager
def far() -> Iterator[Far]:
    """The server, for as long as the context lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = serving(Scripted())
    try:
        yield Far(asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10), loop)
    finally:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
