"""A gateway that runs on its own, for a team: started, told of signals, ended gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gprochat_magic import wire
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError, GPROChatError
from gprochat_magic.gateway import server
from gprochat_magic.gateway.backends import Backend, open_backend
from gprochat_magic.gateway.backends.unasked import as_set_up
from gprochat_magic.gateway.clients import HOW_TO_MAKE_ONE, Client, SecretsFile
from gprochat_magic.gateway.journal import Journal
from gprochat_magic.gateway.nonces import NonceStore
from gprochat_magic.gateway.place import LOOPBACK
from gprochat_magic.gateway.record import Record
from gprochat_magic.gateway.turnstile import MemoryRates, RateLimiter, Turnstile
from gprochat_magic.hosts import is_loopback

if TYPE_CHECKING:
    from gprochat_magic.gateway.metrics import Metrics

LOOK_SECONDS = 1.0
"""How often the secrets file is looked at."""
Say = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """What is to be served, where, and to whom.

    `key` is the backend's, where it shall not look for one; `secret` is the one secret where there
    is no `secrets_file`; `metrics` is a port, `drain` the seconds that running replies get at the
    end, `store` the address of Valkey or Redis.
    """

    backend: str = "demo"
    key: Secret = field(default_factory=Secret)
    host: str = LOOPBACK
    port: int = 0
    socket: str = ""
    prefix: str = ""
    hosts: Sequence[str] = ()
    secret: Secret = field(default_factory=Secret)
    secrets_file: Path | None = None
    require_body_signature: bool = False
    requests_per_minute: int = 0
    concurrent: int = 0
    queue: int = 0
    access_log: bool = True
    metrics: int | None = None
    store: Secret = field(default_factory=Secret)
    drain: float = 30.0


async def serve(plan: Plan, say: Say) -> None:
    """Serve until a signal ends it; `say` is told what its operator should know, line by line.

    SIGTERM and SIGINT let running replies end; a second one does not. SIGHUP reads the secrets
    again. Raises `ConfigError` for what keeps it from starting.
    """
    async with contextlib.AsyncExitStack() as stack:
        # From the start, so that none comes too early.
        signals = stack.enter_context(_signals())
        keys = Keys(plan, say)
        clients = keys.read()
        backend = open_backend(plan.backend, key=plan.key)
        stack.push_async_callback(_let_go, backend)
        nonces, rates = await _stores(plan, stack)
        metrics = _metrics() if plan.metrics is not None else None
        running = await server.start(
            clients=clients,
            news=keys.news,
            backend=as_set_up(backend, plan.backend),
            host=plan.host,
            port=plan.port,
            unix=plan.socket or False,
            hosts=plan.hosts,
            prefix=plan.prefix,
            require_body_signature=plan.require_body_signature,
            nonces=nonces,
            turnstile=Turnstile(rates=rates, concurrent=plan.concurrent, queue=plan.queue),
            record=_recorder(plan, metrics),
            health=True,
        )
        stack.push_async_callback(running.close)
        said = _listening(plan, running, keys)
        if metrics is not None and plan.metrics is not None:
            stack.push_async_callback(metrics.close)
            said.append(f"Figures for Prometheus: {await metrics.listen(plan.metrics)}")
        for line in said:
            say(line)
        await _until_told(plan, running, keys, metrics, signals, say)


class Keys:
    """Who may ask, as the plan says: a file that is read again, or the one secret."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self._secret = plan.secret
        self._file = SecretsFile(plan.secrets_file) if plan.secrets_file else None
        self._say = say
        self.where = str(plan.secrets_file or "GPROCHAT_SECRET_KEY of this gateway's environment")

    def read(self) -> tuple[Client, ...]:
        """Everyone. Raises `ConfigError` where there is nobody, or the file is not in order."""
        if self._file is not None:
            return self._file.read()
        if not self._secret:
            raise ConfigError(
                "the gateway has no secret, so nobody could sign",
                hint="Set GPROCHAT_SECRET_KEY, or pass --secrets-file. " + HOW_TO_MAKE_ONE,
            )
        return (Client("default", self._secret),)

    def news(self) -> tuple[Client, ...] | None:
        """Everyone, if the file has changed and is in order; None: all stays as it was."""
        return self.again() if self._file is not None and self._file.changed() else None

    def again(self) -> tuple[Client, ...] | None:
        """Everyone, read again; None if the file is not in order, and all stays as it was."""
        try:
            clients = self.read()
        except GPROChatError as error:
            self._say(f"The secrets stay as they were: {error.message}. {error.hint}")
            return None
        names = {client.name for client in clients}
        self._say(f"Secrets read again: {len(clients)} of {len(names)} clients.")
        return clients

    async def watch(self, running: server.Gateway) -> None:
        """Let those in the file ask, and nobody else, whenever it has changed; for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if (clients := self.news()) is not None:
                running.accept(clients)


async def _until_told(
    plan: Plan,
    running: server.Gateway,
    keys: Keys,
    metrics: Metrics | None,
    signals: asyncio.Queue[str],
    say: Say,
) -> None:
    watching = asyncio.create_task(keys.watch(running))
    try:
        name = await _end_told(running, keys, signals)
        if metrics is not None:
            metrics.drain()
        say(f"{name}: running replies may end within {plan.drain:g} s; new ones are refused.")
        ending = asyncio.create_task(running.drain(plan.drain))
        again = asyncio.create_task(_end_told(running, keys, signals))
        await asyncio.wait({ending, again}, return_when=asyncio.FIRST_COMPLETED)
        whole = ending.done() and ending.result()
        say("Ended." if whole else "Ended; some replies were cut off.")
        for task in (ending, again):
            task.cancel()
        await asyncio.gather(ending, again, return_exceptions=True)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _end_told(running: server.Gateway, keys: Keys, signals: asyncio.Queue[str]) -> str:
    """The name of the next signal that means the end; others are seen to."""
    while (name := await signals.get()) == "SIGHUP":
        if (clients := keys.again()) is not None:
            running.accept(clients)
    return name


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Queue[str]]:
    """The names of the signals that come meanwhile."""
    loop = asyncio.get_running_loop()
    come: asyncio.Queue[str] = asyncio.Queue()
    added = []
    # Where the loop takes none, such as on Windows, Ctrl-C ends the process as it always does.
    with contextlib.suppress(NotImplementedError):
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            number = signal.Signals[name]
            loop.add_signal_handler(number, come.put_nowait, name)
            added.append(number)
    try:
        yield come
    finally:
        for number in added:
            loop.remove_signal_handler(number)


async def _stores(
    plan: Plan, stack: contextlib.AsyncExitStack
) -> tuple[NonceStore | None, RateLimiter | None]:
    limit = plan.requests_per_minute
    if not plan.store:
        return None, MemoryRates(limit) if limit else None
    try:
        from gprochat_magic.gateway import team  # an extra
    except ImportError:
        raise ConfigError(
            "the shared store needs the redis package", hint='pip install "gprochat-magic[team]"'
        ) from None
    store = team.connect(plan.store)
    stack.push_async_callback(store.aclose)
    await team.check(store)
    return team.SharedNonces(store), team.SharedRates(store, limit) if limit else None


def _metrics() -> Metrics:
    try:
        from gprochat_magic.gateway.metrics import Metrics  # an extra
    except ImportError:
        raise ConfigError(
            "metrics need the prometheus-client package",
            hint='pip install "gprochat-magic[metrics]"',
        ) from None
    return Metrics()


def _recorder(plan: Plan, metrics: Metrics | None) -> Callable[[Record], object]:
    told: list[Callable[[Record], object]] = [metrics] if metrics is not None else []
    if plan.access_log:
        told.append(Journal(sys.stdout))

    def record(request: Record) -> None:
        for each in told:
            each(request)

    return record


def _listening(plan: Plan, running: server.Gateway, keys: Keys) -> list[str]:
    lines = [
        f"The gateway listens on {running.socket or running.endpoint}; {plan.backend} answers."
    ]
    if plan.socket:
        lines.append("A proxy in front of the socket gives it an address.")
    elif not is_loopback(plan.host):
        lines.append("Beware: it speaks plain http, which others can read. Put TLS in front of it.")
    return [
        *lines,
        "Set in the environment of each kernel:",
        f"  GPROCHAT_API_ENDPOINT={_address(plan, running)}",
        f"  GPROCHAT_SECRET_KEY=the user's secret, from {keys.where}",
    ]


def _address(plan: Plan, running: server.Gateway) -> str:
    """What clients are to be told, as far as it is known here."""
    path = plan.prefix + wire.PATH
    if plan.socket:
        return f"https://{plan.hosts[0]}{path}" if plan.hosts else "the address of that proxy"
    if is_loopback(plan.host):
        return running.endpoint
    name, colon, port = plan.hosts[0].partition(":")
    return f"http://{name}:{port if colon else urlsplit(running.endpoint).port}{path}"


async def _let_go(backend: Backend) -> None:
    close: Callable[[], Awaitable[None]] | None = getattr(backend, "aclose", None)
    if close is not None:
        await close()
