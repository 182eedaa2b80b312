"""A gateway's life: a socket of its owner's, start-up failures handed back, a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import tempfile
import time
import weakref
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from aiohttp import web

from gprochat_magic import wire
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.app import App
from gprochat_magic.gateway.backends import Backend, open_backend
from gprochat_magic.gateway.guard import Guard, NonceStore, check_secrets
from gprochat_magic.hosts import is_loopback

LOOPBACK = "127.0.0.1"

# aiohttp logs malformed requests with the bytes of the peer, and a notebook shows what is logged.
_log = logging.getLogger("gprochat_magic.gateway")
_log.addHandler(logging.NullHandler())
_log.propagate = False


async def start(
    *,
    secrets: Sequence[str] | None = None,
    backend: Backend | None = None,
    host: str = LOOPBACK,
    port: int = 0,
    unix: bool | None = None,
    hosts: Sequence[str] = (),
    require_body_signature: bool = False,
    nonces: NonceStore | None = None,
    now: Callable[[], float] = time.time,
    body_timeout: float = 15.0,
) -> Gateway:
    """Start a gateway on the running loop, on a Unix socket where there is one, else on loopback.

    `secrets` are made up where none are given; `backend` is the demo by default; `unix` True or
    False insists; `hosts` are further values of `Host` that are ours. Raises `ConfigError` for a
    weak secret, an address that cannot be had, or one beyond this machine without secret and hosts.
    """
    _check_exposure(host, secrets=secrets, hosts=hosts)
    keys = [token_hex(32)] if secrets is None else list(secrets)
    check_secrets(keys)
    backend = backend or open_backend("demo")
    place = _find_place(host, port, unix=unix, named=bool(hosts))
    guard = Guard(
        keys,
        place.hosts.union(hosts),
        require_body_signature=require_body_signature,
        nonces=nonces,
        now=now,
    )
    app = App(guard, backend, body_timeout=body_timeout)
    # One idle limit for a connection's first request and for its next.
    server = web.Server(
        app.handle,
        handler_cancellation=True,
        access_log=None,
        logger=_log,
        keepalive_timeout=body_timeout,
        lingering_time=1.0,
        auto_decompress=False,
    )
    try:
        listener = await place.listen(server)
    except BaseException:
        place.leave()
        raise
    return Gateway(place, Secret(keys[0]), app=app, server=server, listener=listener)


class Gateway:
    """A running gateway.

    `endpoint` is the address for `GPROCHAT_API_ENDPOINT`, `socket` the path of the Unix socket to
    reach it through (None: TCP), `secret` the key it accepts, and `failures` the reasons of replies
    that the backend broke off, by request id.
    """

    def __init__(
        self,
        place: _Place,
        secret: Secret,
        *,
        app: App,
        server: web.Server,
        listener: asyncio.Server,
    ) -> None:
        self.endpoint = place.endpoint
        self.socket = place.path
        self.secret = secret
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


@dataclass(frozen=True)
class _Place:
    bound: socket.socket
    endpoint: str
    hosts: frozenset[str]
    path: str | None = None
    pid: int = 0

    async def listen(self, server: web.Server) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if self.path is None:
            return await loop.create_server(server, sock=self.bound)
        return await loop.create_unix_server(server, sock=self.bound)

    def leave(self) -> None:
        self.bound.close()
        if self.path is not None and self.pid == os.getpid():
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


def _find_place(host: str, port: int, *, unix: bool | None, named: bool) -> _Place:
    if unix or (unix is None and (host, port, named) == (LOOPBACK, 0, False)):
        place = _private_socket()
        if place is not None:
            return place
        if unix:
            raise ConfigError("no Unix socket could be made", hint="Pass unix=False for TCP.")
    return _tcp(host, port)


def _private_socket() -> _Place | None:
    if not hasattr(socket, "AF_UNIX"):
        return None
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if not base:
            continue
        try:
            directory = tempfile.mkdtemp(prefix="gprochat-", dir=base)  # with mode 0700
        except OSError:
            continue
        place = _bind_in(directory)
        if place is not None:
            return place
        shutil.rmtree(directory, ignore_errors=True)
    return None


def _bind_in(directory: str) -> _Place | None:
    path = str(Path(directory, "s"))
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(path)
    except OSError:
        # Systems take 103 or 107 bytes, and some file systems take no sockets.
        bound.close()
        return None
    endpoint = f"http://localhost{wire.PATH}"
    return _Place(bound, endpoint, frozenset({"localhost"}), path=path, pid=os.getpid())


def _tcp(host: str, port: int) -> _Place:
    literal = LOOPBACK if host == "localhost" else host
    family = socket.AF_INET6 if ":" in literal else socket.AF_INET
    try:
        bound = socket.create_server((literal, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"the gateway cannot listen on {host}:{port}: {error}",
            hint="Choose another port, or 0 for one that is free.",
        ) from error
    port = bound.getsockname()[1]
    shown = f"[{literal}]" if family == socket.AF_INET6 else literal
    names = {shown, "localhost"} if is_loopback(literal) else {shown}
    # Clients leave out the port that http has by default.
    suffix = "" if port == 80 else f":{port}"
    endpoint = f"http://{shown}{suffix}{wire.PATH}"
    return _Place(bound, endpoint, frozenset(name + suffix for name in names))


def _check_exposure(host: str, *, secrets: Sequence[str] | None, hosts: Sequence[str]) -> None:
    if is_loopback(host):
        return
    if secrets is None or not hosts:
        raise ConfigError(
            f"{host} can be reached from other machines",
            hint="Give a secret and the host names that clients use, or listen on 127.0.0.1.",
        )
