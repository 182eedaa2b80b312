"""The background loop: work from any thread, one thread, a clean end, and what survives what."""

from __future__ import annotations

import _asyncio
import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gprochat_magic import Chat, GPROChat, engine
from gprochat_magic.engine import Engine
from gprochat_magic.errors import StreamInterruptedError
from tests.gateways import Served, served


@pytest.fixture
def own() -> Iterator[Engine]:
    """An engine of the test's own."""
    started = Engine()
    yield started
    started.stop()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A gateway that this process is pointed at."""
    with served() as gateway:
        for name, value in gateway.environment.items():
            monkeypatch.setenv(name, value)
        yield gateway
    engine.shared().stop()


async def thread_name() -> str:
    return threading.current_thread().name


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "gprochat-engine"]


def test_nothing_runs_before_first_use() -> None:
    """An engine costs nothing until it is used."""
    before = len(threads())
    idle = Engine()

    assert not idle.running
    assert len(threads()) == before


def test_work_runs_on_one_daemon_thread(own: Engine) -> None:
    """However many threads ask, one serves them, and it does not keep a process alive."""
    names: list[str] = []
    asking = [
        threading.Thread(target=lambda: names.append(own.run(thread_name()))) for _ in range(8)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()

    assert names == ["gprochat-engine"] * 8
    assert own.thread is not None
    assert own.thread.daemon


def test_run_raises_what_the_work_raised(own: Engine) -> None:
    """The error of a coroutine arrives with its type, its words and its object."""

    async def work() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        own.run(work())


def test_a_wait_on_the_engines_own_thread_raises(own: Engine) -> None:
    """It would wait for itself for ever."""

    async def work() -> str:
        try:
            return own.run(thread_name())
        except RuntimeError as error:
            return str(error)

    assert "cannot wait for the engine" in own.run(work())


def test_a_stream_read_on_the_engines_own_thread_raises(own: Engine) -> None:
    """Also where the stream was made by it, whichever way it is read; and the source is ended."""

    async def source(emit: object) -> AsyncGenerator[int]:
        yield 1

    async def work() -> list[str]:
        said = []
        for read in (Stream.batches, Stream.__iter__):
            with pytest.raises(RuntimeError) as info:
                next(iter(read(own.stream(source))))
            said.append(str(info.value))
        return said

    from gprochat_magic.stream import Stream

    assert all("on the thread that fetches it" in said for said in own.run(work()))


def test_a_synchronous_ask_on_the_engine_raises(far: Served) -> None:
    """The public call too: it raises instead of hanging."""

    async def work() -> str:
        with pytest.raises(RuntimeError) as info:
            Chat("inside").ask_blocking("hello")
        return str(info.value)

    assert "on the thread that fetches it" in engine.shared().run(work())


def test_elsewhere_awaits_on_the_callers_loop(own: Engine) -> None:
    """Work goes to the engine from another loop, and stays there if it is there."""

    async def twice() -> str:
        return await own.elsewhere(thread_name())

    assert asyncio.run(twice()) == "gprochat-engine"
    assert own.run(twice()) == "gprochat-engine"


class Thing:
    """Something kept."""

    def __init__(self) -> None:
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True
        if self.closed:
            raise OSError("closing went wrong")


def test_what_is_kept_lives_as_long_as_the_loop(own: Engine) -> None:
    """Made once, closed at the end, made anew by the next loop; a failing close harms nobody."""

    async def kept() -> Thing:
        return own.keep("thing", Thing)

    first, same = own.run(kept()), own.run(kept())
    own.stop()
    second = own.run(kept())

    assert first is same
    assert first.closed
    assert second is not first


def test_stop_ends_streams_and_the_thread(own: Engine) -> None:
    """A reader in another thread hears of it, its generator is closed, the thread is gone."""
    ends: list[object] = []
    began = threading.Event()

    async def source(emit: object) -> AsyncGenerator[int]:
        try:
            while True:
                yield 1
                began.set()
                await asyncio.sleep(0.01)
        finally:
            ends.append("closed")

    def read() -> None:
        try:
            for _ in own.stream(source):
                pass
        except StreamInterruptedError as error:
            ends.append(error.kind)

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(5)
    thread = own.thread
    own.stop()
    reader.join(5)

    assert ends == ["closed", "stopped"]
    assert thread is not None
    assert not thread.is_alive()
    assert not own.running


def test_a_stop_never_ends_the_hosts_loop(own: Engine) -> None:
    """A task that awaits a stream fails with an ordinary error, not a KeyboardInterrupt."""

    async def source(emit: object) -> AsyncGenerator[int]:
        yield 1
        await asyncio.sleep(60)

    async def read() -> None:
        async for _ in own.stream(source):
            arrived.set()

    async def main() -> BaseException | None:
        task = asyncio.create_task(read())
        await arrived.wait()
        await asyncio.to_thread(own.stop)
        await asyncio.wait([task])
        return task.exception()

    arrived = asyncio.Event()

    assert isinstance(asyncio.run(main()), StreamInterruptedError)


def test_stop_can_be_called_at_any_time(own: Engine) -> None:
    """Before use, twice, and from its own thread it does nothing."""

    async def stop_there() -> None:
        own.stop()

    own.stop()
    own.run(stop_there())

    assert own.running
    own.stop()
    own.stop()
    assert not own.running


def test_work_handed_in_while_stopping_is_never_lost(own: Engine) -> None:
    """Each call either gets its result or is told that it was stopped; none hangs."""
    results: list[str] = []

    def ask() -> None:
        for _ in range(50):
            try:
                results.append(own.run(thread_name()))
            except StreamInterruptedError:
                results.append("stopped")

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    while any(thread.is_alive() for thread in asking):
        own.stop()
    for thread in asking:
        thread.join(20)

    gc.collect()  # a coroutine that nobody awaited would complain now
    assert len(results) == 150
    assert set(results) <= {"gprochat-engine", "stopped"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt, None])
def test_a_dead_thread_is_replaced(own: Engine, death: type[BaseException] | None) -> None:
    """Whatever ends the loop, those who wait are told, and the next call works."""
    ends: list[str] = []
    began = threading.Event()

    async def source(emit: object) -> AsyncGenerator[int]:
        try:
            yield 1
            began.set()
            await asyncio.sleep(60)
        finally:
            ends.append("closed")

    async def die() -> None:
        if death is None:
            asyncio.get_running_loop().stop()
        else:
            raise death

    def read() -> None:
        try:
            list(own.stream(source))
        except StreamInterruptedError:
            ends.append("told")

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(5)
    thread = own.thread
    own.submit(die())
    assert thread is not None
    thread.join(5)
    reader.join(5)

    assert ends == ["closed", "told"]
    assert own.run(thread_name()) == "gprochat-engine"
    assert own.thread is not thread


def test_an_awaiting_reader_is_told_of_a_dead_thread(own: Engine) -> None:
    """An await does not hang for ever either, even if the loop ended without a word."""

    async def source(emit: object) -> AsyncGenerator[int]:
        yield 1
        await asyncio.sleep(60)

    async def main() -> None:
        async for _ in own.stream(source):
            await asyncio.to_thread(own.stop)
            # Another's use brings the engine back; it is not the one that this stream ran on.
            await own.elsewhere(thread_name())

    with pytest.raises(StreamInterruptedError):
        asyncio.run(main())


def test_a_foreign_patch_of_asyncio_does_not_reach_the_engine(own: Engine) -> None:
    """Its tasks stay C tasks, so that timeouts work, whatever becomes of asyncio.Task."""

    async def kind() -> bool:
        return isinstance(asyncio.current_task(), _asyncio.Task)

    usual = asyncio.Task
    python = asyncio.tasks._PyTask  # type: ignore[attr-defined]
    asyncio.Task = asyncio.tasks.Task = python  # type: ignore[misc]
    try:
        assert own.run(kind())
    finally:
        asyncio.Task = asyncio.tasks.Task = usual  # type: ignore[misc]


@pytest.mark.parametrize("module", ["nest_asyncio", "nest_asyncio2"])
@pytest.mark.parametrize("when", ["before", "after", "never"])
def test_F70_nest_asyncio_applied_by_others(far: Served, module: str, when: str) -> None:
    """Before first use or after it: synchronous and awaited asks work, in and out of loops."""
    done = child(
        f"""
        import asyncio, warnings
        warnings.simplefilter("ignore")  # what nest_asyncio itself does is not ours to judge
        import {module}
        from gprochat_magic import Chat, ask
        {f"{module}.apply()" if when == "before" else "ask('first')"}
        {f"{module}.apply()" if when == "after" else ""}
        async def main():
            return str(ask("in a loop")), str(await Chat().ask("awaited"))
        print(ask("sync"), *asyncio.run(main()), *asyncio.run(main()))
        print(hasattr(asyncio, "_nest_patched"))
        """
    )

    assert done.stdout.split() == ["ok"] * 5 + [str(when != "never")]


def child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, which must end well and say nothing on stderr."""
    lines = code.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    script = "\n".join(line[indent:] for line in lines)
    # From Python 3.12 on, any fork beside a thread is warned of.
    warnings = ["-W", "always::ResourceWarning", "-W", "ignore:This process:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *warnings, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done


def test_uvloop_in_charge_of_the_host(far: Served) -> None:
    """A host on uvloop, by policy or by its runner, asks as any other does."""
    done = child(
        """
        import asyncio, uvloop
        from gprochat_magic import Chat, ask, engine
        async def main():
            assert "uvloop" in type(asyncio.get_running_loop()).__module__
            pieces = [piece async for piece in Chat().stream("streamed")]
            return str(ask("in a loop")), *pieces
        print(*uvloop.run(main()))
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        print(*asyncio.run(main()))
        print(type(engine.shared()._loop).__module__)
        """
    )

    assert done.stdout.split() == ["ok"] * 4 + ["asyncio.unix_events"]


def test_F71_a_forked_child_has_an_engine_and_gateway_of_its_own() -> None:
    """The child answers from its own; the parent's goes on, its connections and files untouched."""
    done = child(
        """
        import gc, os, sys
        from gprochat_magic import ask, embedded, engine
        async def address():
            return (await embedded.shared().target("demo")).socket
        before = ask("json").state, engine.shared().run(address())
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            gc.collect()
            own = ask("json").state, engine.shared().run(address())
            gc.collect()
            print(own[0], own[1] != before[1], os.path.exists(before[1]), flush=True)
            sys.exit(0)
        print(os.waitpid(pid, 0)[1], flush=True)
        print(ask("json").state, engine.shared().run(address()) == before[1])
        """
    )

    assert done.stdout.split() == ["complete", "True", "True", "0", "complete", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_F71_a_lock_that_was_held_at_the_fork() -> None:
    """A thread of the parent that was handing in work does not hold up the child for ever."""

    async def answer() -> int:
        return 42

    host = Engine()
    with host._lock:
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            os._exit(0 if host.run(answer()) == 42 else 1)
    _, status = os.waitpid(pid, 0)

    assert status == 0


def test_F71_a_child_forked_while_a_reply_streams() -> None:
    """The child's own conversation works, and the parent's reply arrives whole."""
    done = child(
        """
        import os, sys, asyncio
        from gprochat_magic import Chat, ask
        async def main():
            whole = ""
            async for piece in Chat("parent").stream("long 300"):
                if not whole:
                    pid = os.fork()
                    if pid == 0:
                        text = str(Chat("child").ask_blocking("json"))
                        os._exit(0 if text else 1)
                whole += piece
            print(os.waitpid(pid, 0)[1], Chat("parent").conversation.line()[0].state, bool(whole))
        asyncio.run(main())
        """
    )

    assert done.stdout.split() == ["0", "complete", "True"]


@pytest.mark.parametrize("reading", ["blocked", "awaiting", "held", "in_a_thread"])
def test_F77_the_interpreter_ends_while_a_reply_streams(far: Served, reading: str) -> None:
    """SIGTERM's SystemExit, or falling off the end: gone before the reply would have come to its
    end, nothing said, the server told.
    """
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    script = f"""
        import asyncio, signal, sys, threading
        from gprochat_magic import Chat, GPROChat
        from gprochat_magic.errors import GPROChatError
        signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
        began = threading.Event()
        messages = [{{"role": "user", "content": "go on"}}]
        def blocked():
            for batch in Chat().batches(Chat().start("go on")):
                print(*batch, flush=True)
        def awaiting():
            async def main():
                async for _ in Chat().stream("go on"):
                    print("text", flush=True)
            asyncio.run(main())
        def held():
            global generator
            generator = GPROChat.create_completion("", messages)
            print(next(generator), flush=True)
        def in_a_thread():
            def read():
                try:
                    for _ in GPROChat.create_completion("", messages):
                        began.set()
                except GPROChatError:
                    pass
            threading.Thread(target=read, daemon=True).start()
            began.wait()
            print("text", flush=True)
        {reading}()
        """
    lines = [line[8:] for line in script.strip("\n").splitlines()]
    process = subprocess.Popen(
        [sys.executable, "-W", "always::ResourceWarning", "-c", "\n".join(lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.startswith("text") for line in process.stdout)
    if reading in ("blocked", "awaiting"):
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=15)

    assert (process.returncode, said) == (0, "")
    assert far.backend.wait_closed(1)


def test_F77_sources_are_closed_as_the_interpreter_ends() -> None:
    """What a source does at its end is done, though nobody waits for it."""
    done = child(
        """
        import asyncio, threading
        from gprochat_magic import engine
        began = threading.Event()
        async def source(emit):
            try:
                yield began.set()
                await asyncio.sleep(60)
            finally:
                print("closed", flush=True)
        stream = engine.shared().stream(source)
        began.wait()
        """
    )

    assert done.stdout == "closed\n"


def test_F69_calls_from_many_loops_and_threads(far: Served) -> None:
    """A loop that ended, another one, other threads: each call works, no session is shared."""

    async def both() -> list[str]:
        messages: Any = [{"role": "user", "content": "hello"}]
        return [
            str(await Chat("loops").ask("hello")),
            await GPROChat.create_async("", messages),
        ]

    results = [asyncio.run(both()) for _ in range(3)]
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(both()))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [["ok", "ok"]] * 5


def test_F69_a_generator_begun_on_one_loop_and_ended_on_another(far: Served) -> None:
    """A chat's stream is fetched by the engine, so the loop that reads it may change."""
    far.backend.pieces, far.backend.pause = ["a", "b", "c"], 0.05
    stream = Chat("two loops").stream("hello")
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first = one.run_until_complete(anext(stream))
        # Not one turn more on the first loop.
        rest = other.run_until_complete(_rest(stream))
    finally:
        one.close()
        other.close()

    assert first + rest == "abc"


async def _rest(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


@pytest.mark.parametrize("make", ["chat", "provider"])
def test_F66_a_generator_that_is_dropped_closes_its_connection(far: Served, make: str) -> None:
    """Nobody calls aclose: the server sees the close all the same, and nothing is said."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    messages: Any = [{"role": "user", "content": "go on"}]

    async def main() -> bool:
        generator = (
            Chat("dropped").stream("go on")
            if make == "chat"
            else GPROChat.create_async_generator("", messages)
        )
        await anext(generator)
        del generator
        gc.collect()
        return await asyncio.to_thread(far.backend.wait_closed, 1, 1)

    assert asyncio.run(main())


def test_F66_a_synchronous_generator_that_is_dropped(far: Served) -> None:
    """The same from synchronous code."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    generator = GPROChat.create_completion("", [{"role": "user", "content": "go on"}])
    next(generator)
    del generator

    assert far.backend.wait_closed(1, 1)


def test_F67_a_broken_off_generator_that_is_still_held(far: Served) -> None:
    """`break` leaves it open until `aclose`; the turn is then interrupted, with its text."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    chat = Chat("held")

    async def main() -> None:
        async with contextlib.aclosing(chat.stream("go on")) as pieces:
            async for _ in pieces:
                break
            assert chat.conversation.line()[-1].state == "pending"

    asyncio.run(main())
    assert far.backend.wait_closed(1)
    turn = chat.conversation.line()[-1]
    assert turn.state == "interrupted"
    assert turn.reply.startswith("text ")


def test_F68_two_tasks_on_one_generator(far: Served) -> None:
    """Python refuses the second; the first gets everything."""
    far.backend.pieces, far.backend.pause = ["a", "b", "c"], 0.05

    async def main() -> Any:
        stream = Chat("two tasks").stream("hello")
        return await asyncio.gather(_rest(stream), _rest(stream), return_exceptions=True)

    first, second = asyncio.run(main())
    assert first == "abc"
    assert isinstance(second, RuntimeError)


def test_a_slow_reader_does_not_slow_the_engine(own: Engine) -> None:
    """Items wait in the queue; the source is done long before the reader is."""
    done = threading.Event()

    async def source(emit: object) -> AsyncGenerator[int]:
        for number in range(1000):
            yield number
        done.set()

    items = own.stream(source).batches()
    first = next(items)

    assert done.wait(5)
    assert len([*first, *(item for batch in items for item in batch)]) == 1000


def test_no_descriptor_is_left_by_engines(own: Engine) -> None:
    """Starting and stopping leaves no file descriptor and no thread behind."""
    own.run(thread_name())
    own.stop()
    descriptors, before = len(list(Path("/proc/self/fd").iterdir())), len(threads())
    for _ in range(20):
        own.run(thread_name())
        own.stop()

    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert len(threads()) == before


def test_a_half_read_completion_leaves_the_interrupt_alone(far: Served) -> None:
    """Whoever merely holds it is interrupted as ever: no handler of ours stays in place."""
    before = signal.getsignal(signal.SIGINT)
    generator = GPROChat.create_completion("", [{"role": "user", "content": "hello"}])
    next(generator)

    assert signal.getsignal(signal.SIGINT) is before
    assert list(generator) == []
