"""Where a request goes: an address with its secret, and the HTTP sessions that reach it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

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


def _connector(socket: str) -> aiohttp.BaseConnector:
    # No limit of its own: a send that waits here for another's connection would look like a
    # server that does not answer. Whoever sends many at once counts them himself.
    if socket:
        return aiohttp.UnixConnector(socket, limit=0)
    return aiohttp.TCPConnector(limit=0)


def _reuse_noted() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def reused(session: object, context: Any, parameters: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx["reused"] = True

    trace.on_connection_reuseconn.append(reused)
    return trace
