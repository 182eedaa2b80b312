"""A gateway's life: start-up failures handed back, requests let end, a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from gprochat_magic import wire
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway import place as places
from gprochat_magic.gateway.app import App
from gprochat_magic.gateway.backends import Backend, open_backend
from gprochat_magic.gateway.clients import Client, check, unnamed
from gprochat_magic.gateway.crowd import Door
from gprochat_magic.gateway.guard import Guard
from gprochat_magic.gateway.nonces import NonceStore
from gprochat_magic.gateway.place import LOOPBACK, Place
from gprochat_magic.gateway.record import Record
from gprochat_magic.gateway.turnstile import Turnstile
from gprochat_magic.hosts import is_loopback

# aiohttp logs malformed requests with the bytes of the peer, and a notebook shows what is logged.
_log = logging.getLogger("gprochat_magic.gateway")
_log.addHandler(logging.NullHandler())
_log.propagate = False


async def start(
    *,
    secrets: Sequence[str] | None = None,
    clients: Sequence[Client] = (),
    news: Callable[[], Sequence[Client] | None] = lambda: None,
    backend: Backend | None = None,
    host: str = LOOPBACK,
    port: int = 0,
    unix: bool | str | None = None,
    hosts: Sequence[str] = (),
    prefix: str = "",
    require_body_signature: bool = False,
    nonces: NonceStore | None = None,
    turnstile: Turnstile | None = None,
    record: Callable[[Record], object] | None = None,
    health: bool = False,
    owner_only: bool = False,
    now: Callable[[], float] = time.time,
    body_timeout: float = 15.0,
    reader_timeout: float = 60.0,
) -> Gateway:
    """Start a gateway on the running loop, on a Unix socket where there is one, else on loopback.

    `secrets` are made up where neither they nor `clients` are given; `news` gives other clients
    once they have changed; `backend` is the demo by default; `unix` True or False insists, and a
    text is the path of the socket; `hosts` are further values of `Host` that are ours, and `prefix`
    stands before the path. `record` is told of each request, `turnstile` lets clients in, `health`
    answers `/healthz`, and `owner_only` refuses other users of this machine. A request has
    `body_timeout` seconds to arrive; a reader who takes nothing for `reader_timeout` is dropped.
    Raises `ConfigError` for a weak secret, an address that cannot be had, or one beyond this
    machine without secret and hosts.
    """
    keys = [*clients, *unnamed(secrets or ())]
    if unix is None or unix is False:
        _check_exposure(host, secret=bool(keys), hosts=hosts)
    keys = keys or list(unnamed([token_hex(32)] if secrets is None else secrets))
    check(keys)
    backend = backend or open_backend("demo")
    place = _find_place(host, port, unix=unix, named=bool(hosts), prefix=prefix)
    guard = Guard(
        keys,
        place.names(hosts),
        path=prefix + wire.PATH,
        require_body_signature=require_body_signature,
        nonces=nonces,
        news=news,
        now=now,
    )
    app = App(
        guard,
        backend,
        turnstile=turnstile,
        record=record,
        health=prefix + HEALTH if health else "",
        owner_only=owner_only,
        body_timeout=body_timeout,
        reader_timeout=reader_timeout,
    )
    return await _opened(place, keys[0], app=app, idle=body_timeout)


HEALTH = "/healthz"


async def _opened(place: Place, client: Client, *, app: App, idle: float) -> Gateway:
    """A gateway that listens. One `idle` limit is for a connection's first request and its next."""
    server = Door(
        app.handle,
        app.crowd,
        handler_cancellation=True,
        access_log=None,
        logger=_log,
        keepalive_timeout=idle,
        lingering_time=1.0,
        auto_decompress=False,
    )
    try:
        listener = await place.listen(server)
    except BaseException:
        place.leave()
        raise
    return Gateway(place, client, app=app, server=server, listener=listener)


def _check_exposure(host: str, *, secret: bool, hosts: Sequence[str]) -> None:
    if not is_loopback(host) and not (secret and hosts):
        raise ConfigError(
            f"{host} can be reached from other machines",
            hint="Give a secret and the host names that clients use, or listen on 127.0.0.1.",
        )


def _find_place(
    host: str, port: int, *, unix: bool | str | None, named: bool, prefix: str
) -> Place:
    if isinstance(unix, str):
        return places.at_path(unix, prefix=prefix)
    if unix or (unix is None and (host, port, named) == (LOOPBACK, 0, False)):
        place = places.private()
        if place is not None:
            return place
        if unix:
            raise ConfigError("no Unix socket could be made", hint="Pass unix=False for TCP.")
    return places.tcp(host, port, prefix=prefix)


class Gateway:
    """A running gateway.

    `endpoint` is the address for `GPROCHAT_API_ENDPOINT`, `socket` the path of the Unix socket to
    reach it through (None: TCP), `secret` the key it accepts, and `failures` the reasons of replies
    that the backend broke off, by request id.
    """

    def __init__(
        self,
        place: Place,
        client: Client,
        *,
        app: App,
        server: Door,
        listener: asyncio.Server,
    ) -> None:
        self.endpoint = place.endpoint
        self.socket = place.path
        self.secret = client.secret
        self.failures: MutableMapping[str, str] = app.failures
        self._app = app
        # A gateway that nobody holds goes on, since its end would pull the socket from the loop.
        app.owner = self
        self._server = server
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._closed = False
        # Also leaves when the process ends without `close`, or the loop was lost.
        self._leave = weakref.finalize(self, place.leave)

    @property
    def alive(self) -> bool:
        """Whether it can still be reached; safe to ask from any thread, and in a forked child."""
        return (
            not self._closed
            and self._pid == os.getpid()
            and self._loop.is_running()
            and self._listener.is_serving()
            and (self.socket is None or Path(self.socket).exists())
        )

    def accept(self, clients: Sequence[Client]) -> None:
        """Let these ask from now on, and nobody else. Raises `ConfigError` for a weak secret."""
        self._app.guard.accept(clients)

    async def drain(self, seconds: float) -> bool:
        """Refuse new requests from now on, and wait for the replies that run.

        Returns whether all of them ended within `seconds`. It still listens.
        """
        return await self._app.drain(seconds)

    async def close(self) -> None:
        """Stop listening, cancel every reply, drop every connection. May be called again."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():
            return  # the sockets are the parent's
        self._listener.close()
        transports = [handler.transport for handler in self._server.connections]
        await self._app.stop()
        self._server.pre_shutdown()
        await self._server.shutdown(timeout=0.1)
        for transport in transports:
            if isinstance(transport, asyncio.WriteTransport):
                # A reader who stopped reading would hold a merely closed connection for ever.
                transport.abort()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._listener.wait_closed(), timeout=1.0)
        self._leave()

    def __repr__(self) -> str:
        where = self.socket or self.endpoint
        return f"<Gateway {where} {'alive' if self.alive else 'closed'}>"
