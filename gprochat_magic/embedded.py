"""The gateway inside this process: started at first use, started again once if it dies."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from gprochat_magic import engine, gateway
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError, GPROChatError, ServerError
from gprochat_magic.gateway.backends import (
    TABLE,
    Backend,
    BackendError,
    open_backend,
    read_name,
)
from gprochat_magic.target import Target


class Embedded:
    """The one embedded gateway of an engine. Its methods run on the engine's loop."""

    def __init__(self) -> None:
        self._gateway: gateway.Gateway | None = None
        self._backend: Backend | None = None
        self._serves = ""
        self._typed: dict[str, Secret] = {}
        self._lock = asyncio.Lock()

    async def target(self, backend: str) -> Target:
        """Where it listens and what signs for it; starts it if it is not running."""
        async with self._lock:
            alive = self._gateway is not None and self._gateway.alive
            if not alive or self._serves != backend:
                await self._start(backend)
            assert self._gateway is not None
            return self._as_target(self._gateway, backend)

    async def restart(self, backend: str, failed: Target) -> Target:
        """A fresh gateway, with an address and a secret of its own, in place of one that failed."""
        async with self._lock:
            # Another send may have restarted it already.
            if self._gateway is None or self._as_target(self._gateway, backend) == failed:
                await self._start(backend)
            assert self._gateway is not None
            fresh = self._as_target(self._gateway, backend)
        return Target(fresh.endpoint, fresh.secret, fresh.socket)

    def reason(self, request_id: str) -> str:
        """Why the backend broke off a reply, if it did; a reason is told once."""
        return self._gateway.failures.pop(request_id, "") if self._gateway else ""

    @property
    def address(self) -> str:
        """Where it listens, for people; empty while it does not run."""
        if self._gateway is None or not self._gateway.alive:
            return ""
        return str(self._gateway.socket or self._gateway.endpoint)

    async def aclose(self) -> None:
        """Stop it."""
        stopped, self._gateway = self._gateway, None
        backend, self._backend, self._serves = self._backend, None, ""
        if stopped is not None:
            await stopped.close()
        if backend is not None:
            await _let_go(backend)

    async def switch(self, backend: str) -> None:
        """Let another backend answer: what runs ends, the next send starts the new one.

        Raises `ConfigError` for a backend that there is not, and then all stays as it was.
        """
        async with self._lock:
            await _let_go(self._open(backend))
            await self.aclose()

    async def give_key(self, backend: str, key: Secret) -> None:
        """Let every backend of this one's provider use a key, from now on and in memory only.

        An empty key changes nothing.
        Raises `ConfigError` for a backend that there is not, or that takes none.
        """
        holder = read_name(backend).keyholder
        opened = self._open(backend)
        await _let_go(opened)
        if not hasattr(opened, "keys"):
            raise ConfigError(f"{holder} takes no key", hint="%gprochat backend names others.")
        if not key:
            return  # only asked whether there is such a backend
        self._typed[holder] = key
        running: Any = self._backend
        if running is not None and read_name(self._serves).keyholder == holder:
            running.keys.give(key)

    async def models(self, backend: str, *, seconds: float = 5.0) -> list[str]:
        """The models that a backend knows by name; empty for one that does not tell.

        Raises `ConfigError` for a backend that there is not, `ServerError` for one that fails or
        takes longer than `seconds`.
        """
        asked = self._open(backend)
        try:
            async with asyncio.timeout(seconds):
                found: Any = getattr(asked, "models", list)()
                return list(await found if inspect.isawaitable(found) else found)
        except BackendError as error:
            hint = _KEY_HINT if error.status == 401 else _ANOTHER
            raise ServerError(error.message, hint=hint) from None
        except TimeoutError:
            told = f"{getattr(asked, 'where', backend)} lists no models within {seconds:g} s"
            raise ServerError(told, hint=f"Is it running? {_ANOTHER}") from None
        finally:
            await _let_go(asked)

    async def survey(self, *, seconds: float = 1.0) -> dict[str, str]:
        """What can be said of every backend now. Only servers on this machine are asked."""
        told = await asyncio.gather(*(self._told(name, seconds) for name in TABLE))
        return dict(zip(TABLE, told, strict=True))

    async def _told(self, name: str, seconds: float) -> str:
        try:
            opened: Any = self._open(name)
            if not hasattr(opened, "where"):
                return "always answers; it is no model"
            if not opened.nearby:
                known = bool(await opened.keys.find())
                return f"{opened.where}, {'with' if known else 'without'} a key"
            some = await self.models(name, seconds=seconds)
        except GPROChatError as error:
            return error.message
        more = ", …" if len(some) > _SHOWN else ""
        return f"{opened.where} has {', '.join(some[:_SHOWN]) or 'no model'}{more}"

    def _open(self, backend: str) -> Backend:
        return open_backend(backend, key=self._typed.get(read_name(backend).keyholder))

    async def _start(self, backend: str) -> None:
        opened = self._open(backend)  # one that there is not leaves the running one alone
        await self.aclose()
        self._gateway = await gateway.start(backend=opened, owner_only=True)
        self._backend, self._serves = opened, backend

    def _as_target(self, running: gateway.Gateway, backend: str) -> Target:
        target = Target(running.endpoint, running.secret, str(running.socket or ""))

        async def renew() -> Target:
            return await self.restart(backend, target)

        return Target(target.endpoint, target.secret, target.socket, renew=renew)


_SHOWN = 5
"""Models of a backend that are named in a survey."""
_ANOTHER = "Start it, or let %gprochat backend name another."
_KEY_HINT = "%gprochat key asks for its key, unseen."


async def _let_go(backend: Backend) -> None:
    """Let a backend close what it holds, where it holds something."""
    close = getattr(backend, "aclose", None)
    if close is not None:
        await close()


def shared() -> Embedded:
    """The embedded gateway of this process's engine. Call it on the engine."""
    return engine.shared().keep("gateway", Embedded)
