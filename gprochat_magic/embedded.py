"""The gateway inside this process: started at first use, started again once if it dies."""

from __future__ import annotations

import asyncio

from gprochat_magic import engine, gateway
from gprochat_magic.gateway.backends import open_backend
from gprochat_magic.target import Target


class Embedded:
    """The one embedded gateway of an engine. Its methods run on the engine's loop."""

    def __init__(self) -> None:
        self._gateway: gateway.Gateway | None = None
        self._lock = asyncio.Lock()

    async def target(self, backend: str) -> Target:
        """Where it listens and what signs for it; starts it if it is not running."""
        async with self._lock:
            if self._gateway is None or not self._gateway.alive:
                await self._start(backend)
            assert self._gateway is not None
            return self._as_target(self._gateway, backend)

    async def restart(self, backend: str, failed: Target) -> Target:
        """A fresh gateway, with an address and a secret of its own, in place of one that failed."""
        async with self._lock:
            # Another send may have restarted it already.
            if self._gateway is None or self._as_target(self._gateway, backend) == failed:
                await self.aclose()
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
        if stopped is not None:
            await stopped.close()

    async def _start(self, backend: str) -> None:
        self._gateway = await gateway.start(backend=open_backend(backend))

    def _as_target(self, running: gateway.Gateway, backend: str) -> Target:
        target = Target(running.endpoint, running.secret, str(running.socket or ""))

        async def renew() -> Target:
            return await self.restart(backend, target)

        return Target(target.endpoint, target.secret, target.socket, renew=renew)


def shared() -> Embedded:
    """The embedded gateway of this process's engine. Call it on the engine."""
    return engine.shared().keep("gateway", Embedded)
