"""What an asynchronous generator yields elsewhere, taken here: in a blocked thread or on any loop.

Invariants: every stream ends exactly once, with its generator closed; a stream that nobody holds
any more is cancelled; taking never blocks the side that makes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import signal
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from gprochat_magic.errors import ReplyInterrupted

T = TypeVar("T")

TICK = 0.1
"""Seconds between two looks while nothing arrives: a display can show that time passes."""
CLOSE_SECONDS = 2.0
"""How long an interrupted reader waits for the source to close."""


class Host(Protocol):
    """Where sources run: the engine."""

    @property
    def running(self) -> bool:
        """Whether its thread is alive."""

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine there."""

    def inside(self) -> bool:
        """Whether the caller is on its thread."""


class _Box(Generic[T]):
    """What source and reader share; the source must not keep the stream itself alive."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[T | None] = SimpleQueue()
        self.wake: Callable[[], object] | None = None
        self.ended = threading.Event()
        self._cancelled = False
        self._cancel_there: Callable[[], object] | None = None
        self._lock = threading.Lock()

    def put(self, item: T | None) -> None:
        self.queue.put(item)
        if self.wake is not None:
            # The reader's loop may be closed by now; then nobody waits.
            with contextlib.suppress(RuntimeError):
                self.wake()

    def start(self) -> bool:
        """Called by the source's task as it begins: whether anyone still wants it."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with self._lock:
            self._cancel_there = lambda: loop.call_soon_threadsafe(task.cancel)
            return not self._cancelled

    def cancel(self) -> None:
        """Cancel the task once, now or as it begins."""
        with self._lock:
            first, self._cancelled = not self._cancelled, True
            cancel_there = self._cancel_there
        if first and cancel_there is not None and not self.ended.is_set():
            # The loop may have closed in between, and the task with it.
            with contextlib.suppress(RuntimeError):
                cancel_there()


Source = Callable[[Callable[[T], None]], AsyncGenerator[T]]
"""Makes a generator. It is given a function that hands out an item while the generator waits."""


async def _pump(source: Source[T], box: _Box[T]) -> None:
    try:
        if not box.start():
            raise asyncio.CancelledError
        async with contextlib.aclosing(source(box.put)) as items:
            async for item in items:
                box.put(item)
    finally:
        box.ended.set()
        box.put(None)


class Stream(Generic[T]):
    """Items of a generator that runs on an engine. One reader takes them; anyone may cancel."""

    def __init__(self, source: Source[T], host: Host) -> None:
        self._host = host
        self._box: _Box[T] = _Box()
        self._future = host.submit(_pump(source, self._box))
        # The backstop for a reader that was torn away: nobody left means nobody waits.
        self._finalizer = weakref.finalize(self, self._box.cancel)
        self._finalizer.atexit = False

    @property
    def ended(self) -> bool:
        """Whether the source has closed, or has nothing left to run on."""
        return self._box.ended.is_set() or self._future.done() or not self._host.running

    def cancel(self) -> None:
        """Ask the source to stop; safe from any thread, and more than once."""
        self._box.cancel()

    def wait(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Wait until the source has closed; says whether it has."""
        return self._box.ended.wait(seconds)

    def batches(self) -> Iterator[list[T]]:
        """All that has arrived, as often as something does, and an empty list at each tick.

        Waits in this thread. In the main thread Ctrl-C cancels the source, hands out what had
        arrived, and raises `ReplyInterrupted`; a third press raises at once.
        Raises `RuntimeError` on the engine's own thread, and whatever the source raised.
        """
        if self._host.inside():
            self.cancel()
            raise RuntimeError("a reply cannot be waited for on the thread that fetches it")
        try:
            with _interruptible(self._box.queue) as presses:
                open_ = True
                while open_ and not presses:
                    items, open_ = self._take(TICK)
                    yield items
                if open_:
                    self.cancel()
                    self.wait()
                    yield self._take(0)[0]
                    raise ReplyInterrupted
            self._finish()
        finally:
            self.cancel()

    async def __aiter__(self) -> AsyncGenerator[T]:
        """The items, awaited on the running loop, whichever it is."""
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._box.wake = lambda: loop.call_soon_threadsafe(arrived.set)
        try:
            open_ = True
            while open_:
                items, open_ = self._take(0)
                for item in items:
                    yield item
                if open_ and self._box.queue.empty():
                    await arrived.wait()
                    arrived.clear()
            self._finish()
        finally:
            self._box.wake = None
            self.cancel()

    def _take(self, seconds: float) -> tuple[list[T], bool]:
        """What is there, after waiting up to `seconds` for the first; and whether more may come."""
        items: list[T] = []
        try:
            item = self._box.queue.get(timeout=seconds) if seconds else self._box.queue.get_nowait()
            while item is not None:
                if item is not _PRESS:
                    items.append(item)
                item = self._box.queue.get_nowait()
        except Empty:
            return items, not (self.ended and self._box.queue.empty())
        return items, False

    def _finish(self) -> None:
        """Raise what the source raised, if it did."""
        try:
            self._future.result(CLOSE_SECONDS if self._host.running else 0)
        except (concurrent.futures.CancelledError, concurrent.futures.TimeoutError):
            # Stopped from elsewhere, or the engine was ended under it.
            if self._future.done() and not self._future.cancelled():
                raise  # a timeout that the source itself raised
            raise ReplyInterrupted from None


_PRESS: Any = object()


@contextlib.contextmanager
def _interruptible(queue: SimpleQueue[Any]) -> Iterator[list[int]]:
    """Count presses of Ctrl-C in place of raising, and wake the reader; the third one raises.

    Only the main thread can be interrupted; elsewhere the list stays empty.
    """
    presses: list[int] = []

    def press(number: int, frame: object) -> None:
        presses.append(number)
        if len(presses) >= 3:
            raise ReplyInterrupted
        # SimpleQueue.put is reentrant, so a signal handler may call it.
        queue.put(_PRESS)

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield presses
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)
