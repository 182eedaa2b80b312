"""One pace for all who ask: how many at a time, how many a minute, and waiting together.

The width follows what the server stands: a refusal for being asked too much halves it, once for
all requests that were on their way, and each reply widens it again, up to the width given.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator

LONGEST_PAUSE = 30.0
"""Seconds between two tries of a server that refuses and does not say for how long."""


class Pace:
    """Lets requests begin. Made and used on one event loop.

    `concurrency` is the greatest width; `per_minute` spaces the beginnings evenly, None: not.
    """

    def __init__(self, concurrency: int, per_minute: float | None = None) -> None:
        self._most = concurrency
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._width = float(concurrency)
        self._running = 0
        self._next = 0.0
        self._held_until = 0.0
        self._slowed_at = -1.0
        self._streak = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def width(self) -> int:
        """How many may run at a time now."""
        return max(1, int(self._width))

    @property
    def streak(self) -> int:
        """How often all had to wait since the last reply."""
        return self._streak

    @property
    def held(self) -> float:
        """Seconds that everybody waits for now, because the server asked for it."""
        return max(0.0, self._held_until - asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait for a place and hold it. Gives the moment, on the loop's clock, when it began."""
        began = await self._begin()
        try:
            yield began
        finally:
            self._running -= 1
            self._wake()

    async def calm(self) -> None:
        """Wait until nobody is held."""
        while True:
            if not (held := self.held):
                return
            await asyncio.sleep(held)

    def answered(self) -> None:
        """A request was answered: a little more may run at a time."""
        self._streak = 0
        if self._width < self._most:
            self._width = min(float(self._most), self._width + 1 / self._width)
            self._wake()

    def refused(self, began: float, retry_after: float | None) -> None:
        """A request that began then was refused for being one too many: all wait together."""
        now = asyncio.get_running_loop().time()
        if began > self._slowed_at:
            # Those that were under way as well are the same news.
            self._slowed_at = now
            self._streak += 1
            self._width = max(1.0, self._width / 2)
        pause = retry_after or min(LONGEST_PAUSE, 0.5 * 2**self._streak)
        # A little later, each at its own moment: never before the server said.
        pause *= 1 + random.random() / 20  # noqa: S311  # no secret hangs on it
        self._held_until = max(self._held_until, now + pause)

    async def _begin(self) -> float:
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            if (wait := max(self._held_until, self._next) - now) > 0:
                await asyncio.sleep(wait)
            elif self._running >= self.width:
                await self._freed()
            else:
                break
        self._running += 1
        self._next = now + self._gap
        return now

    async def _freed(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # the place that was offered is for another
            raise

    def _wake(self) -> None:
        for _ in range(max(0, self.width - self._running)):
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    break
