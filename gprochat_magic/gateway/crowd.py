"""Connections that ask nothing: few of them, none for long, so that one that asks is served.

Only what holds a good signature leaves the crowd. When it grows too large, whoever has been in it
longest goes: a newcomer, who may be the owner, always gets in.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

LARGEST = 64


class Crowd:
    """The connections that have not asked anything yet, or nothing that was admitted.

    At most `largest` of them are held, and each at most `patience` seconds until the head of a
    request is whole; for its body the caller has a time of its own.
    """

    def __init__(self, *, largest: int = LARGEST, patience: float = 15.0) -> None:
        self._largest = largest
        self._patience = patience
        self._waiting: dict[web.RequestHandler, asyncio.TimerHandle | None] = {}

    def arrive(self, connection: web.RequestHandler) -> None:
        """A connection was made, or its last request has been answered."""
        self.leave(connection)
        loop = asyncio.get_running_loop()
        self._waiting[connection] = loop.call_later(self._patience, self.dismiss, connection)
        if len(self._waiting) > self._largest:
            self.dismiss(next(iter(self._waiting)))

    def ask(self, connection: web.RequestHandler) -> None:
        """The head of a request is whole."""
        timer = self._waiting.get(connection)
        if timer is not None:
            timer.cancel()
            self._waiting[connection] = None

    def leave(self, connection: web.RequestHandler) -> None:
        """A connection is gone, or what it asks is admitted."""
        timer = self._waiting.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def dismiss(self, connection: web.RequestHandler) -> None:
        """End a connection, whether or not it is in the crowd."""
        self.leave(connection)
        transport = connection.transport
        if isinstance(transport, asyncio.WriteTransport):
            # Not a mere close: that waits for a peer who takes nothing.
            transport.abort()

    def __len__(self) -> int:
        return len(self._waiting)


class Door(web.Server):
    """A server that tells a crowd who comes and goes."""

    def __init__(self, handler: Any, crowd: Crowd, **options: Any) -> None:
        super().__init__(handler, **options)
        self._crowd = crowd

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Called by the library for each new connection."""
        super().connection_made(handler, transport)
        self._crowd.arrive(handler)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Called by the library when a connection is gone."""
        super().connection_lost(handler, exc)
        self._crowd.leave(handler)
