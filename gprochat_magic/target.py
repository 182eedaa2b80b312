"""Where a request goes: an address with its secret, and the HTTP sessions that reach it."""

from __future__ import annotations

import select
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import Connection

from gprochat_magic.config import Secret
from gprochat_magic.hosts import is_loopback


@dataclass(frozen=True, repr=False)
class Target:
    """Where a request goes and what signs it. `socket` is the path of a Unix socket, if it is one.

    `url` is the site named as origin and referer. `renew` gives a fresh target when nobody answers
    at this one any more; it is asked once.
    """

    endpoint: str
    secret: Secret
    socket: str = ""
    url: str = "https://gprochat.com"
    renew: Callable[[], Awaitable[Target]] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Target({self.where})"

    @property
    def where(self) -> str:
        """The host and port, for people; a URL may hold more than may be shown."""
        parts = urlsplit(self.endpoint)
        return "the embedded gateway" if self.socket else parts.netloc.rpartition("@")[2]


class Pool:
    """The HTTP sessions of one event loop, opened at first use and closed together."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, bool], aiohttp.ClientSession] = {}

    def session(self, target: Target, *, trust_env: bool = False) -> aiohttp.ClientSession:
        """The session for a target. A loopback target never sees proxies of the environment."""
        trust_env = trust_env and not is_loopback(urlsplit(target.endpoint).hostname or "")
        key = (target.socket, trust_env)
        if key not in self._sessions:
            self._sessions[key] = aiohttp.ClientSession(
                connector=_connector(target.socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=trust_env,
                trace_configs=[_reuse_noted()],
            )
        return self._sessions[key]

    async def aclose(self) -> None:
        """Close every session."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()


class _Checked(aiohttp.BaseConnector):
    """Hands out no kept connection on which something came that nobody had asked for.

    It would be taken for the answer to the next request. aiohttp looks only as it puts a connection
    aside, and not at what comes while it lies there.
    """

    async def _get(self, key: Any, traces: Any) -> Connection | None:
        while (kept := await super()._get(key, traces)) is not None and _spoken(kept):
            kept.close()
        return kept


class _Tcp(_Checked, aiohttp.TCPConnector):
    pass


class _Unix(_Checked, aiohttp.UnixConnector):
    pass


def _spoken(kept: Connection) -> bool:
    """Whether there is something to read: bytes, or that the other side has hung up."""
    if kept.protocol is None or kept.protocol.should_close or kept.transport is None:
        return True
    socket = kept.transport.get_extra_info("socket")
    if not hasattr(select, "poll"):
        return bool(select.select([socket], [], [], 0)[0])
    # Not select, which knows no descriptor above 1023.
    waiting = select.poll()
    waiting.register(socket.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def _connector(socket: str) -> aiohttp.BaseConnector:
    # No limit of its own: a send that waits here for another's connection would look like a
    # server that does not answer. Whoever sends many at once counts them himself.
    if socket:
        return _Unix(socket, limit=0)
    return _Tcp(limit=0)


def _reuse_noted() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    def noted(*, reused: bool) -> Callable[[object, Any, object], Awaitable[None]]:
        async def note(session: object, context: Any, parameters: object) -> None:
            if context.trace_request_ctx is not None:
                context.trace_request_ctx["reused"] = reused

        return note

    trace.on_connection_reuseconn.append(noted(reused=True))
    # A kept one that was no good after all is followed by one of its own.
    trace.on_connection_create_end.append(noted(reused=False))
    return trace
