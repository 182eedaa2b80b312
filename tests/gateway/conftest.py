"""A scripted backend, gateways that end with the test, HTTP by hand, and commands that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gprochat_magic import gateway, wire
from gprochat_magic.cli import main
from gprochat_magic.clock import Clock
from gprochat_magic.config import Secret
from gprochat_magic.messages import Messages


@dataclass
class Stub:
    """Replies with its pieces, raises those that are exceptions, and keeps what it was asked."""

    pieces: list[str | Exception] = field(default_factory=lambda: ["fine"])
    name: str = "stub"
    calls: list[tuple[Messages, dict[str, Any]]] = field(default_factory=list)

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The script."""
        self.calls.append((messages, dict(options)))
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


@dataclass
class Answer:
    """What came back over a socket: the status (0: nothing came), headers and the raw body."""

    raw: bytes

    @property
    def head(self) -> list[bytes]:
        return self.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def status(self) -> int:
        return int(self.head[0].split()[1]) if self.raw else 0

    @property
    def headers(self) -> dict[str, str]:
        pairs = [line.decode().partition(":") for line in self.head[1:]]
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def whole(self) -> bool:
        """Whether the last chunk came."""
        return self.body.endswith(b"0\r\n\r\n")

    @property
    def text(self) -> str:
        """The text inside the chunks that came."""
        rest, text = self.body, b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            text += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return text.decode()


class Reachable(Protocol):
    """A gateway in this process or another."""

    @property
    def endpoint(self) -> str: ...

    secret: Secret
    socket: str | None


class Client:
    """Requests to a gateway, byte by byte, over whichever socket it has."""

    def __init__(self, served: Reachable) -> None:
        self.served = served
        self.host = urlsplit(served.endpoint).netloc
        self.now = Clock().now

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """An open connection."""
        if self.served.socket:
            return await asyncio.open_unix_connection(self.served.socket)
        return await asyncio.open_connection(*self.host.split(":"))

    def post(
        self,
        body: bytes | None = None,
        *,
        line: str = f"POST {wire.PATH} HTTP/1.1",
        headers: Mapping[str, str | None] | None = None,
        extra: str = "",
    ) -> bytes:
        """A request that is in order but for what is given; a header that is None is left out."""
        body = self.signed() if body is None else body
        fields: dict[str, str | None] = {
            "Host": self.host,
            "Connection": "close",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        lines = [line, *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
        return ("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode("latin-1") + body

    def signed(self, prompt: str = "hello", **changes: Any) -> bytes:
        """A flat body with the protocol's own signature, then changed."""
        built = wire.build(
            [{"role": "user", "content": prompt}],
            secret=self.served.secret.reveal(),
            timestamp=self.now(),
        )
        return json.dumps(json.loads(built.body) | changes).encode()

    async def send(self, request: bytes) -> Answer:
        """The answer to raw bytes, read to the end of the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return Answer(await asyncio.wait_for(reader.read(-1), 20))
        except ConnectionResetError:
            return Answer(b"")
        finally:
            writer.close()


class Serve(Protocol):
    """Starts a gateway that the end of the test closes."""

    def __call__(self, **options: Any) -> Awaitable[Client]: ...


@pytest.fixture
def stub() -> Stub:
    """A backend that answers `fine` and counts."""
    return Stub()


@pytest.fixture
def make_stub() -> Callable[..., Stub]:
    """A backend that plays the given pieces."""
    return lambda *pieces: Stub(list(pieces))


@pytest_asyncio.fixture
async def serve(stub: Stub) -> AsyncIterator[Serve]:
    """A function that starts a gateway, over TCP and before the stub unless told otherwise."""
    started: list[gateway.Gateway] = []

    async def start(**options: Any) -> Client:
        served = await gateway.start(**{"backend": stub, "unix": False, **options})
        started.append(served)
        return Client(served)

    yield start
    for served in started:
        await served.close()


Refuse = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Exit code and words of a command that does not start, run in this process."""

    def command(*arguments: str, secret: str = token_hex(32)) -> tuple[int, list[str]]:
        monkeypatch.setenv("GPROCHAT_SECRET_KEY", secret)
        try:
            code = main(["serve", *arguments])
        except SystemExit as wrong:
            code = int(str(wrong.code))
        out, err = capsys.readouterr()
        assert "" == out
        return code, err.splitlines()

    return command
