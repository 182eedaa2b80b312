"""Taking what another thread makes: whole, in order, once; stopped from anywhere; Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

from gprochat_magic import stream as streams
from gprochat_magic.engine import Engine
from gprochat_magic.errors import ReplyInterrupted, StreamInterruptedError
from gprochat_magic.stream import Stream


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    started = Engine()
    yield started
    started.stop()


class Endless:
    """A source that yields numbers until it is closed, and says when."""

    def __init__(self, pause: float = 0.01, most: int = 100_000) -> None:
        self.began, self.closed = threading.Event(), threading.Event()
        self.pause, self.most = pause, most
        self.yielded = 0

    async def __call__(self, emit: Callable[[int], None]) -> AsyncGenerator[int]:
        self.began.set()
        try:
            for number in range(self.most):
                self.yielded += 1
                yield number
                await asyncio.sleep(self.pause)
        finally:
            self.closed.set()


async def collected(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


READERS: dict[str, Callable[[Stream[Any]], list[Any]]] = {
    "batches": lambda stream: [item for batch in stream.batches() for item in batch],
    "for": list,
    "async for": lambda stream: asyncio.run(collected(stream)),
}
reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@reader
@pytest.mark.parametrize("pause", [0.0, 0.002])
def test_items_arrive_whole_and_in_order(engine: Engine, read: Any, pause: float) -> None:
    """Every item, once, whichever way it is read and however fast it comes."""
    stream = engine.stream(Endless(pause, most=300))

    assert read(stream) == list(range(300))
    assert stream.ended


@reader
def test_nothing_at_all(engine: Engine, read: Any) -> None:
    """A source without items ends at once."""
    assert read(engine.stream(Endless(most=0))) == []


@reader
def test_none_is_an_item(engine: Engine, read: Any) -> None:
    """No value of the source's is mistaken for its end."""

    async def source(emit: object) -> AsyncGenerator[Any]:
        yield None
        yield 1

    assert read(engine.stream(source)) == [None, 1]


@reader
def test_an_error_keeps_its_type_and_comes_after_the_items(engine: Engine, read: Any) -> None:
    """What had arrived is handed out first, then the source's own error is raised."""
    seen: list[int] = []

    async def source(emit: object) -> AsyncGenerator[int]:
        yield 1
        seen.append(1)
        raise TimeoutError("the source's own")

    with pytest.raises(TimeoutError, match="the source's own"):
        read(engine.stream(source))
    assert seen == [1]


@reader
def test_items_can_be_emitted_while_the_source_waits(engine: Engine, read: Any) -> None:
    """The function that a source is given hands out items between its own."""

    async def source(emit: Callable[[str], None]) -> AsyncGenerator[str]:
        emit("waiting")
        await asyncio.sleep(0.01)
        yield "text"

    assert read(engine.stream(source)) == ["waiting", "text"]


@reader
def test_a_cancel_from_elsewhere_is_an_ordinary_error(engine: Engine, read: Any) -> None:
    """The reader is told, the source is closed; no KeyboardInterrupt gets into a host's loop."""
    source = Endless()
    stream = engine.stream(source)
    threading.Timer(0.05, stream.cancel).start()

    with pytest.raises(StreamInterruptedError) as info:
        read(stream)
    assert info.value.kind == "stopped"
    assert source.closed.wait(5)


@reader
def test_a_cancel_before_the_source_began(engine: Engine, read: Any) -> None:
    """It never starts, and the reader is told."""
    began: list[int] = []

    async def source(emit: object) -> AsyncGenerator[int]:
        began.append(1)
        yield 1

    async def from_the_engine() -> Stream[int]:
        stream = engine.stream(source)
        stream.cancel()
        return stream

    with pytest.raises(StreamInterruptedError):
        read(engine.run(from_the_engine()))
    assert began == []


def test_cancelling_twice_or_late_is_harmless(engine: Engine) -> None:
    """Any number of cancels, from any thread, also after the end."""
    stream = engine.stream(Endless(most=1))
    assert list(stream) == [0]
    for _ in range(3):
        stream.cancel()
        threading.Thread(target=stream.cancel).start()

    assert stream.wait(1)


@pytest.mark.parametrize("way", ["for", "async for", "batches", "unread"])
def test_F66_a_stream_that_nobody_holds_is_cancelled(engine: Engine, way: str) -> None:
    """Dropped in the middle, the source is closed without anybody saying so."""
    source = Endless()
    stream = engine.stream(source)
    held: Any = None
    if way == "async for":
        held = aiter(stream)
        asyncio.run(anext(held))
    elif way != "unread":
        held = iter(stream) if way == "for" else stream.batches()
        next(held)
    gone = weakref.ref(stream)
    assert source.began.wait(5)
    del stream, held
    gc.collect()

    assert source.closed.wait(5)
    assert gone() is None


def test_batches_tick_while_nothing_arrives(engine: Engine) -> None:
    """An empty batch shows that time passes, so that a display can say so."""
    with contextlib.closing(engine.stream(Endless(pause=5)).batches()) as batches:
        assert next(batches) == []  # at once, to get ready
        assert next(batches) == [0]
        assert next(batches) == []
        assert next(batches) == []


def test_a_fast_source_cannot_keep_a_reader(engine: Engine) -> None:
    """A batch is what was there, even if more comes while it is taken."""
    stop = threading.Event()

    async def source(emit: Callable[[int], None]) -> AsyncGenerator[int]:
        while not stop.is_set():
            for _ in range(1000):
                emit(1)
            await asyncio.sleep(0)
            yield 1

    with contextlib.closing(engine.stream(source).batches()) as batches:
        for _ in range(5):
            next(batches)
        stop.set()


@pytest.mark.timeout(20)
def test_an_awaiting_reader_can_be_cancelled_in_silence(engine: Engine) -> None:
    """While nothing arrives the loop still turns, so an interrupt is noticed."""
    source = Endless(pause=60)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        # As a kernel's signal handler does it: without waking the selector.
        cancel = asyncio.Handle(task.cancel, (), loop)
        threading.Timer(0.3, loop._ready.append, (cancel,)).start()  # type: ignore[attr-defined]
        await collected(engine.stream(source))

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert source.closed.wait(5)


def test_readers_of_two_streams_do_not_mix(engine: Engine) -> None:
    """Two threads and two tasks each get their own."""

    async def both() -> Any:
        streams = [engine.stream(Endless(0.001, most=n)) for n in (50, 70)]
        return await asyncio.gather(*(collected(stream) for stream in streams))

    got: dict[int, list[int]] = {}

    def read(most: int) -> None:
        got[most] = list(engine.stream(Endless(0.001, most=most)))

    threads = [threading.Thread(target=read, args=(most,)) for most in (30, 40)]
    for thread in threads:
        thread.start()
    in_tasks = asyncio.run(both())
    for thread in threads:
        thread.join()

    assert [len(items) for items in in_tasks] == [50, 70]
    assert (got[30], got[40]) == (list(range(30)), list(range(40)))


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def usual() -> Iterator[Any]:
    """Python's own SIGINT handler, checked to be back in place afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    now = signal.signal(signal.SIGINT, before)
    assert now is signal.default_int_handler


def test_F60_a_press_hands_out_what_came_and_raises(engine: Engine, usual: object) -> None:
    """The text is whole up to the stop, the source is closed, the interrupt is a one-liner."""
    source = Endless()
    got: list[int] = []

    def read() -> None:
        for batch in engine.stream(source).batches():
            got.extend(batch)
            if len(got) == 3:
                press()

    with pytest.raises(ReplyInterrupted):
        read()
    assert source.closed.is_set()
    assert got == list(range(len(got)))


@pytest.mark.parametrize("way", ["batches", "for"])
def test_F60_a_press_wakes_a_reader_at_once(
    engine: Engine, usual: object, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The wait ends by the press itself, neither by the next look nor by the next item."""
    monkeypatch.setattr(streams, "TICK", 60.0)
    source = Endless(pause=10, most=2)
    threading.Timer(0.5, press).start()
    with pytest.raises(ReplyInterrupted):
        READERS[way](engine.stream(source))

    assert source.closed.wait(5)
    assert source.yielded == 1


def test_a_press_while_waiting_ends_the_wait(engine: Engine, usual: object) -> None:
    """Nothing arrives, and the press ends it, also for `for` and for a plain run."""
    for read in (READERS["batches"], READERS["for"]):
        stream = engine.stream(Endless(pause=60))
        threading.Timer(0.2, press).start()
        with pytest.raises(ReplyInterrupted):
            read(stream)
    threading.Timer(0.2, press).start()
    with pytest.raises(ReplyInterrupted):
        engine.run(asyncio.sleep(60))


def test_work_that_is_interrupted_before_it_began(engine: Engine, usual: object) -> None:
    """The engine was busy: nothing is done, and no coroutine complains that nobody awaited it."""

    async def busy() -> None:
        time.sleep(0.5)  # noqa: ASYNC251  # it is the engine that is to be held up

    engine.submit(busy())
    threading.Timer(0.1, press).start()
    with pytest.raises(ReplyInterrupted):
        engine.run(asyncio.sleep(0))
    gc.collect()


def test_the_third_press_escapes_a_source_that_will_not_close(
    engine: Engine, usual: object
) -> None:
    """Whoever presses again and again gets out at once."""

    async def source(emit: object) -> AsyncGenerator[int]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            # Not without its end: the engine of the other tests is the same.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    def read() -> None:
        for batch in stream.batches():
            for _ in batch * 3:
                press()

    stream = engine.stream(source)
    with pytest.raises(ReplyInterrupted):
        read()
    assert not stream.ended
    assert stream.wait(5)


def test_between_two_items_of_for_a_press_is_the_callers(engine: Engine, usual: object) -> None:
    """Code that merely holds a half-read reply is interrupted as ever."""
    items = iter(engine.stream(Endless()))
    next(items)

    with pytest.raises(KeyboardInterrupt) as info:
        press()
    assert info.type is KeyboardInterrupt
    items.close()


def test_readers_that_end_in_any_order_put_the_handler_back(engine: Engine, usual: object) -> None:
    """Two at once, the first one ending first: Ctrl-C then does what it did before."""
    first, second = (engine.stream(Endless()).batches() for _ in range(2))
    next(first)
    next(second)
    first.close()
    second.close()

    with pytest.raises(KeyboardInterrupt) as info:
        press()
    assert info.type is KeyboardInterrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_where_the_host_ignores_the_key_a_press_is_an_ordinary_error(engine: Engine) -> None:
    """A kernel between cells ignores SIGINT: a KeyboardInterrupt there would end its loop."""

    def read() -> None:
        for _ in engine.stream(Endless()).batches():
            press()

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(StreamInterruptedError):
            read()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_host_that_handles_the_key_is_told(engine: Engine) -> None:
    """Its own handler is called, once; what the reader gets cannot end the host's loop."""
    told: list[int] = []
    source = Endless()

    def read() -> None:
        for batch in engine.stream(source).batches():
            if batch:
                press()

    before = signal.signal(signal.SIGINT, lambda number, frame: told.append(number))
    try:
        with pytest.raises(StreamInterruptedError):
            read()
    finally:
        signal.signal(signal.SIGINT, before)
    assert told == [signal.SIGINT]
    assert source.closed.is_set()


def test_a_script_on_asyncio_run_is_ended_by_the_key(engine: Engine, usual: object) -> None:
    """Also where it waits synchronously, and catches errors of ours and goes on."""

    async def main() -> None:
        while True:
            threading.Timer(0.2, press).start()
            with contextlib.suppress(StreamInterruptedError):
                list(engine.stream(Endless()))
            await asyncio.sleep(0)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


def test_another_thread_leaves_the_handler_alone(engine: Engine, usual: object) -> None:
    """Only the main thread may set handlers; elsewhere reading works without."""
    seen: list[object] = []

    def read() -> None:
        batches = engine.stream(Endless(most=3)).batches()
        seen.extend(signal.getsignal(signal.SIGINT) for _ in batches)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()

    assert set(seen) == {usual}


@pytest.mark.soak
def test_F60_presses_at_random_moments(engine: Engine, usual: object) -> None:
    """200 of them against a flat-out source: each closes it, and nothing else is interrupted."""

    def read(source: Endless, timer: threading.Timer) -> None:
        for count, _ in enumerate(engine.stream(source).batches()):
            if count == 1:
                timer.start()

    for number in range(200):
        source = Endless(0, most=1_000_000)
        with pytest.raises(ReplyInterrupted):
            read(source, threading.Timer((number % 20) / 1000, press))
        assert source.closed.wait(5)
