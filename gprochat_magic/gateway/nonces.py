"""Which signatures were used: what refuses a request that is sent again."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Protocol

NONCES = 100_000


class NonceStore(Protocol):
    """A memory of the signatures that were used."""

    async def add(self, nonce: str, until: float) -> bool:
        """Keep a nonce until then (seconds since the epoch); False if it is kept already.

        Raises `NoncesUnkept` when it cannot be kept: then nobody may be served.
        """
        ...


class NoncesUnkept(Exception):
    """No nonce can be kept for now; the text may be shown to the sender."""


class MemoryNonces:
    """The nonces of one process. It refuses when full: forgetting one would allow its replay."""

    def __init__(self, *, limit: int = NONCES, now: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._now = now
        self._kept: set[str] = set()
        self._by_end: list[tuple[float, str]] = []

    async def add(self, nonce: str, until: float) -> bool:
        """Keep a nonce; see `NonceStore.add`."""
        now = self._now()
        while self._by_end and self._by_end[0][0] < now:
            self._kept.discard(heapq.heappop(self._by_end)[1])
        if nonce in self._kept:
            return False
        if len(self._kept) >= self._limit:
            raise NoncesUnkept("too many requests to remember; try again in some minutes")
        self._kept.add(nonce)
        heapq.heappush(self._by_end, (until, nonce))
        return True

    def __len__(self) -> int:
        return len(self._kept)
