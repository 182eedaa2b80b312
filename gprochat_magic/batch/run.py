"""A map as it runs: rows become requests, requests are asked, and each answer is kept.

Invariants: results are in the order of the rows; a row counts once its answer is on disk; the same
request is under way only once, and answers every row that asks it; a row that fails ends nothing
but itself, unless all the others would fail in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any

from gprochat_magic import caching, tally
from gprochat_magic.batch import verdict
from gprochat_magic.batch.asking import Asker
from gprochat_magic.batch.pace import Pace
from gprochat_magic.batch.plan import Plan
from gprochat_magic.batch.work import Counts, Failure, Item, Outcome, Todo, together
from gprochat_magic.conversation import estimate_tokens
from gprochat_magic.errors import BadRequestError, GPROChatError, ReplyFormatError
from gprochat_magic.messages import text_of
from gprochat_magic.provider import target_of
from gprochat_magic.reply import Reply
from gprochat_magic.retry import Policy
from gprochat_magic.transport import Ask

CHUNK = 100
"""Rows that are looked up in the cache together."""
SPARE = 4
"""One row in so many of those under way may be waiting for the disk, beyond those being asked."""
TICK = 0.1
"""Seconds between two looks at how far it is."""


class Run:
    """One run of a plan over some of its rows, by number. Iterate `steps()` once, on the engine.

    Afterwards `results` has a value for each of them, or the error of one that failed.
    """

    def __init__(self, plan: Plan, numbers: Sequence[int]) -> None:
        self.plan, self.numbers = plan, numbers
        self.results: list[Any] = [None] * len(numbers)
        self.failed: list[Failure] = []
        self.counts = Counts(len(numbers))
        self.terms = plan.terms
        # Enough for the chunks of a cluster, where there is one.
        self.todo = Todo(2 * plan.terms.concurrency + 1_000 * (plan.terms.client is not None))
        self.pace = Pace(plan.terms.concurrency, plan.terms.per_minute)
        # Once: finding out where it is costs more than a look into it.
        self._cache = caching.opened()
        self._columns = plan.template.columns
        self._asking: dict[str, Item] = {}
        self._fresh: dict[str, str] = {}
        """The answers that came since the cache was last looked into."""
        self._hopeless: dict[str, GPROChatError] = {}
        self._since = 0.0 if self.terms.cache else time.time()
        """Under `cache=False` this run takes from the cache what it has put there itself."""
        self._in_a_row = 0
        self._over = False
        self._loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # set as it begins

    async def steps(self) -> AsyncGenerator[Counts]:
        """How far it is, several times a second. Raises what ends the whole run."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._all())
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=TICK)
                self.counts.waiting = self.pace.held
                yield self.counts
            task.result()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, GPROChatError):
                await task

    async def _all(self) -> None:
        settings = self.plan.manner.settings
        self.asker = Asker(await target_of(settings), self.plan.manner)
        workers = self._workers()
        await together([self._feed(), *workers])

    def _workers(self) -> list[Coroutine[Any, Any, None]]:
        if self.terms.client is None:
            # Some more than may ask: while one waits for the disk, another takes its turn.
            count = self.terms.concurrency + -(-self.terms.concurrency // SPARE)
            return [self._work() for _ in range(min(count, len(self.numbers)))]
        from gprochat_magic.batch.cluster import lanes  # of no use without a cluster

        return [lanes(self, self.terms.client)]

    async def _feed(self) -> None:
        """Turn rows into requests, look for kept answers, and queue what has to be asked."""
        for start in range(0, len(self.numbers), CHUNK):
            part = self.numbers[start : start + CHUNK]
            asks = [
                self._request(start + at, values) for at, values in enumerate(self._values(part))
            ]
            keys = [key for _, key in asks if key]
            # Before looking, not after: what is answered meanwhile must be in one of the two.
            self._fresh.clear()
            known = await caching.found_many(self._cache, keys, self._since)
            for place, (ask, key) in enumerate(asks, start):
                if ask is not None:
                    await self._offer(place, ask, key, known)
        self.todo.close()

    def _values(self, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
        rows = self.plan.rows
        if isinstance(numbers, range):
            return rows.values(self._columns, numbers.start, numbers.stop)
        return [rows.values(self._columns, number, number + 1)[0] for number in numbers]

    def _request(self, place: int, values: tuple[Any, ...]) -> tuple[Ask | None, str]:
        try:
            ask = self.plan.manner.ask(self.plan.template.fill(values, self._columns))
        except GPROChatError as error:
            self._fail([place], error)
            return None, ""
        except ValueError as error:  # the data changed since they were looked at
            self._fail([place], BadRequestError(str(error)))
            return None, ""
        return ask, caching.key_of(ask, self.plan.manner.settings)

    async def _offer(self, place: int, ask: Ask, key: str, known: dict[str, str]) -> None:
        if item := self._asking.get(key):
            item.places.append(place)
            return
        if error := self._hopeless.get(key):
            self._fail([place], error)
            return
        text = self._fresh.get(key, known.get(key))
        if text is not None:
            # One that does not hold what is wanted now is asked for again.
            with contextlib.suppress(ReplyFormatError):
                self._finish([place], self._read(text), cached=True)
                tally.shared().add(replies=1, cached=1)
                return
        item = Item(ask, key, [place], Policy(self.asker.retries, lambda waiting: None))
        self._asking[key] = item
        await self.todo.put(item)

    async def _work(self) -> None:
        while (item := await self.todo.take()) is not None:
            async with self.pace.turn() as began:
                if self._over:
                    return
                outcome = await self.asker.once(item.ask)
                if outcome.error is not None:
                    # Before another takes this place: the error may end the whole run.
                    await self._judged(item, outcome, began)
                    continue
            await self._judged(item, outcome, began)

    async def _judged(self, item: Item, outcome: Outcome, began: float) -> None:
        try:
            await self.judge(item, outcome, began)
        except GPROChatError:
            self._over = True
            raise

    async def judge(self, item: Item, outcome: Outcome, began: float) -> None:
        """What becomes of a request that was sent: an answer, another try, or a failure.

        `began` is when, on the loop's clock. Raises the error that ends the run.
        """
        self._count(item, outcome)
        if outcome.error is None:
            await self._answered(item, outcome)
        else:
            self._refused(item, outcome.error, began)

    async def _answered(self, item: Item, outcome: Outcome) -> None:
        self.pace.answered()
        self._in_a_row = 0
        try:
            value = self._read(outcome.text)
        except ReplyFormatError as error:
            self._settle(item, error)
            return
        if outcome.whole:
            where = await caching.kept(self._cache, item.key, outcome.text)
            if where != "saved" and not self.counts.notes:
                self.counts.notes.append(
                    "the history file takes no writes: rows are in memory only"
                )
            self._fresh[item.key] = outcome.text
        else:
            self.counts.unproven += 1
        self._settle(item)
        self._finish(item.places, value)

    def _refused(self, item: Item, error: GPROChatError, began: float) -> None:
        if verdict.is_crowded(error):
            self._crowded(item, error, began)
            return
        delay = item.policy.again(error)
        if delay is not None:
            self._loop.call_later(delay, self.todo.put_back, item)
            return
        self._in_a_row += 1
        if verdict.ends_all(error, in_a_row=self._in_a_row):
            raise verdict.paused(error, self.counts.done, self.counts.total)
        self._settle(item, error)

    def _crowded(self, item: Item, error: GPROChatError, began: float) -> None:
        item.crowded += 1
        self.pace.refused(began, error.retry_after)
        if verdict.is_exhausted(error) or self.pace.streak >= verdict.CROWDED_TRIES:
            raise verdict.paused(error, self.counts.done, self.counts.total)
        if item.crowded >= verdict.CROWDED_TRIES:
            self._settle(item, error)  # others were answered meanwhile: it is this row
            return
        self.todo.put_back(item)

    def _settle(self, item: Item, error: GPROChatError | None = None) -> None:
        if item.key:
            del self._asking[item.key]
        self.todo.settle()
        if error is not None:
            if item.key:
                self._hopeless[item.key] = error
            self._fail(item.places, error)

    def _finish(self, places: Sequence[int], value: Any, *, cached: bool = False) -> None:
        for place in places:
            self.results[place] = value
        self.counts.done += len(places)
        self.counts.cached += len(places) - (not cached)

    def _fail(self, places: Sequence[int], error: GPROChatError) -> None:
        for place in places:
            number = self.numbers[place]
            self.results[place] = error
            self.failed.append(Failure(number, self.plan.rows.label(number), error))
        self.counts.done += len(places)
        self.counts.failed += len(places)
        if self.terms.raise_on_error:
            error.hint = f"It was row {self.failed[-1].index}. {error.hint}"
            raise error

    def _read(self, text: str) -> Any:
        return text if self.terms.into == "text" else Reply(text).json()

    def _count(self, item: Item, outcome: Outcome) -> None:
        sent = sum(estimate_tokens(text_of(message)) for message in item.ask.messages)
        received = estimate_tokens(outcome.text)
        replies = int(outcome.error is None)
        self.counts.asked += replies
        self.counts.seconds += outcome.seconds * replies
        self.counts.sent += sent * replies
        self.counts.received += received
        tally.shared().add(requests=outcome.attempts, replies=replies, sent=sent, received=received)
