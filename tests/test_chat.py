"""Chat: turns in order, whoever sends them from wherever; states, options, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from gprochat_magic import Chat, Reply, ask, embedded, engine
from gprochat_magic.errors import (
    BadRequestError,
    ConfigError,
    ConversationBusyError,
    GPROChatError,
    RateLimitError,
    StreamInterruptedError,
)
from gprochat_magic.target import Target
from tests.gateways import Served, served


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A gateway that this process is pointed at."""
    with served() as gateway:
        for name, value in gateway.environment.items():
            monkeypatch.setenv(name, value)
        yield gateway
    engine.shared().stop()


@pytest.fixture
def near() -> Iterator[None]:
    """The embedded gateway, stopped afterwards."""
    yield
    engine.shared().stop()


@pytest.fixture
def chat(request: pytest.FixtureRequest) -> Chat:
    """A conversation of the test's own."""
    return Chat(request.node.name)


def states(chat: Chat) -> list[str]:
    return [turn.state for turn in chat.conversation.line()]


async def whole(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what is waited for is in another thread
        await asyncio.sleep(0.01)


def test_a_reply_knows_how_it_came_about(
    far: Served, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, number of its turn, state, model, time, usage."""
    monkeypatch.setenv("GPROCHAT_WIRE", "turns")
    reply = asyncio.run(chat.ask("hello", model="some-model"))

    assert (str(reply), reply.turn, reply.state, reply.model) == ("ok", 1, "complete", "some-model")
    assert reply.elapsed > 0
    assert reply.usage == (2, 1)
    assert states(chat) == ["complete"]


def test_chats_of_one_name_share_their_turns(far: Served) -> None:
    """Live, and those of another name do not."""
    asyncio.run(Chat("shared").ask("one"))
    asyncio.run(Chat("other").ask("two"))

    assert [t.prompt for t in Chat("shared").conversation.line()] == ["one"]


def test_pieces_come_as_they_arrive(far: Served, chat: Chat) -> None:
    """The first is there while the server still has more to send."""
    far.backend.pieces, far.backend.pause, far.backend.sent = ["a"] * 50, 0.02, 0

    async def main() -> int:
        sent = 0
        async for _ in chat.stream("hello"):
            sent = sent or far.backend.sent
        return sent

    assert asyncio.run(main()) < 10


def test_asking_works_in_every_kind_of_place(far: Served, chat: Chat) -> None:
    """In a script, in a running loop, in gathered tasks, in a thread, in asyncio.run in one."""
    far.backend.pieces = ["ok"]

    async def in_a_loop() -> list[str]:
        sync = str(chat.ask_blocking("in a loop"))
        tasks = await asyncio.gather(chat.ask("task 1"), whole(chat.stream("task 2")))
        threaded = await asyncio.to_thread(chat.ask_blocking, "in a thread")
        return [sync, *map(str, tasks), str(threaded)]

    got = [str(ask("script")), *asyncio.run(in_a_loop())]
    thread = threading.Thread(target=lambda: got.extend(asyncio.run(in_a_loop())))
    thread.start()
    thread.join()

    assert got == ["ok"] * 9


def test_F74_two_sends_at_once_go_one_after_another(far: Served, chat: Chat) -> None:
    """In the order they were made; the second is sent with the first one's reply."""
    far.backend.pieces, far.backend.pause = ["a", "b", "c"], 0.02

    async def main() -> Any:
        return await asyncio.gather(*(chat.ask(f"prompt {number}") for number in range(5)))

    replies = asyncio.run(main())
    turns = chat.conversation.line()
    assert [turn.prompt for turn in turns] == [f"prompt {number}" for number in range(5)]
    assert [reply.turn for reply in replies] == [1, 2, 3, 4, 5]
    assert {turn.reply for turn in turns} == {"abc"}
    assert all("abc" in prompt for prompt in far.backend.prompts[1:])


def test_F74_sends_from_many_threads(far: Served, chat: Chat) -> None:
    """None is lost, none is mixed."""
    far.backend.pieces, far.backend.pause = ["a", "b"], 0.001
    threads = [
        threading.Thread(target=chat.ask_blocking, args=(f"prompt {number}",))
        for number in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    turns = chat.conversation.line()
    assert {turn.prompt for turn in turns} == {f"prompt {number}" for number in range(10)}
    assert {turn.reply for turn in turns} == {"ab"}


def test_F74_again_after_the_engine_was_stopped(far: Served, chat: Chat) -> None:
    """Sends still wait for one another after a reload, which brings another loop."""
    far.backend.pieces, far.backend.pause = ["a", "b"], 0.02

    async def two() -> Any:
        return await asyncio.gather(chat.ask("one"), chat.ask("two"))

    asyncio.run(two())
    engine.shared().stop()

    assert [str(reply) for reply in asyncio.run(two())] == ["ab", "ab"]


def test_F75_a_send_from_inside_a_reply(far: Served, chat: Chat) -> None:
    """It is refused at once, awaited or not; the reply goes on to its end."""
    far.backend.pieces, far.backend.pause = ["a"] * 20, 0.02

    async def main() -> str:
        pieces = ""
        async for piece in chat.stream("hello"):
            if not pieces:
                with pytest.raises(ConversationBusyError):
                    await chat.ask("inside")
                with pytest.raises(ConversationBusyError):
                    chat.ask_blocking("inside")
            pieces += piece
        return pieces

    assert asyncio.run(main()) == "a" * 20
    assert [t.prompt for t in chat.conversation.line()] == ["hello"]


def test_F75_from_inside_a_blocking_one(far: Served, chat: Chat) -> None:
    """The same where a thread waits for the reply; another conversation is free."""
    far.backend.pieces, far.backend.pause = ["a"] * 20, 0.02
    batches = chat.batches(chat.start("hello"))
    next(batches)
    with pytest.raises(ConversationBusyError):
        chat.ask_blocking("inside")
    Chat("free").ask_blocking("elsewhere")
    for _ in batches:
        pass

    assert states(chat) == ["complete"]


def test_F67_asking_again_after_a_break(far: Served, chat: Chat) -> None:
    """A loop left with `break` is over: the next question is asked, the first turn interrupted."""
    far.backend.pieces, far.backend.pause = ["text "] * 500, 0.01

    async def main() -> str:
        async for _ in chat.stream("go on"):
            break
        far.backend.pieces = ["ok"]
        return str(await chat.ask("again"))

    assert asyncio.run(main()) == "ok"
    assert states(chat) == ["interrupted", "complete"]


def test_F67_a_reply_that_has_ended_blocks_nobody(far: Served, chat: Chat) -> None:
    """A generator that is held, half read, does not keep the conversation once all has come."""
    far.backend.pieces, far.backend.pause = ["a", "b", "c"], 0.01

    async def main() -> str:
        run = chat.start("held")
        held = chat.taken(run)
        await anext(held)
        await asyncio.to_thread(run.stream.wait)
        reply = await chat.ask("again")
        await held.aclose()
        return str(reply)

    assert asyncio.run(main()) == "abc"


def test_cancelling_a_task_stops_its_reply(far: Served, chat: Chat) -> None:
    """The connection is closed and the text kept; a send that waited goes on."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0

    async def main() -> str:
        began = asyncio.Event()

        async def read() -> None:
            async for _ in chat.stream("go on"):
                began.set()

        task = asyncio.create_task(read())
        await began.wait()
        waiting = asyncio.create_task(chat.ask("next"))
        await asyncio.sleep(0)
        far.backend.pieces = ["ok"]
        task.cancel()
        return str(await waiting)

    assert asyncio.run(main()) == "ok"
    assert far.backend.wait_closed(1)
    assert states(chat) == ["interrupted", "complete"]


def test_a_send_that_is_cancelled_while_it_waits_is_no_turn(far: Served, chat: Chat) -> None:
    """Nothing was sent, so nothing is in the conversation."""
    far.backend.pieces, far.backend.pause = ["text "] * 30, 0.01

    async def main() -> None:
        first = asyncio.create_task(chat.ask("first"))
        await until(lambda: bool(far.backend.asked))
        second = asyncio.create_task(chat.ask("second"))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(main())
    assert [t.prompt for t in chat.conversation.line()] == ["first"]
    assert len(far.backend.asked) == 1


def test_without_history_nothing_is_sent_or_kept(far: Served, chat: Chat) -> None:
    """One prompt alone."""
    asyncio.run(chat.ask("first"))
    asyncio.run(chat.ask("alone", history=False))

    assert far.backend.prompts[-1] == "alone"
    assert [t.prompt for t in chat.conversation.line()] == ["first"]


@pytest.mark.parametrize(
    ("prompt", "options", "error"),
    [
        ("", {}, BadRequestError),
        (" \n", {}, BadRequestError),
        (5, {}, BadRequestError),
        (None, {}, BadRequestError),
        ("x", {"timeout": -1}, ConfigError),
        ("x", {"timeout": "soon"}, ConfigError),
        ("x", {"proxy": "socks5://host:1"}, ConfigError),
    ],
)
def test_what_cannot_be_sent_is_no_turn(
    far: Served, chat: Chat, prompt: Any, options: dict[str, Any], error: type[GPROChatError]
) -> None:
    """It is refused before anything is sent or kept."""
    with pytest.raises(error):
        asyncio.run(chat.ask(prompt, **options))

    assert states(chat) == []
    assert far.backend.asked == []


def test_a_reply_is_a_prompt(far: Served, chat: Chat) -> None:
    """It behaves as its text here as well."""
    reply = asyncio.run(chat.ask("first"))
    asyncio.run(chat.ask(reply, history=False))

    assert far.backend.prompts == ["first", reply.text]


@pytest.mark.parametrize("called", [ask, Chat.ask, Chat.stream])
def test_a_docstring_stands_alone(called: Callable[..., Any]) -> None:
    """Each names every keyword and what is raised, and sends nobody to another one."""
    told = str(called.__doc__)

    for word in ("model", "system", "turns", "history", "timeout", "proxy", "parameters", "cache"):
        assert f"`{word}" in told
    assert "Raises `GPROChatError`s" in told


def test_F58_lone_surrogates(far: Served, chat: Chat) -> None:
    """They are replaced before anything is signed, sent or kept."""
    asyncio.run(chat.ask("a\ud800b"))

    assert far.backend.prompts == ["a\ufffdb"]
    assert chat.conversation.line()[0].prompt == "a\ufffdb"


def test_a_broken_reply_keeps_its_text_and_says_why(near: None, chat: Chat) -> None:
    """F113: the backend's own reason, from behind the embedded gateway."""
    with pytest.raises(StreamInterruptedError, match="as it was asked to") as info:
        asyncio.run(chat.ask("cut"))

    turn = chat.conversation.line()[0]
    assert turn.state == "interrupted"
    assert turn.reply == info.value.partial != ""
    assert turn.error == info.value.message


def test_a_refused_prompt_is_kept_as_failed_and_not_sent_again(
    near: None, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next prompt goes without it."""
    monkeypatch.setenv("GPROCHAT_RETRIES", "0")
    with pytest.raises(RateLimitError):
        asyncio.run(chat.ask("error 429"))
    reply = asyncio.run(chat.ask("hello"))

    assert states(chat) == ["failed", "complete"]
    assert "You sent 1 " in str(reply)


def test_F112_a_gateway_that_died_is_started_again(near: None, chat: Chat) -> None:
    """Once, with another address and secret; the old address is never used; the send succeeds."""

    async def target() -> Target:
        return await embedded.shared().target("demo")

    async def close_it() -> None:
        gateway = embedded.shared()._gateway
        assert gateway is not None
        await gateway.close()

    chat.ask_blocking("hello")
    before = engine.shared().run(target())
    engine.shared().run(close_it())
    after = engine.shared().run(target())
    reply = chat.ask_blocking("hello")

    assert reply.state == "complete"
    assert after.socket != before.socket
    assert after.secret != before.secret
    assert engine.shared().run(target()) == after


def test_F112_a_gateway_that_dies_between_the_look_and_the_send(near: None, chat: Chat) -> None:
    """Nobody answers at the address that was just looked up: it is asked for anew, once."""

    async def target() -> Target:
        return await embedded.shared().target("demo")

    async def restarted(failed: Target) -> Target:
        return await embedded.shared().restart("demo", failed)

    old = engine.shared().run(target())
    # The file is there and nobody listens, so only a connection can tell.
    Path(old.socket).unlink()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(old.socket)
        replies = asyncio.run(_both(chat.ask("hello"), Chat("beside it").ask("hello")))
    new = engine.shared().run(target())
    late = engine.shared().run(restarted(old))

    assert late == new  # a send that failed at the old one does not take the new one away
    assert [reply.state for reply in replies] == ["complete"] * 2
    assert new.socket != old.socket
    assert new.secret != old.secret


async def _both(*asking: Coroutine[Any, Any, Reply]) -> list[Reply]:
    return await asyncio.gather(*asking)


def test_an_engine_that_was_stopped_comes_back(near: None, chat: Chat) -> None:
    """Also with the embedded gateway: everything is started anew."""
    states = []
    for _ in range(3):
        states.append(chat.ask_blocking("hello").state)
        engine.shared().stop()
        gc.collect()

    assert states == ["complete"] * 3
