"""What the backends in front of a server have in common: their name, model, key and server."""

from __future__ import annotations

from gprochat_magic.config import Secret
from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.gateway.backends.keys import Keys
from gprochat_magic.gateway.backends.upstream import Upstream


class Served:
    """A backend whose replies a server makes. `model` answers where a request names none."""

    def __init__(self, name: str, upstream: Upstream, *, keys: Keys, model: str = "") -> None:
        self.name = name
        self.keys = keys
        self._model = model
        self._upstream = upstream

    @property
    def where(self) -> str:
        """The host and port of its server, for people."""
        return self._upstream.where

    @property
    def nearby(self) -> bool:
        """Whether its server is on this machine."""
        return self._upstream.nearby

    async def _needed_key(self) -> Secret:
        """The key of a server that answers nobody without one. Raises `BackendError`."""
        key = await self.keys.find()
        if not key:
            variable = self.keys.variables[0]
            raise BackendError(401, f"{self.where} wants a key; none is in {variable}")
        return key
