"""What an asynchronous generator yields elsewhere, taken here: in a blocked thread or on any loop.

Invariants: every stream ends exactly once, with its generator closed; a stream that nobody holds
any more is cancelled; taking never blocks the side that makes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from gprochat_magic.presses import interruptible, stopped

T = TypeVar("T")

TICK = 0.1
"""Seconds between two looks while nothing arrives: a display can show that time passes."""
CLOSE_SECONDS = 2.0
"""How long an interrupted reader waits for the source to close."""


_END: Any = object()
_PRESS: Any = object()
"""What the queue holds beside items: the source has ended; Ctrl-C was pressed."""


class Host(Protocol):
    """Where sources run: the engine."""

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that sources run on, while there is one."""

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine there."""

    def inside(self) -> bool:
        """Whether the caller is on its thread."""


class _Box(Generic[T]):
    """What source and reader share; the source must not keep the stream itself alive."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[T] = SimpleQueue()
        self.wake: Callable[[], object] | None = None
        self.ended = threading.Event()
        self._cancelled = False
        self._cancel_there: Callable[[], object] | None = None
        self._lock = threading.Lock()

    def put(self, item: T) -> None:
        self.queue.put(item)
        # Read once: the reader takes it back from its own thread.
        if (wake := self.wake) is not None:
            # The reader's loop may be closed by now; then nobody waits.
            with contextlib.suppress(RuntimeError):
                wake()

    def press(self) -> None:
        """Wake the reader: Ctrl-C was pressed. A signal handler may put; so may it wake a loop."""
        self.put(_PRESS)

    def end(self, future: object) -> None:
        """The source has closed, or will never start: its future is done."""
        self.ended.set()
        # The task holds its error, whose traceback holds the stream; and the stream's finalizer
        # holds this box, for as long as there is a stream.
        self._cancel_there = None
        self.put(_END)

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


Turn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine to its end in this thread, with whatever else its loop has to do."""
Source = Callable[[Callable[[T], None]], AsyncGenerator[T]]
"""Makes a generator. It is given a function that hands out an item while the generator waits."""


async def _pump(source: Source[T], box: _Box[T]) -> None:
    if not box.start():
        raise asyncio.CancelledError
    async with contextlib.aclosing(source(box.put)) as items:
        async for item in items:
            box.put(item)


class Stream(Generic[T]):
    """Items of a generator that runs on an engine. One reader takes them; anyone may cancel.

    Read it with `for`, with `async for` on any loop, or in `batches`. All raise what the source
    raised, and `StreamInterruptedError` where it was stopped from elsewhere.
    """

    def __init__(self, source: Source[T], host: Host) -> None:
        self._host = host
        self._box: _Box[T] = _Box()
        self._future = host.submit(_pump(source, self._box))
        # Not the host itself: it may be running again by the time somebody asks.
        self._thread = host.thread
        self._future.add_done_callback(self._box.end)
        # The backstop for a reader that was torn away: nobody left means nobody waits.
        self._finalizer = weakref.finalize(self, self._box.cancel)
        self._finalizer.atexit = False

    @property
    def ended(self) -> bool:
        """Whether the source has closed, or has nothing left to run on."""
        return self._future.done() or self._thread is None or not self._thread.is_alive()

    def cancel(self) -> None:
        """Ask the source to stop; safe from any thread, and more than once."""
        self._box.cancel()

    def wait(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Wait until the source has closed; says whether it has."""
        return self._box.ended.wait(seconds)

    def batches(self, turn: Turn | None = None) -> Generator[list[T]]:
        """All that has arrived, as often as something does, and an empty list at each tick.

        The first comes at once and is empty: what is made ready for the others cannot be torn by
        Ctrl-C, which counts from then on. Waits in this thread; `turn` lets other work of its loop
        go on. In the main thread Ctrl-C cancels the source, hands out what had arrived, and raises
        `ReplyInterrupted`, also where it is pressed between two batches; a third press raises at
        once. Where the host handles Ctrl-C itself it is told as well, and the error is an ordinary
        one. Raises `RuntimeError` on the engine's own thread.
        """
        self._refuse_inside()
        try:
            with interruptible(self._box.press) as presses:
                open_ = True
                yield []
                while open_ and not presses.count:
                    if turn is not None:
                        turn(self._arrival())
                    items, open_ = self._take(0 if turn else TICK)
                    yield items
                if open_:
                    yield self._last()
                    raise presses.error()
            self._finish()
        finally:
            self.cancel()

    def __iter__(self) -> Generator[T]:
        """The items, waited for in this thread; between two of them Ctrl-C is the caller's."""
        self._refuse_inside()
        try:
            open_ = True
            while open_:
                with interruptible(self._box.press) as presses:
                    items, open_ = self._take(TICK)
                yield from items
                if open_ and presses.count:
                    yield from self._last()
                    raise presses.error()
            self._finish()
        finally:
            self.cancel()

    async def __aiter__(self) -> AsyncGenerator[T]:
        """The items, awaited on the running loop; it may be another one for each."""
        try:
            open_ = True
            while open_:
                items, open_ = self._take(0)
                for item in items:
                    yield item
                if open_:
                    await self._arrival()
            self._finish()
        finally:
            self.cancel()

    async def _arrival(self) -> None:
        """Wait until something is there, or a tick is over."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        self._box.wake = lambda: loop.call_soon_threadsafe(arrived.set)
        # Nothing else may turn this loop: a kernel sees an interrupt only as it turns, and an
        # engine that died says nothing.
        tick = loop.call_later(TICK, arrived.set)
        try:
            if self._box.queue.empty():
                await arrived.wait()
        finally:
            tick.cancel()
            self._box.wake = None

    def _refuse_inside(self) -> None:
        if self._host.inside():
            self.cancel()
            raise RuntimeError("a reply cannot be waited for on the thread that fetches it")

    def _last(self) -> list[T]:
        """What had arrived when the reader gave up."""
        self.cancel()
        self.wait()
        return self._take(0)[0]

    def _take(self, seconds: float) -> tuple[list[T], bool]:
        """What is there, after waiting up to `seconds` for the first; and whether more may come."""
        queue = self._box.queue
        items: list[T] = []
        try:
            item = queue.get(timeout=seconds) if seconds else queue.get_nowait()
            # No more than is there now: a fast source could keep a reader here.
            behind = queue.qsize()
            while item is not _END:
                if item is not _PRESS:
                    items.append(item)
                if not behind:
                    return items, True
                behind -= 1
                item = queue.get_nowait()
        except Empty:
            return items, not (self.ended and queue.empty())
        return items, False

    def _finish(self) -> None:
        """Raise what the source raised, if it did."""
        if self._future.done() and not self._future.cancelled():
            self._future.result()
            return
        # Not the user's interrupt, which is a KeyboardInterrupt: as the end of a task or of a
        # thread in a pool that would end the host's event loop, and with it the kernel.
        raise stopped() from None
