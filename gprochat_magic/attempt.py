"""One request: posted, and judged by how its answer begins.

aiohttp's errors end here: their texts hold headers and whole URLs, so they become ours.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from gprochat_magic import refusal, wire
from gprochat_magic.body import FOREIGN, Body
from gprochat_magic.errors import ConfigError, EmptyReplyError, GPROChatError, ProtocolError
from gprochat_magic.retry import date_of
from gprochat_magic.target import Target

PAGES = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True)
class Way:
    """How a request leaves: seconds for a connection, the proxy, the authorities to be trusted."""

    connect: float = 5.0
    proxy: str = field(default="", repr=False)
    ssl_context: ssl.SSLContext | None = None


async def begin(
    session: aiohttp.ClientSession,
    target: Target,
    outgoing: wire.Outgoing,
    *,
    way: Way,
    learn: Callable[[float], object],
) -> tuple[Body, str]:
    """Post, and return the body of a reply, its first bytes read, and the model that answers.

    The model is empty where the server does not tell. Raises what came instead of a reply.

    `learn` is given the server's clock, in seconds, where ours is why it refused.
    """
    if session.closed:
        raise ConfigError("the session that was passed is closed", hint="Pass one that is open.")
    response = await _post(session, target, outgoing, way)
    body = Body(response)
    try:
        await _judge(response, body, target, outgoing, learn)
    except BaseException:
        body.close()
        raise
    model = response.headers.get(wire.MODEL_HEADER, "")
    return body, model if wire.is_model(model) else ""


async def _post(
    session: aiohttp.ClientSession, target: Target, outgoing: wire.Outgoing, way: Way
) -> aiohttp.ClientResponse:
    trace: dict[str, bool] = {}
    try:
        return await session.post(
            target.endpoint,
            data=_in_pieces(outgoing.body),
            headers=outgoing.headers,
            proxy=way.proxy or None,
            ssl=way.ssl_context or True,
            allow_redirects=False,
            auto_decompress=False,
            raise_for_status=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=way.connect),
            trace_request_ctx=trace,
        )
    except FOREIGN as error:
        failure = refusal.connect_failure(error, target.where, proxied=bool(way.proxy))
        if failure.kind == "disconnected" and trace.get("reused"):
            failure.kind = "stale"
        raise failure from None


def _in_pieces(body: bytes) -> bytes | io.BytesIO:
    # aiohttp writes bytes in one go, which would hold up the loop; it warns above a megabyte.
    return io.BytesIO(body) if len(body) > 2**20 else body


async def _judge(
    response: aiohttp.ClientResponse,
    body: Body,
    target: Target,
    outgoing: wire.Outgoing,
    learn: Callable[[float], object],
) -> None:
    status, kind = response.status, response.content_type

    async def said() -> str:
        hide = (target.secret.reveal(), *outgoing.signatures, target.endpoint.partition("?")[2])
        return "" if body.coded else refusal.words(await body.gather(), hide)

    if status in (204, 205):
        raise EmptyReplyError(f"the server answered {status}, without a reply")
    if not 200 <= status < 300:
        raise _refused(response, outgoing.timestamp, await said(), learn)
    if body.coded:
        raise ProtocolError("the server sent a compressed reply although none was asked for")
    if kind in PAGES:
        raise refusal.wrong_content("a web page", await said())
    body.first = await body.read()
    is_object = kind == "application/json" and body.first.lstrip()[:1] == b"{"
    if is_object and refusal.is_error_object(await body.gather()):
        raise refusal.wrong_content("an error", await said())


def _refused(
    response: aiohttp.ClientResponse,
    timestamp: int,
    said: str,
    learn: Callable[[float], object],
) -> GPROChatError:
    now = date_of(response.headers, "Date")
    if response.status == 401 and now and abs(now - timestamp / 1000) > refusal.SKEW:
        learn(now)
        return refusal.skewed()
    return refusal.refused(response.status, response.headers, said)
