"""One signed send: asks, asks again while nothing came, yields text, ends in one state.

Invariants: no new attempt after the first byte of a body; `complete` only where the framing proves
the end; every read has its own timer, because aiohttp waits for ever on some malformed bodies;
the connection is closed however the send ends; no error holds or chains one of aiohttp's.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import yarl

from gprochat_magic import attempt, wire
from gprochat_magic.body import Body
from gprochat_magic.clock import Clock
from gprochat_magic.conversation import State
from gprochat_magic.decoder import TextDecoder
from gprochat_magic.errors import (
    ConnectError,
    DeadlineExceeded,
    EmptyReplyError,
    FirstTokenTimeout,
    GPROChatError,
    IdleTimeout,
    ReplyTooLargeError,
)
from gprochat_magic.limits import Expiry, Limits
from gprochat_magic.messages import Message
from gprochat_magic.refusal import connect_failure
from gprochat_magic.retry import Policy, Waiting
from gprochat_magic.tail import Tail
from gprochat_magic.target import Target


@dataclass(frozen=True)
class Ask:
    """What is asked: the messages, how they are put on the wire, the model and its options."""

    messages: Sequence[Message]
    wire: wire.Wire = "flat"
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


class Exchange:
    """One send. Iterate `stream()` once; afterwards `state` says how it ended.

    `replaced` counts bytes that were no text, `attempts` the requests made; `model` is the one that
    answers, where the server tells; `request_id` is the same for all requests, so that a gateway
    can tell a repeated one from a new one. `signed` is a request that another process has signed,
    where this one has no secret.
    """

    def __init__(
        self,
        target: Target,
        ask: Ask,
        *,
        session: aiohttp.ClientSession | Callable[[Target], aiohttp.ClientSession],
        clock: Clock,
        limits: Limits = Limits(),  # noqa: B008  # frozen, so sharing it is safe
        proxy: str = "",
        ssl_context: ssl.SSLContext | None = None,
        signed: wire.Outgoing | None = None,
        on_wait: Callable[[Waiting], object] = lambda waiting: None,
    ) -> None:
        self.target, self.ask, self.limits = target, ask, limits
        self._way = attempt.Way(limits.connect, proxy, ssl_context)
        self._session_for = (
            (lambda _: session) if isinstance(session, aiohttp.ClientSession) else session
        )
        self._clock, self._on_wait = clock, on_wait
        self._outgoing = signed
        self._decoder = TextDecoder()
        self._tail = Tail()
        self._deadline = 0.0
        self._framed = False
        self._ended = False
        self._forgiven = False
        self._text: list[str] = []
        self.request_id = (
            signed.headers[wire.REQUEST_ID_HEADER] if signed is not None else uuid.uuid4().hex
        )
        self.attempts = 0
        self.model = ""

    @property
    def text(self) -> str:
        """What has arrived so far."""
        return "".join(self._text)

    @property
    def tokens(self) -> tuple[int, int] | None:
        """The tokens sent and received as the gateway tells them; None where it does not."""
        return self._tail.tokens

    @property
    def replaced(self) -> int:
        """How many characters of the text stand for bytes that were no text."""
        return self._decoder.replaced

    @property
    def state(self) -> State:
        """`complete`, `unverified`, `interrupted` or `failed`, once the stream has ended."""
        if self._ended:
            return "complete" if self._framed else "unverified"
        return "interrupted" if self._text else "failed"

    async def stream(self) -> AsyncGenerator[str]:
        """The reply's text as it arrives. Raises `GPROChatError`s, their facts filled in."""
        self._deadline = asyncio.get_running_loop().time() + self.limits.total
        body: Body | None = None
        try:
            body = await self._open()
            size, data = 0, body.first
            while data:
                text = self._tail.cut(data)
                if piece := self._kept(self._decoder.feed(text[: wire.MAX_REPLY - size])):
                    yield piece
                size += len(text)
                if size > wire.MAX_REPLY:
                    raise ReplyTooLargeError(_TOO_LARGE)
                data = await self._read(body)
            if rest := self._kept(self._decoder.feed(b"", final=True)):
                yield rest
            if not self._text:
                raise EmptyReplyError("the server sent a reply without any text")
            self._ended = True
        except GPROChatError as error:
            raise self._told(error) from None
        finally:
            if body is not None:
                body.close()

    def _kept(self, piece: str) -> str:
        if piece:
            self._text.append(piece)
        return piece

    def _told(self, error: GPROChatError) -> GPROChatError:
        error.attempts, error.request_id, error.partial = self.attempts, self.request_id, self.text
        # `from None` only hides what came before; tools that look behind it would find headers.
        error.__cause__ = error.__context__ = None
        # Some tracebacks print local variables, and in the frames below those are requests.
        return error.with_traceback(None)

    async def _open(self) -> Body:
        """The body of the first attempt that gets a byte of one."""
        policy = Policy(self.limits.retries, self._on_wait)
        async with Expiry(self._deadline, DeadlineExceeded, self._late):
            async for trial in policy.attempts():
                with trial:
                    return await self._attempt()
        raise AssertionError("the loop returns or raises")

    async def _attempt(self) -> Body:
        outgoing = self.signed()
        until = asyncio.get_running_loop().time() + self.limits.first_byte
        waited = f"no byte of a reply came within {self.limits.first_byte:g} s"
        self.attempts += 1
        try:
            async with Expiry(until, FirstTokenTimeout, waited):
                body, model = await attempt.begin(
                    self._session_for(self.target),
                    self.target,
                    outgoing,
                    way=self._way,
                    learn=self._learn,
                )
        except ConnectError as error:
            await self._mend(error)
            raise
        self._framed, self.model = body.framed, model
        self._tail = Tail(announced=body.tailed)
        return body

    async def _mend(self, error: ConnectError) -> None:
        """See to it that the next attempt has a better chance, where something can be done."""
        if error.kind == "stale":
            # The server had closed an idle connection: no attempt of ours was heard. Once, or a
            # server that always hangs up would be asked for ever.
            error.kind = "disconnected" if self._forgiven else "stale"
            self.attempts -= not self._forgiven
            self._forgiven = True
        elif error.kind == "connect" and self.target.renew is not None:
            self.target = await self.target.renew()
            error.kind = "renew"

    def signed(self) -> wire.Outgoing:
        """The request, signed now; one that came signed stays as it is."""
        return self._outgoing or wire.build(
            self.ask.messages,
            secret=self.target.secret.reveal(),
            timestamp=self._clock.now(self.target.endpoint),
            wire=self.ask.wire,
            model=self.ask.model,
            options=self.ask.options,
            url=self.target.url,
            path=_path(self.target),
            request_id=self.request_id,
        )

    def _learn(self, server_time: float) -> None:
        self._clock.learn(self.target.endpoint, server_time)

    async def _read(self, body: Body) -> bytes:
        # What is there already needs no timer; a timer for each chunk would double the cost.
        now = asyncio.get_running_loop().time()
        if now >= self._deadline:
            raise DeadlineExceeded(self._late)
        if data := body.ready():
            return data
        async with self._expiry(now):
            return await body.read()

    def _expiry(self, now: float) -> Expiry:
        if self._deadline < now + self.limits.idle:
            return Expiry(self._deadline, DeadlineExceeded, self._late)
        silent = f"the reply fell silent for {self.limits.idle:g} s"
        return Expiry(now + self.limits.idle, IdleTimeout, silent)

    @property
    def _late(self) -> str:
        return f"the reply took longer than {self.limits.total:g} s"


def _path(target: Target) -> str:
    """The path that is signed, as aiohttp sends it. Raises `ConfigError` where it would not."""
    try:
        return yarl.URL(target.endpoint).raw_path
    except ValueError as error:
        raise connect_failure(error, target.where) from None


_TOO_LARGE = f"the reply passed {wire.MAX_REPLY >> 20} MiB and was cut there"
