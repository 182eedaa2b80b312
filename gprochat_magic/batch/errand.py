"""What a worker of a cluster does for a map: posts requests that came signed, and brings the text.

A worker holds no secret: it can send each of these requests once, as it is, for a few minutes. It
decides nothing, and keeps nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from gprochat_magic import engine, wire
from gprochat_magic.batch import verdict
from gprochat_magic.batch.asking import outcome_of
from gprochat_magic.batch.pace import Pace
from gprochat_magic.batch.work import Outcome, together
from gprochat_magic.config import Secret
from gprochat_magic.limits import Limits
from gprochat_magic.provider import clock
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Ask, Exchange

FRESH = 200.0
"""Seconds for which a signature is used; gateways accept one for 300, if clocks agree."""


@dataclass(frozen=True, repr=False)
class Errand:
    """Signed requests, where they go, and how fast: so many at a time, so many a minute.

    `begun` is when they were signed, in seconds since the epoch.
    """

    target: Target
    requests: tuple[wire.Outgoing, ...]
    limits: Limits
    proxy: str
    concurrency: int
    per_minute: float | None
    begun: float

    def __repr__(self) -> str:
        return f"Errand({len(self.requests)} requests)"


def without_secret(target: Target) -> Target:
    """The same target for a process that only sends what is signed."""
    return dataclasses.replace(target, secret=Secret(), renew=None)


def carry(errand: Errand) -> list[Outcome | None]:
    """What came of each request; None for those that were not sent, which must be signed anew.

    Called on a worker of a cluster.
    """
    from distributed import get_worker  # an extra

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        # A task that runs cannot be ended from outside, but it can look whether it was cancelled.
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing"

    return engine.shared().run(_carried(errand, is_wanted))


async def _carried(errand: Errand, is_wanted: Callable[[], bool]) -> list[Outcome | None]:
    outcomes: list[Outcome | None] = [None] * len(errand.requests)
    pace = Pace(errand.concurrency, errand.per_minute)
    crowded = asyncio.Event()
    pool = engine.shared().keep("http", Pool)

    async def send(at: int) -> None:
        async with pace.turn():
            # Whoever sent this chunk knows what all workers are to wait for.
            if crowded.is_set() or abs(time.time() - errand.begun) > FRESH or not is_wanted():
                return
            exchange = Exchange(
                errand.target,
                Ask([]),
                session=pool.session,
                clock=clock,
                limits=errand.limits,
                proxy=errand.proxy,
                signed=errand.requests[at],
            )
            outcomes[at] = outcome = await outcome_of(exchange)
            if outcome.error is not None and verdict.is_crowded(outcome.error):
                crowded.set()

    await together([send(at) for at in range(len(errand.requests))])
    return outcomes
