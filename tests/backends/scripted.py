"""A model's server that plays a script byte by byte, and notes what it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gprochat_magic.gateway.backends import Speaker, Usage

HOLD = b"(hold)"
"""In a script: send no more, and wait until the other side closes."""


@dataclass
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Scripted:
    """The server: `script` is sent to every request, piece by piece, then the connection ends.

    `closed` is set when a client has closed its connection before the script had ended.
    """

    script: list[bytes] = field(default_factory=list)
    lists: list[bytes] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection: `lists` for a GET, else the script."""
        try:
            request = await _read(reader)
            self.asked.append(request)
            self.arrived.set()
            for piece in self.lists if request.line.startswith("GET") else self.script:
                if piece is HOLD:
                    await reader.read()
                    self.closed.set()
                    return
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = [line.partition(": ") for line in head[1:] if line]
    headers = {name.lower(): value for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(head[0], headers, json.loads(body or b"{}"))


@asynccontextmanager
async def serving(scripted: Scripted) -> AsyncIterator[Scripted]:
    """The server on a free port of this machine, for as long as the context lasts."""
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield scripted
    finally:
        server.close()
        await server.wait_closed()


def head(status: str = "200 OK", kind: str = "text/event-stream", **headers: str | int) -> bytes:
    """The head of an answer. Without a length its end is the end of the connection."""
    fields = {"Content-Type": kind, **{name.replace("_", "-"): headers[name] for name in headers}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(status: str, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    """An answer that is not streamed."""
    return head(status, kind, Content_Length=len(body), **headers) + body


def event(value: object) -> bytes:
    """One event with this JSON as its data."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(text: str | None, **more: Any) -> bytes:
    """The event of chat completions that adds a text."""
    return event({"choices": [{"index": 0, "delta": {"content": text}, **more}]})


DONE = b"data: [DONE]\n\n"


@dataclass
class Heard:
    """What came of a reply: its pieces, and the usage at its end."""

    pieces: list[str] = field(default_factory=list)
    usage: Usage | None = None
    speaker: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


async def hear(backend: Any, prompt: str = "hello", **options: Any) -> Heard:
    """A whole reply of a backend to one prompt."""
    return await hear_to([{"role": "user", "content": prompt}], backend, options)


async def hear_to(
    messages: list[Any], backend: Any, options: Mapping[str, Any] | None = None
) -> Heard:
    """A whole reply of a backend to these messages."""
    heard = Heard()
    reply: AsyncGenerator[str] = backend.reply(messages, {"model": "m", **(options or {})})
    async with aclosing(reply) as pieces:
        async for piece in pieces:
            if isinstance(piece, Usage):
                heard.usage = piece
            elif isinstance(piece, Speaker):
                heard.speaker = piece.model
            else:
                heard.pieces.append(piece)
    return heard
