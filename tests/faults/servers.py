"""Raw servers on loopback: what they send, and when, is a script; what they got is counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

CHUNKED = "Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
"""The chunk that ends a chunked body."""


@dataclass
class Request:
    """A request as it came: its head and its body."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.decode().partition(":") for line in self.head.strip().split(b"\r\n")[1:])
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection to a raw server."""

    def __init__(
        self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server, self.reader, self.writer = server, reader, writer

    async def request(self) -> Request:
        """Read one request."""
        request = Request(await self.reader.readuntil(b"\r\n\r\n"))
        self.server.requests.append(request)
        length = int(request.headers.get("content-length", 0))
        request.body = await self.reader.readexactly(length)
        return request

    async def send(self, data: bytes) -> None:
        """Write bytes."""
        self.writer.write(data)
        await self.writer.drain()


Step = bytes | Callable[[Connection], Awaitable[object]]
Script = Callable[[Connection], Awaitable[object]]


def play(*steps: Step) -> Script:
    """A script: read a request, then send what is bytes and await what is not, then close."""

    async def script(connection: Connection) -> None:
        await connection.request()
        for step in steps:
            await (connection.send(step) if isinstance(step, bytes) else step(connection))

    return script


def head(*headers: str, status: str = "200 OK") -> bytes:
    """The status line and headers of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def whole(text: str = "fine", *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer with its length."""
    body = text.encode()
    return head(f"Content-Length: {len(body)}", *headers, status=status) + body


def chunk(data: str | bytes) -> bytes:
    """One chunk of a chunked body."""
    data = data.encode() if isinstance(data, str) else data
    return b"%x\r\n%b\r\n" % (len(data), data)


def drip(pieces: Iterable[bytes], *, seconds: float) -> Script:
    """A step that sends pieces one by one, with so many seconds between them."""

    async def step(connection: Connection) -> None:
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(seconds)

    return step


async def settle(connection: Connection) -> None:
    """A step that lets the client, which shares the loop, read what was sent."""
    for _ in range(20):
        await asyncio.sleep(0)


async def once_heard(connection: Connection) -> None:
    """A step that waits until the client has yielded a piece of text."""
    await connection.server.heard.wait()


async def hold(connection: Connection) -> None:
    """A step that keeps the connection open until the client closes it."""
    while await connection.reader.read(65536):
        pass


async def half_close(connection: Connection) -> None:
    """A step that closes one direction, and keeps listening."""
    connection.writer.write_eof()
    await hold(connection)


async def reset(connection: Connection) -> None:
    """A step that ends the connection with a reset."""
    opened = connection.writer.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.writer.transport.abort()


async def close_now(connection: Connection) -> None:
    """A script that reads no request and hangs up."""


silent: Script = hold
"""A script that reads what comes and says nothing."""


class RawServer:
    """A listening server. Connection n runs script n; those after the last run the last."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.scripts = scripts
        self.connections = 0
        self.requests: list[Request] = []
        self.heard = asyncio.Event()
        self.scheme = "http"
        self.port = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The endpoint, with something in its query that no error may show."""
        return f"{self.scheme}://localhost:{self.port}/api/generate?key=query-canary"

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script of one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        try:
            await script(Connection(self, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def stop(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A raw server on a port of its own, for as long as the context lasts."""
    server = RawServer(scripts or (play(whole()),))
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls, limit=2**23)
    server.port = listener.sockets[0].getsockname()[1]
    server.scheme = "https" if tls else "http"
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await listener.wait_closed()


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that is taken and on which nobody listens, so that connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port where connections are neither taken nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
