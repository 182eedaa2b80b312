"""How often and how many at a time each client is let in; who has to wait does so in order.

Requests a minute are counted by a `RateLimiter`, which replicas may share. Replies at a time are
counted here, since each replica sees its own end.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from gprochat_magic.gateway.guard import Refused

MINUTE = 60.0
PATIENCE = 30.0
"""Seconds that a request waits for its turn; a client waits longer for its first byte."""


class RateLimiter(Protocol):
    """Counts the requests of each client."""

    async def take(self, client: str) -> float:
        """Count one request; 0 if it is within the limit, else the seconds until one will be."""
        ...


class MemoryRates:
    """So many requests within any minute, counted in this process. Refused ones do not count."""

    def __init__(self, per_minute: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_minute
        self._now = now
        self._taken: dict[str, deque[float]] = {}

    async def take(self, client: str) -> float:
        """Count one request; see `RateLimiter.take`."""
        now = self._now()
        taken = self._taken.setdefault(client, deque())
        while taken and taken[0] <= now - MINUTE:
            taken.popleft()
        if len(taken) >= self._limit:
            return taken[0] + MINUTE - now
        taken.append(now)
        return 0.0


@dataclass
class _Lane:
    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Turnstile:
    """Lets each client in `concurrent` times at once (0: any number), after its rate was counted.

    Up to `queue` more requests of a client wait, for `patience` seconds at most.
    """

    def __init__(
        self,
        *,
        rates: RateLimiter | None = None,
        concurrent: int = 0,
        queue: int = 0,
        patience: float = PATIENCE,
    ) -> None:
        self._rates = rates
        self._concurrent = concurrent
        self._queue = queue
        self._patience = patience
        self._lanes: dict[str, _Lane] = {}
        self._closed = False

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """A client's turn. Raises `Refused` with 429 if it has none, with 503 once closed."""
        if self._closed:
            raise closing()
        if self._rates is not None and (wait := await self._rates.take(client)):
            raise Refused(429, "too many requests a minute", retry_after=math.ceil(wait))
        lane = self._lanes.setdefault(client, _Lane())
        await self._enter(lane)
        try:
            yield
        finally:
            self._pass_on(lane)
            if not lane.running:
                self._lanes.pop(client, None)

    def close(self) -> None:
        """Let nobody in any more, also of those who wait."""
        self._closed = True
        for lane in self._lanes.values():
            for waiter in lane.waiting:
                if not waiter.done():
                    waiter.set_exception(closing())

    async def _enter(self, lane: _Lane) -> None:
        if not self._concurrent or lane.running < self._concurrent:
            lane.running += 1
            return
        if len(lane.waiting) >= self._queue:
            raise Refused(429, "too many replies at a time", retry_after=2)
        waiter = asyncio.get_running_loop().create_future()
        lane.waiting.append(waiter)
        try:
            async with asyncio.timeout(self._patience):
                await waiter
        except TimeoutError:
            if not _is_granted(waiter):
                raise Refused(429, "the replies before this take too long", retry_after=5) from None
        except asyncio.CancelledError:
            if _is_granted(waiter):
                self._pass_on(lane)  # the turn had come just as its reader left
            raise
        finally:
            if waiter in lane.waiting:
                lane.waiting.remove(waiter)

    @staticmethod
    def _pass_on(lane: _Lane) -> None:
        """Give a turn that has ended to the next who waits."""
        while lane.waiting:
            waiter = lane.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        lane.running -= 1


def _is_granted(waiter: asyncio.Future[None]) -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.exception() is None


def closing() -> Refused:
    """What a gateway that is about to end answers: another replica, or the next one, will do."""
    return Refused(503, "this gateway is about to end; ask again", retry_after=1)
