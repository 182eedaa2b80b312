"""What is to be asked: a request with the rows that wait for it, and the queue of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from gprochat_magic.errors import GPROChatError
from gprochat_magic.retry import Policy
from gprochat_magic.transport import Ask


@dataclass
class Item:
    """One request, and the places of the rows that it answers.

    `crowded` counts how often the server had too much to do for it.
    """

    ask: Ask
    key: str
    places: list[int]
    policy: Policy
    crowded: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a request: the text, or an error; and how many seconds it took.

    `whole` says that the end of the text is proven.
    """

    text: str = ""
    error: GPROChatError | None = None
    whole: bool = True
    attempts: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A row that failed: its number from 0, what the data call it, and why."""

    row: int
    index: Any
    error: GPROChatError

    def __str__(self) -> str:
        return f"row {self.index}: {type(self.error).__name__}: {self.error.message}"


@dataclass
class Counts:
    """How far a run is. `done` counts all rows that are settled, `failed` and `cached` are of them.

    `asked` counts answered requests, `seconds` is their time together; `sent` and `received` are
    their estimated tokens. `unproven` are replies whose end is not proven, and `waiting` is how
    many seconds everybody waits for now.
    """

    total: int
    done: int = 0
    failed: int = 0
    cached: int = 0
    asked: int = 0
    unproven: int = 0
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    waiting: float = 0.0
    notes: list[str] = field(default_factory=list)


class Todo:
    """The queue between the one who reads the rows and those who ask.

    What comes back goes before what is new. It holds `most` new items, so that a long table is not
    copied into it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[Item] = deque()
        self._open = 0
        self._closed = False
        self._takers: deque[asyncio.Future[None]] = deque()
        self._room = asyncio.Event()

    async def put(self, item: Item) -> None:
        """Add a new item, once there is room."""
        while len(self._items) >= self._most:
            self._room.clear()
            await self._room.wait()
        self._open += 1
        self._items.append(item)
        self._call()

    def put_back(self, item: Item) -> None:
        """Add one again that was taken: it is asked next."""
        self._items.appendleft(item)
        self._call()

    def settle(self) -> None:
        """One that was taken needs no more work."""
        self._open -= 1
        self._end_if_done()

    def close(self) -> None:
        """Nothing new comes any more."""
        self._closed = True
        self._end_if_done()

    async def take(self) -> Item | None:
        """The next item; None when all are settled and nothing comes any more."""
        while not self._items:
            if self._over:
                return None
            taker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            await taker
        return self._next()

    def more(self, most: int) -> list[Item]:
        """Up to so many items that are there already."""
        return [self._next() for _ in range(min(most, len(self._items)))]

    @property
    def _over(self) -> bool:
        return self._closed and not self._open

    def _next(self) -> Item:
        item = self._items.popleft()
        self._room.set()
        return item

    def _call(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                break

    def _end_if_done(self) -> None:
        if self._over:
            while self._takers:
                taker = self._takers.popleft()
                if not taker.done():
                    taker.set_result(None)


async def together(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines until all have ended. The first error ends the others, and is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
