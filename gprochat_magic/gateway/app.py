"""One request: the guard, the backend, the stream; and a broken connection when a reply fails.

A reply's end is proven by its framing, so a reply that broke off never gets its last chunk.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http import HttpProcessingError

from gprochat_magic import wire
from gprochat_magic.gateway.backends import Backend, BackendError, Speaker, Usage
from gprochat_magic.gateway.crowd import Crowd
from gprochat_magic.gateway.guard import Admitted, Guard, Refused, too_large
from gprochat_magic.gateway.peers import is_foreign
from gprochat_magic.gateway.record import Record
from gprochat_magic.gateway.turnstile import Turnstile, closing
from gprochat_magic.messages import well_formed
from gprochat_magic.tail import HEADER, WANTED, tail

FAILURES = 100
"""How many reasons of broken replies are kept."""
_PIECE = 64 * 1024
_HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Accel-Buffering": "no",
    "Server": "gprochat-magic",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class App:
    """The handler of every request. `failures` gives the reason of a broken reply by request id.

    `record` is told of each request once it is over; `health` is a path that anyone may ask for
    whether new requests are taken; `owner_only` refuses other users of this machine. A request's
    body has `body_timeout` seconds, and a reader who takes nothing of a reply for `reader_timeout`
    counts as gone.
    """

    def __init__(
        self,
        guard: Guard,
        backend: Backend,
        *,
        turnstile: Turnstile | None = None,
        record: Callable[[Record], object] | None = None,
        health: str = "",
        owner_only: bool = False,
        body_timeout: float = 15.0,
        reader_timeout: float = 60.0,
    ) -> None:
        self.guard = guard
        self._backend = backend
        self.crowd = Crowd(patience=body_timeout)
        self._turnstile = turnstile or Turnstile()
        self._record = record
        self._health = health
        self._owner_only = owner_only
        self._body_timeout = body_timeout
        self._reader_timeout = reader_timeout
        self._draining = False
        self._running: set[asyncio.Task[object]] = set()
        self.failures: OrderedDict[str, str] = OrderedDict()
        self.owner: object = None
        """Kept alive with the app, which the loop holds for as long as it listens."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, whatever it is."""
        if self._health and request.raw_path == self._health:
            return self._condition()
        task = asyncio.current_task()
        assert task is not None  # a server calls its handler in a task
        self._running.add(task)
        self.crowd.ask(request.protocol)
        record = Record(_request_id(request.headers), request.method, request.raw_path)
        try:
            admitted = await self._admit(request)
            self.crowd.leave(request.protocol)
            record.client = admitted.client
            async with self._turnstile.turn(admitted.client):
                return await self._answer(request, admitted, record)
        except Refused as refused:
            record.status, record.ending = refused.status, "refused"
            return _Refusal(refused)
        finally:
            self._running.discard(task)
            if request.transport is not None:
                self.crowd.arrive(request.protocol)
            record.end()
            if self._record is not None:
                self._record(record)

    async def drain(self, seconds: float) -> bool:
        """Refuse what comes from now on, and wait for what runs; False if that takes longer."""
        self._draining = True
        self._turnstile.close()
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)
        return not self._running

    async def stop(self, grace: float = 1.0) -> None:
        """Cancel every reply, and wait `grace` seconds at most for their backends to let go."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=grace)

    def _condition(self) -> web.Response:
        status, word = (503, b"draining\n") if self._draining else (200, b"ok\n")
        return web.Response(status=status, body=word, headers=_HEADERS)

    async def _admit(self, request: web.BaseRequest) -> Admitted:
        if self._draining:
            # Before its signature counts as used: another replica may answer this very request.
            raise closing()
        peer, own = (request.get_extra_info(name) for name in ("peername", "sockname"))
        if self._owner_only and is_foreign(peer, own):
            raise Refused(403, "this gateway is another user's")
        head = request.version
        self.guard.check_head(
            request.method,
            request.raw_path,
            version=(head.major, head.minor),
            headers=request.headers,
        )
        return await self.guard.admit(await self._body(request), request.headers)

    async def _body(self, request: web.BaseRequest) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                async for data in request.content.iter_any():
                    body += data
                    if len(body) > wire.MAX_BODY:
                        raise Refused(413, too_large())
        except TimeoutError:
            raise Refused(408, "the body did not arrive in time") from None
        except (web.RequestPayloadError, HttpProcessingError):
            raise Refused(400, "the body is not what its headers announce") from None
        return bytes(body)

    async def _answer(
        self, request: web.BaseRequest, admitted: Admitted, record: Record
    ) -> web.StreamResponse:
        request_id = record.request_id
        response: web.StreamResponse | None = None
        usage, model = None, ""
        try:
            async with _closing(self._backend.reply(admitted.messages, admitted.options)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Usage):
                        usage = piece
                    if isinstance(piece, Speaker):
                        model = piece.model
                    # The status waits for the first text: a backend may still say no.
                    if piece and response is None:
                        response = await _begin(request, request_id, model=model)
                        record.begin(response.status)
                    if response is not None:
                        record.size += await self._write(request, response, piece)
        # A backend is foreign code: whatever it raises ends this reply and nothing else.
        except Exception as error:  # noqa: BLE001
            if response is None:
                apology = _apology(error, request_id)
                record.status, record.ending = apology.status, "failed"
                return apology
            return self._break_off(request, response, error=error, record=record)
        if response is None:
            response = await _begin(request, request_id)
            record.begin(response.status)
        if usage is not None and HEADER in response.headers:
            await response.write(tail(usage.sent, usage.received))
        record.ending = "complete"
        return response

    async def _write(
        self, request: web.BaseRequest, response: web.StreamResponse, piece: str
    ) -> int:
        data = well_formed(piece).encode()
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), _PIECE):
            # A reader who takes nothing would keep a place of its client and the work upstream.
            gone = loop.call_later(self._reader_timeout, self.crowd.dismiss, request.protocol)
            try:
                # In slices, so that a reader who stops reading also stops the writing.
                await response.write(data[start : start + _PIECE])
            finally:
                gone.cancel()
        return len(data)

    def _break_off(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        *,
        error: Exception,
        record: Record,
    ) -> web.StreamResponse:
        transport = request.transport
        if transport is None or transport.is_closing():
            return response  # the reader left, which breaks nothing
        record.ending = "failed"
        self.failures[record.request_id] = _reason(error)
        if len(self.failures) > FAILURES:
            self.failures.popitem(last=False)
        # What was written still goes out; no last chunk can follow on a closing connection.
        transport.close()
        return response


@asynccontextmanager
async def _closing(pieces: AsyncIterator[str]) -> AsyncIterator[AsyncIterator[str]]:
    try:
        yield pieces
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def _begin(
    request: web.BaseRequest, request_id: str, *, model: str = ""
) -> web.StreamResponse:
    response = web.StreamResponse(headers={**_HEADERS, wire.REQUEST_ID_HEADER: request_id})
    if wire.is_model(model):
        response.headers[wire.MODEL_HEADER] = model
    if request.headers.get(HEADER) == WANTED:
        response.headers[HEADER] = WANTED
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


def _apology(error: Exception, request_id: str) -> web.Response:
    status, headers = 500, {**_HEADERS, wire.REQUEST_ID_HEADER: request_id}
    if isinstance(error, BackendError):
        headers[wire.SPEAKER_HEADER] = "backend"
        status = error.status if 400 <= error.status <= 599 else 502
        if error.retry_after is not None:
            headers["Retry-After"] = f"{error.retry_after:.12g}"
        if error.final:
            headers[wire.RETRY_HEADER] = "false"
    return web.Response(status=status, body=_reason(error).encode(), headers=headers)


def _reason(error: Exception) -> str:
    if isinstance(error, BackendError):
        return well_formed(error.message)
    # The text of a foreign exception may hold an upstream's key or the prompt.
    return f"the backend failed with {type(error).__name__}"


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get(wire.REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


class _Refusal(web.Response):
    def __init__(self, refused: Refused) -> None:
        super().__init__(status=refused.status, body=refused.text.encode(), headers=_HEADERS)
        self._dated = refused.dated
        if refused.retry_after:
            self.headers["Retry-After"] = str(refused.retry_after)
        if refused.status == 405:
            self.headers["Allow"] = "POST"
        self.force_close()

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        if not self._dated:
            # aiohttp dates every answer; on a 401 a date means "your clock is off", nothing else.
            self.headers.pop("Date", None)
