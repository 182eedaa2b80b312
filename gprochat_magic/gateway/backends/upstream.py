"""A model's server over HTTP: asks, judges how the answer begins, and hands out what it streams.

Invariants: the connection is closed, never pooled, however an answer ends, so that the server stops
generating; every read has its own timer; no error holds the key or one of aiohttp's texts.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gprochat_magic import refusal, wire
from gprochat_magic.body import FOREIGN, Body
from gprochat_magic.config import Secret, host_of
from gprochat_magic.errors import StreamInterruptedError
from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.gateway.backends.complaints import error_in, refused
from gprochat_magic.gateway.backends.events import LONGEST, EventDecoder, EventTooLong
from gprochat_magic.hosts import is_loopback

_ADVICE = {
    "connect": "; is it running?",
    "connect_timeout": "; is it running?",
    "dns": "; is its name right?",
    "tls_handshake": "; is it http, not https?",
}
DONE = "[DONE]"
"""What many servers send as the data of their last event."""


@dataclass(frozen=True)
class Patience:
    """Seconds for a connection, the first byte of a reply, and a silence.

    Long ones: the reader's own limits are shorter, and these only see to it that nothing waits on.
    """

    connect: float = 5.0
    first: float = 600.0
    idle: float = 300.0


@dataclass(frozen=True)
class Question:
    """What is asked: a path below the base URL, headers, and a body for a POST.

    `key` is hidden from whatever the server says; `advice` is added to its words, by status.
    """

    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: Secret = field(default_factory=Secret)
    advice: Mapping[int, str] = field(default_factory=dict)


class Upstream:
    """The server at a base URL. `where` names its host and port; `nearby` says it is loopback."""

    def __init__(self, base_url: str, *, patience: Patience = Patience()) -> None:
        self._base = base_url.rstrip("/")
        self._patience = patience
        self.nearby = is_loopback(urlsplit(base_url).hostname or "")
        self.where = host_of(base_url)

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[Answer]:
        """The answer to a question; leaving the context closes the connection at once.

        Raises `BackendError` for every answer that is no success.
        """
        # llama.cpp announces keep-alive and closes, so a connection is never used again.
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience.connect),
            trust_env=not self.nearby,
        ) as session:
            response = await self._begin(session, question)
            try:
                answer = Answer(response, self.where, question.key, patience=self._patience)
                if response.status != 200:
                    raise await self._refused(answer, question)
                yield answer
            finally:
                response.close()

    async def _begin(
        self, session: aiohttp.ClientSession, question: Question
    ) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self._patience.first):
                return await self._request(session, question)
        except TimeoutError:
            raise self._silent(self._patience.first) from None

    async def _request(
        self, session: aiohttp.ClientSession, question: Question
    ) -> aiohttp.ClientResponse:
        headers = {
            "Accept-Encoding": "identity",
            "User-Agent": wire.USER_AGENT,
            **question.headers,
        }
        data = None
        if question.body is not None:
            headers["Content-Type"] = "application/json"
            # In pieces: aiohttp would write bytes in one go, which holds up the loop.
            data = io.BytesIO(json.dumps(question.body).encode())
        try:
            return await session.request(
                "GET" if data is None else "POST",
                self._base + question.path,
                data=data,
                headers=headers,
                allow_redirects=False,
            )
        except FOREIGN as error:
            told = refusal.connect_failure(error, self.where)
            words = told.message + _ADVICE.get(told.kind, "")
            raise BackendError(502, words, final=not told.retryable) from None

    async def _refused(self, answer: Answer, question: Question) -> BackendError:
        return refused(
            answer.status,
            answer.headers,
            await answer.beginning(),
            where=self.where,
            key=question.key,
            advice=question.advice.get(answer.status, ""),
        )

    def _silent(self, seconds: float) -> BackendError:
        return BackendError(504, f"{self.where} did not answer within {seconds:g} s")


class Answer:
    """A success: its JSON objects, streamed or whole. `proven` says that its end can be trusted.

    `where` names the server for people.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, where: str, key: Secret, *, patience: Patience
    ) -> None:
        self._body = Body(response)
        self.where, self._key = where, key
        self._patience = patience
        self._wait = patience.first
        self.status, self.headers = response.status, response.headers
        self.kind = response.content_type
        self.proven = self._body.framed

    async def events(self) -> AsyncGenerator[dict[str, Any]]:
        """The objects of a stream, one by one, or the one of an answer that is not streamed.

        Raises `BackendError` for an error object, for what is none of a chat, and where it breaks
        off; what came before has been given by then.
        """
        if self.kind == "application/json":
            yield await self.whole()
            return
        if self.kind in ("text/html", "application/xhtml+xml"):
            raise await self._no_reply("a web page")
        decoder, none = EventDecoder(), True
        received = await self._read()
        while received:
            for data in self._decoded(decoder, received):
                if data == DONE:
                    self.proven = True
                    return
                none = False
                yield self._object(data)
            received = await self._read()
        for data in decoder.end():
            if data != DONE:
                none = False
                yield self._object(data)
        if none:
            raise await self._no_reply(f"no event of a reply but {self.kind}")

    def check_end(self, *, finished: bool, used_up: bool) -> None:
        """Judge the end of a reply: whether its last words said so, or no word came for the tokens.

        Raises `BackendError` for an end that nothing proves.
        """
        if used_up:
            raise BackendError(
                422, f"{self.where} used up max_tokens before the first word; allow the model more"
            )
        if not (finished or self.proven):
            raise self._broken()

    async def whole(self) -> dict[str, Any]:
        """The one object of an answer that is not streamed."""
        received = bytearray()
        while data := await self._read():
            received += data
            if len(received) > LONGEST:
                raise _nonsense(f"{self.where} sent more than a reply can be")
        return self._object(received.decode("utf-8", "replace"))

    async def beginning(self) -> bytes:
        """Enough of it to say what it is; what breaks off is as good."""
        return self._body.first or await self._body.gather()

    async def _read(self) -> bytes:
        try:
            # What is there already needs no timer, which would cost as much as the reading.
            if data := self._body.ready():
                self._wait = self._patience.idle
                return data
            async with asyncio.timeout(self._wait):
                data = await self._body.read()
        except TimeoutError:
            raise BackendError(504, f"{self.where} was silent for {self._wait:g} s") from None
        except StreamInterruptedError:
            raise self._broken() from None
        self._wait = self._patience.idle
        return data

    def _decoded(self, decoder: EventDecoder, received: bytes) -> list[str]:
        if not self._body.first:
            self._body.first = received
        try:
            return decoder.feed(received)
        except EventTooLong:
            raise _nonsense(f"{self.where} sent an event without an end") from None

    def _object(self, data: str) -> dict[str, Any]:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            raise _nonsense(f"{self.where} sent what is not JSON; {_KIND_OF_SERVER}") from None
        if not isinstance(value, dict):
            raise _nonsense(f"{self.where} sent JSON that is no part of a reply")
        if error := error_in(value, where=self.where, key=self._key):
            raise error
        return value

    def _broken(self) -> BackendError:
        return BackendError(502, f"{self.where} broke off before the reply's end")

    async def _no_reply(self, what: str) -> BackendError:
        said = refusal.words(await self.beginning(), [self._key.reveal()])
        told = f"{self.where} sent {what} in place of a reply"
        return _nonsense((f"{told}: {said}" if said else told) + "; is its address right?")


def _nonsense(told: str) -> BackendError:
    return BackendError(502, told, final=True)


_KIND_OF_SERVER = "is it a server of this kind?"
