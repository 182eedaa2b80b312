"""The background loop and its thread: start, stream and cancel work from any thread.

Invariants: one daemon thread for each process that uses it; nothing of the host's own loop is
patched or needed; every stream ends exactly once; a call made on the engine's own thread that
would wait for itself raises instead of hanging.
"""

from __future__ import annotations

# isort: off
# In this order: imported first, _asyncio would be made twice, and tasks would not know themselves.
import asyncio
import _asyncio

# isort: on
import atexit
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from gprochat_magic.stream import Source, Stream

T = TypeVar("T")

STOP_SECONDS = 2.0
"""How long a stop waits for streams to close; past it the daemon thread is left behind."""


class Closable(Protocol):
    """What the engine can keep: something with an asynchronous `aclose`."""

    async def aclose(self) -> None:
        """Release what is held."""


K = TypeVar("K", bound=Closable)


class Engine:
    """One asyncio loop on one daemon thread, started at first use and again after a fork."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._here = threading.local()
        """What only the engine's thread sees: `kept`, the things that live as long as its loop."""

    @property
    def running(self) -> bool:
        """Whether this process has a live engine thread."""
        return self._pid == os.getpid() and self._thread is not None and self._thread.is_alive()

    @property
    def thread(self) -> threading.Thread | None:
        """The engine's thread, while there is one."""
        return self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the engine; the future's `cancel` cancels it there."""
        if self._pid != os.getpid():
            # A fork copies the loop but not its thread. Closing the copy would disturb the
            # parent's selector, so it is only forgotten.
            self._forget()
        with self._lock:
            if self._loop is None or not self.running:
                self._start()
            # Under the lock: a stop in between would leave the work on a closed loop.
            return asyncio.run_coroutine_threadsafe(
                work, cast(asyncio.AbstractEventLoop, self._loop)
            )

    def stream(self, source: Source[T]) -> Stream[T]:
        """Make an asynchronous generator on the engine and hand out what it yields."""
        return Stream(source, self)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, waited for in this thread; Ctrl-C cancels it.

        Raises `RuntimeError` on the engine's own thread, where it would wait for itself.
        """

        async def once(emit: object) -> AsyncGenerator[T]:
            yield await work

        if self.inside():
            work.close()
            raise RuntimeError("the engine's own thread cannot wait for the engine")
        return next(iter(self.stream(once)))

    async def elsewhere(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine run on the engine, awaited on whichever loop is running."""
        return await (work if self.inside() else asyncio.wrap_future(self.submit(work)))

    def keep(self, key: str, make: Callable[[], K]) -> K:
        """A thing that lives as long as this loop, made at first use. Call it on the engine."""
        kept: dict[str, Closable] = self._here.kept
        if key not in kept:
            kept[key] = make()
        return cast(K, kept[key])

    def inside(self) -> bool:
        """Whether the caller is on the engine's own thread."""
        return hasattr(self._here, "kept")

    def stop(self) -> None:
        """End every stream, release what is kept, and end the thread. The next use starts anew."""
        if not self.running or self.inside():
            return
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            # The loop may have stopped by itself since; then there is nothing to end.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
            thread.join(STOP_SECONDS)

    def _start(self) -> None:
        # Not new_event_loop(): a policy of the host, such as uvloop's, is none of our business.
        loop = asyncio.SelectorEventLoop()
        loop.set_task_factory(_c_task)
        thread = threading.Thread(
            target=self._serve, args=(loop,), name="gprochat-engine", daemon=True
        )
        # Debuggers leave such threads alone, so a breakpoint in a cell does not stop a stream.
        thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
        thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
        self._loop, self._thread = loop, thread
        thread.start()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        kept: dict[str, Closable] = {}
        self._here.kept = kept
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            # Also where a SystemExit ended it: those who wait must hear of it, and work that comes
            # from now on needs another loop.
            with self._lock:
                if self._loop is loop:
                    self._loop = self._thread = None
            loop.run_until_complete(_wind_up(kept))
            asyncio.set_event_loop(None)
            loop.close()


def _c_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
    # nest_asyncio replaces asyncio.Task by the Python version for the whole process, under which
    # timeouts fail on newer Pythons. The loop of the engine keeps the C one.
    return _asyncio.Task(work, loop=loop, **options)


async def _wind_up(kept: dict[str, Closable]) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_SECONDS / 2)
    # What does not close in time goes with the loop.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS / 2):
            closing: list[Awaitable[None]] = [thing.aclose() for thing in kept.values()]
            await asyncio.gather(*closing, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_asyncgens()


_shared = Engine()
atexit.register(_shared.stop)


def shared() -> Engine:
    """The engine of this process."""
    return _shared
