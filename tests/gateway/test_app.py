"""Requests over a real socket: what is served, what is refused, and how replies end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from gprochat_magic import wire
from gprochat_magic.clock import Clock
from gprochat_magic.gateway.app import FAILURES
from gprochat_magic.gateway.backends import BackendError, Speaker
from gprochat_magic.gateway.turnstile import Turnstile
from gprochat_magic.messages import Messages
from tests.gateway.attacks import attacks

if TYPE_CHECKING:
    from tests.gateway.conftest import Serve, Stub

asynchronous = pytest.mark.asyncio


class TestServed:
    @asynchronous
    @pytest.mark.parametrize("unix", [False, True])
    async def test_a_signed_prompt_is_answered(
        self, serve: Serve, make_stub: Callable[..., Stub], unix: bool
    ) -> None:
        """A signed prompt gets its reply in chunks with an end, as text that nothing may keep."""
        backend = make_stub("При", "", "вет")
        client = await serve(backend=backend, unix=unix)

        answer = await client.send(client.post(client.signed("Как дела? {x}")))

        assert (200, "Привет", True) == (answer.status, answer.text, answer.whole)
        assert [([{"role": "user", "content": "Как дела? {x}"}], {"model": ""})] == backend.calls
        assert {
            "content-type": "text/plain; charset=utf-8",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
            "cross-origin-resource-policy": "same-origin",
            "x-accel-buffering": "no",
            "transfer-encoding": "chunked",
        }.items() <= answer.headers.items()

    @asynchronous
    async def test_turns_reach_the_backend(self, serve: Serve, stub: Stub) -> None:
        """Roles, model and options that the client signs are what the backend gets."""
        client = await serve()
        turns: Messages = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hello"},
        ]
        built = wire.build(
            turns,
            secret=client.served.secret.reveal(),
            timestamp=client.now(),
            wire="turns",
            model="m",
            options={"temperature": 0.5},
        )

        answer = await client.send(client.post(built.body, headers=built.headers))

        assert 200 == answer.status
        assert [(turns, {"temperature": 0.5, "model": "m"})] == stub.calls

    @asynchronous
    async def test_a_client_written_from_the_protocol_alone(self, serve: Serve) -> None:
        """A client that knows nothing but the protocol, and nothing of ours, is served."""
        client = await serve()
        secret = client.served.secret.reveal()
        now, prompt = int(time.time() * 1000), "Привет, как дела?"
        content = {
            "messages": [{"role": "user", "parts": [{"text": prompt}]}],
            "time": now,
            "pass": None,
            "sign": hashlib.sha256(f"{now}:{prompt}:{secret}".encode()).hexdigest(),
        }
        request = urllib.request.Request(
            client.served.endpoint,
            json.dumps(content).encode(),
            {
                "accept": "*/*",
                "origin": "https://gprochat.com",
                "referer": "https://gprochat.com/",
                "user-agent": "a-test/1",
                "content-type": "text/plain;charset=UTF-8",
            },
        )

        def ask() -> str:
            with urllib.request.urlopen(request, timeout=10) as response:
                return str(response.read().decode())

        assert "fine" == await asyncio.to_thread(ask)

    @asynchronous
    async def test_a_connection_is_used_again(self, serve: Serve, stub: Stub) -> None:
        """Requests may follow each other on one connection."""
        client = await serve()
        first = client.post(headers={"Connection": "keep-alive"})

        answers = (await client.send(first + client.post())).raw

        assert (2, 2) == (answers.count(b"HTTP/1.1 200 OK"), len(stub.calls))

    @asynchronous
    async def test_an_empty_reply_is_a_success(
        self, serve: Serve, make_stub: Callable[..., Stub]
    ) -> None:
        """A backend without anything to say gives an empty body with a proven end."""
        client = await serve(backend=make_stub())

        answer = await client.send(client.post())

        assert (200, b"0\r\n\r\n") == (answer.status, answer.body)

    @asynchronous
    @pytest.mark.parametrize(
        ("name", "told"), [("m/1:x", "m/1:x"), ("модель", None), ("a\r\nb: c", None), ("", None)]
    )
    async def test_who_answers_is_told(
        self, serve: Serve, make_stub: Callable[..., Stub], name: str, told: str | None
    ) -> None:
        """A header names the model, where a header can."""
        client = await serve(backend=make_stub(Speaker(name), "a"))

        answer = await client.send(client.post())

        assert ("a", told) == (answer.text, answer.headers.get("x-gprochat-model"))

    @asynchronous
    async def test_half_a_character_from_a_backend(
        self, serve: Serve, make_stub: Callable[..., Stub]
    ) -> None:
        """A lone surrogate in a backend's text arrives as U+FFFD and breaks nothing."""
        client = await serve(backend=make_stub("a\ud83d"))

        assert "a\ufffd" == (await client.send(client.post())).text

    @asynchronous
    @pytest.mark.parametrize(
        ("given", "kept"), [("abc-1.2_3", True), ("a b", False), ("a" * 65, False), ("é", False)]
    )
    async def test_request_id(self, serve: Serve, given: str, kept: bool) -> None:
        """A plain request id comes back; any other is replaced by one of ours."""
        client = await serve()

        answer = await client.send(client.post(headers={"x-request-id": given}))

        echoed = answer.headers["x-request-id"]
        assert kept == (echoed == given)
        assert echoed.isascii()

    @asynchronous
    async def test_F117_equal_prompts(self, serve: Serve, stub: Stub) -> None:
        """Equal prompts in one millisecond are both answered."""
        client = await serve()
        at = time.time()
        clock = Clock(lambda: at)
        for _ in range(2):
            built = wire.build(
                [{"role": "user", "content": "same"}],
                secret=client.served.secret.reveal(),
                timestamp=clock.now(client.served.endpoint),
            )

            assert 200 == (await client.send(client.post(built.body, headers=built.headers))).status

        assert 2 == len(stub.calls)


@pytest.fixture
def root_records() -> Iterator[list[str]]:
    """What reaches the root logger, which a notebook may show. (caplog sees more than that.)"""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    yield records
    root.removeHandler(handler)


@asynchronous
async def test_F100_to_F108_attacks_are_refused(
    serve: Serve, stub: Stub, capfd: pytest.CaptureFixture[str], root_records: list[str]
) -> None:
    """Every scripted attack is refused: no backend called, no CORS header sent, nothing said."""
    client = await serve()
    assert 200 == (await client.send(client.post())).status
    stub.calls.clear()

    wrong, cors = {}, []
    for name, (statuses, request) in attacks(client).items():
        answer = await client.send(request)
        if answer.status not in statuses:
            wrong[name] = answer.status
        cors += [name for field in answer.headers if field.startswith("access-control")]

    assert {} == wrong
    assert [] == cors
    assert [] == stub.calls
    assert ("", "") == capfd.readouterr()
    assert [] == root_records


@asynchronous
async def test_F103_refusals_are_equal_to_the_byte(serve: Serve) -> None:
    """Answers to wrong signatures do not differ in a byte and carry no date."""
    client = await serve()
    wrong = ["", "0", "0" * 64, "Z" * 64, "ж" * 64, None, 5, "\ud800"]

    answers = {(await client.send(client.post(client.signed(sign=sign)))).raw for sign in wrong}
    by_header = client.post(headers={wire.SIGNATURE_HEADER: "v1=" + "0" * 64})
    answers.add((await client.send(by_header)).raw)

    assert 1 == len(answers)
    assert b"\r\ndate:" not in answers.pop().lower()


@asynchronous
async def test_F105_skew_names_our_time(serve: Serve, stub: Stub) -> None:
    """A request whose clock is off is told our time, so that the client can correct itself."""
    client = await serve(now=lambda: time.time() + 301)

    answer = await client.send(client.post())

    assert (401, []) == (answer.status, stub.calls)
    assert "GMT" in answer.headers["date"]


@asynchronous
async def test_F105_replay(serve: Serve, stub: Stub) -> None:
    """The same request is answered once."""
    client = await serve()
    request = client.post()

    assert [200, 409] == [(await client.send(request)).status for _ in range(2)]
    assert 1 == len(stub.calls)


@asynchronous
async def test_F107_body_larger_than_announced(serve: Serve, stub: Stub) -> None:
    """A body in chunks is counted as it comes, and refused once it is too large."""
    client = await serve()
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    request = client.post(
        piece * 65 + b"0\r\n\r\n",
        headers={"Transfer-Encoding": "chunked", "Content-Length": None},
    )

    assert (413, []) == ((await client.send(request)).status, stub.calls)


@asynchronous
async def test_F107_chunk_that_is_none(serve: Serve, stub: Stub) -> None:
    """A body whose second chunk is noise is refused, by its reader or for its time."""
    client = await serve(body_timeout=0.5)
    reader, writer = await client.connect()
    writer.write(client.post(b"", headers={"Transfer-Encoding": "chunked", "Content-Length": None}))
    writer.write(b"5\r\nhello\r\n")
    await asyncio.sleep(0.1)

    writer.write(b"zz\r\n")

    answer = await asyncio.wait_for(reader.read(-1), 5)
    writer.close()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert [] == stub.calls


@asynchronous
async def test_F109_body_that_never_ends(serve: Serve, stub: Stub) -> None:
    """A body that does not arrive in time is not waited for."""
    client = await serve(body_timeout=0.1)
    body = client.signed()

    answer = await client.send(client.post(body)[:-1])

    assert (408, []) == (answer.status, stub.calls)


class TestFailure:
    @asynchronous
    @pytest.mark.parametrize(
        ("error", "status", "text", "retry_after"),
        [
            (BackendError(429, "slow down", 1.5), 429, "slow down", "1.5"),
            (BackendError(429, "tomorrow", 9_999_999.0), 429, "tomorrow", "9999999"),
            (BackendError(503, "no model"), 503, "no model", None),
            (BackendError(200, "odd"), 502, "odd", None),
            (BackendError(502, "for good", final=True), 502, "for good", None),
            (ValueError("key=sk-123"), 500, "the backend failed with ValueError", None),
        ],
    )
    async def test_a_refusal_before_the_first_text_is_a_status(
        self,
        serve: Serve,
        make_stub: Callable[..., Stub],
        error: Exception,
        status: int,
        text: str,
        retry_after: str | None,
    ) -> None:
        """A backend that fails at once gives a status; the text of a foreign error stays here."""
        client = await serve(backend=make_stub("", error))

        answer = await client.send(client.post())

        assert (status, text.encode()) == (answer.status, answer.body)
        assert retry_after == answer.headers.get("retry-after")
        final = isinstance(error, BackendError) and error.final
        assert ("false" if final else None) == answer.headers.get("x-should-retry")
        assert {} == client.served.failures

    @asynchronous
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (BackendError(502, "upstream left"), "upstream left"),
            (ValueError("key=sk-123"), "the backend failed with ValueError"),
            (ConnectionResetError("upstream"), "the backend failed with ConnectionResetError"),
            (TimeoutError("upstream"), "the backend failed with TimeoutError"),
        ],
    )
    async def test_F113_a_reply_that_fails_has_no_end(
        self, serve: Serve, make_stub: Callable[..., Stub], error: Exception, reason: str
    ) -> None:
        """A reply that fails midway arrives up to there, without last chunk; the reason is kept."""
        client = await serve(backend=make_stub("so far", "x" * 200_000, error))

        answer = await client.send(
            client.post(headers={"x-request-id": "r1", "Connection": "keep-alive"})
        )

        assert (200, False) == (answer.status, answer.whole)
        assert "so far" + "x" * 200_000 == answer.text
        assert {"r1": reason} == client.served.failures

    @asynchronous
    async def test_reasons_are_bounded(self, serve: Serve, make_stub: Callable[..., Stub]) -> None:
        """Only the latest reasons are kept."""
        client = await serve(backend=make_stub("so far", ValueError()))
        for number in range(FAILURES + 2):
            await client.send(client.post(headers={"x-request-id": f"r{number}"}))

        assert FAILURES == len(client.served.failures)
        assert "r1" not in client.served.failures

    @asynchronous
    async def test_the_next_request_is_served(
        self, serve: Serve, make_stub: Callable[..., Stub]
    ) -> None:
        """A failed reply ends itself and nothing else."""
        backend = make_stub("so far", ValueError())
        client = await serve(backend=backend)
        await client.send(client.post())
        backend.pieces = ["fine"]

        assert "fine" == (await client.send(client.post())).text


class Endless:
    """Replies with `piece` until closed, at once or at the pace of the reader."""

    name = "endless"

    def __init__(self, piece: str, *, wait: bool) -> None:
        self.piece = piece
        self.wait = wait
        self.sent = 0
        self.begun = asyncio.Event()
        self.closed = asyncio.Event()

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The same piece again and again."""
        self.begun.set()
        try:
            while True:
                yield self.piece
                self.sent += len(self.piece)
                await asyncio.sleep(3600 if self.wait else 0)
        finally:
            self.closed.set()


@asynchronous
@pytest.mark.parametrize("piece", ["", "x"])
async def test_F114_the_backend_stops_when_the_reader_leaves(serve: Serve, piece: str) -> None:
    """A reader who leaves, before or amid the reply, ends the backend's work within a second."""
    backend = Endless(piece, wait=True)
    client = await serve(backend=backend)
    _, writer = await client.connect()
    writer.write(client.post())
    await backend.begun.wait()

    writer.close()

    await asyncio.wait_for(backend.closed.wait(), 1)
    assert {} == client.served.failures


@asynchronous
async def test_F115_a_reader_who_stops_reading_stops_the_backend(serve: Serve) -> None:
    """The backend is not asked for more than sockets and a small buffer take."""
    backend = Endless("x" * 100_000, wait=False)
    client = await serve(backend=backend)
    _, writer = await client.connect()
    writer.write(client.post())
    before = -1
    while backend.sent != before:
        before = backend.sent
        await asyncio.sleep(0.2)

    assert 0 < backend.sent < 8 * 2**20
    writer.close()
    await asyncio.wait_for(backend.closed.wait(), 5)
    assert {} == client.served.failures


@asynchronous
async def test_a_reader_who_takes_nothing_gives_up_the_place(serve: Serve) -> None:
    """The work upstream ends, and the next request of the same client is let in."""
    backend, turnstile = Endless("x" * 100_000, wait=False), Turnstile(concurrent=1)
    client = await serve(backend=backend, turnstile=turnstile, reader_timeout=0.2)
    _, writer = await client.connect()
    writer.write(client.post())

    await asyncio.wait_for(backend.closed.wait(), 5)

    async with turnstile.turn(""):
        pass
    assert {} == client.served.failures
    writer.close()


@asynchronous
async def test_a_slow_reader_gets_it_all(serve: Serve, make_stub: Callable[..., Stub]) -> None:
    """A reply may take longer than that, as long as some of it is taken."""
    text = "x" * 2**24
    client = await serve(backend=make_stub(text), reader_timeout=1)
    reader, writer = await client.connect()
    writer.write(client.post())
    got = 0
    while piece := await reader.read(2**19):
        got += len(piece)
        await asyncio.sleep(0.02)

    assert got > len(text)
    writer.close()


@asynchronous
async def test_one_huge_piece_is_written_in_slices(
    serve: Serve, make_stub: Callable[..., Stub]
) -> None:
    """A piece of many megabytes arrives whole, in chunks of a bounded size."""
    client = await serve(backend=make_stub("я" * 2**20))

    answer = await client.send(client.post())

    assert ("я" * 2**20, True) == (answer.text, answer.whole)
    assert int(answer.body.partition(b"\r\n")[0], 16) <= 65536
