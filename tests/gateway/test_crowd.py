"""Crowds of connections that ask nothing, or ask and do not read: whoever asks is served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import psutil
import pytest

from gprochat_magic.gateway.crowd import LARGEST, Crowd, Door
from gprochat_magic.messages import Messages
from tests.gateway.conftest import Client
from tests.gateway.serving import serving

if TYPE_CHECKING:
    from tests.gateway.conftest import Serve, Stub

asynchronous = pytest.mark.asyncio
IDLE = 900
SLOW = 64


@pytest.fixture
def many_files() -> None:
    """As many open files as the test and its gateway need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * IDLE:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))


@asynchronous
@pytest.mark.parametrize("begun", [b"", b"POST /api/generate HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_F109_a_head_that_never_ends(serve: Serve, begun: bytes) -> None:
    """A connection whose request never comes, or comes for ever, is closed after its time."""
    client = await serve(body_timeout=0.3)
    reader, writer = await client.connect()
    writer.write(begun)

    async def trickle() -> None:
        while begun:
            writer.write(b"a")
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())

    # What is heard may be an answer that says so; then comes the end.
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(2**20), 10)
    trickling.cancel()
    writer.close()


@asynchronous
async def test_F109_the_crowds_own_patience() -> None:
    """A head is not waited for either where the library itself would go on waiting."""

    async def unasked(request: object) -> Any:
        raise AssertionError("nothing was asked")

    door = Door(unasked, Crowd(patience=0.3), keepalive_timeout=600)
    server = await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 10)
    writer.close()
    server.close()
    await server.wait_closed()


@asynchronous
async def test_F109_between_two_requests(serve: Serve) -> None:
    """A connection that was served and then asks nothing more is closed after its time too."""
    client = await serve(body_timeout=0.3)
    reader, writer = await client.connect()
    writer.write(client.post(headers={"Connection": "keep-alive"}))
    await reader.readuntil(b"0\r\n\r\n")

    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 10)
    writer.close()


@asynchronous
@pytest.mark.parametrize("unsigned", [False, True])
async def test_F109_a_crowd_is_kept_small(
    serve: Serve, stub: Stub, many_files: None, unsigned: bool
) -> None:
    """Of 900 connections that ask nothing, or unsigned, 64 are held, and the owner is served."""
    client = await serve()
    half = client.post(client.signed(sign="0" * 64))[:-1] if unsigned else b""
    crowd = []
    for _ in range(IDLE):
        crowd.append(await client.connect())
        crowd[-1][1].write(half)

    answers = [await client.send(client.post()) for _ in range(3)]

    assert [200, 200, 200] == [answer.status for answer in answers]
    port = int(client.host.rpartition(":")[2])
    held = [
        each
        for each in psutil.Process().net_connections("tcp")
        if each.laddr[1] == port and each.status == psutil.CONN_ESTABLISHED
    ]
    assert len(held) <= LARGEST
    for _, writer in crowd:
        writer.transport.abort()
    await asyncio.sleep(0)


class Fast:
    """Replies for ever, as fast as its reader takes it."""

    name = "fast"

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The same piece, or one word for who asks for it."""
        if messages[-1]["content"] == "hello":
            yield "fine"
            return
        while True:
            yield "x" * 65536
            await asyncio.sleep(0)


@asynchronous
async def test_F109_replies_are_not_in_the_crowd(serve: Serve) -> None:
    """Replies that run are not dismissed, however many connections ask nothing meanwhile."""
    client = await serve(backend=Fast(), body_timeout=0.5)
    reader, writer = await client.connect()
    writer.write(client.post(client.signed("on and on")))
    await reader.readuntil(b"200 OK")
    crowd = [await client.connect() for _ in range(2 * LARGEST)]
    loop = asyncio.get_running_loop()
    until = loop.time() + 1

    while loop.time() < until:
        assert await reader.read(2**20)

    for _, each in [(reader, writer), *crowd]:
        each.transport.abort()
    await asyncio.sleep(0)


class Engine:
    """A model's server whose replies have no end, but to `hello`, at its reader's pace."""

    def __init__(self) -> None:
        self.sent = 0
        self.url = ""
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await asyncio.gather(*filter(None, self._tasks))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split()[0])
        asked = await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        event = json.dumps({"choices": [{"delta": {"content": "x" * 60_000}}]}).encode()
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"data: " + event + b"\n\n")
                await writer.drain()
                self.sent += len(event)
                if b"hello" in asked:
                    writer.write(b"data: [DONE]\n\n")
                    break
        writer.close()

    async def stalled(self) -> None:
        """Wait until nobody reads any more."""
        before = -1
        while before != self.sent:
            before = self.sent
            await asyncio.sleep(0.3)


@asynchronous
async def test_F115_slow_readers_and_a_crowd(many_files: None) -> None:
    """64 who do not read and 900 who ask nothing: the owner is served, and memory is bounded."""
    async with Engine() as engine:
        with serving("--backend", f"{engine.url}#m", "--no-access-log") as running:
            client = Client(running)
            process = psutil.Process(running.process.pid)
            assert 200 == (await client.send(client.post())).status
            before = process.memory_info().rss

            readers = await asyncio.gather(*(_begun(client) for _ in range(SLOW)))
            crowd = [await client.connect() for _ in range(IDLE)]
            await engine.stalled()
            answer = await client.send(client.post())

            assert 200 == answer.status
            assert answer.whole
            assert process.memory_info().rss - before < SLOW * 4 * 2**20
            # Each reader has a connection of its own, and one to the engine.
            assert process.num_fds() < 4 * LARGEST
            for _, writer in [*readers, *crowd]:
                writer.transport.abort()


async def _begun(client: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A reply without end that has begun, of which nothing more is read."""
    reader, writer = await client.connect()
    writer.write(client.post(client.signed("on and on")))
    await reader.readuntil(b"200 OK")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return reader, writer
