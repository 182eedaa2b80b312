"""A prompt over data: planned and checked, run on the engine, and given back as the data were."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from gprochat_magic import config, engine
from gprochat_magic.batch import results
from gprochat_magic.batch.plan import Plan, planned
from gprochat_magic.batch.progress import Progress
from gprochat_magic.batch.results import Mapped, Origin
from gprochat_magic.batch.run import Run
from gprochat_magic.batch.terms import Terms
from gprochat_magic.batch.work import Counts, Failure
from gprochat_magic.errors import MapInterrupted, ReplyInterrupted, StreamInterruptedError

__all__ = ["Counts", "Failure", "Mapped", "Plan", "Terms", "mapped", "mapped_awaited", "planned"]


def mapped(plan: Plan) -> Any:
    """Run a plan from synchronous code, also where a loop runs; Ctrl-C stops it.

    What was done by then is kept. Raises `MapInterrupted`, or the `GPROChatError` under which every
    other row would fail.
    """
    return _shaped(plan, _origin(plan, _blocking(plan, range(plan.count))))


async def mapped_awaited(plan: Plan) -> Any:
    """`mapped`, awaited on any loop."""
    return _shaped(plan, _origin(plan, await _awaited(plan, range(plan.count))))


def _blocking(plan: Plan, numbers: Sequence[int]) -> Run:
    run = Run(plan, numbers)
    with _bar(run) as bar, _told(run):
        stream = engine.shared().stream(lambda emit: run.steps())
        for _ in stream.batches(config.current().waiter()):
            bar.show(run.counts)
        _say(run, bar)
    return run


async def _awaited(plan: Plan, numbers: Sequence[int]) -> Run:
    run = Run(plan, numbers)
    with _bar(run) as bar, _told(run):
        stream = engine.shared().stream(lambda emit: run.steps())
        async with contextlib.aclosing(aiter(stream)) as steps:
            try:
                async for counts in steps:
                    bar.show(counts)
            except asyncio.CancelledError:
                stopped = MapInterrupted(run.counts.done, run.counts.total)
                bar.say(f"{stopped.message} {stopped.hint}")
                raise
        _say(run, bar)
    return run


def _bar(run: Run) -> Progress:
    settings = run.plan.manner.settings
    return Progress(run.counts.total, shown=run.terms.progress, shower=settings.shower())


@contextlib.contextmanager
def _told(run: Run) -> Iterator[None]:
    """Say, of a run that was stopped, how far it came and how to go on."""
    try:
        yield
    except ReplyInterrupted:
        raise MapInterrupted(run.counts.done, run.counts.total) from None
    except StreamInterruptedError as error:
        if error.kind == "stopped":
            stopped = MapInterrupted(run.counts.done, run.counts.total)
            error.message, error.hint = stopped.message, stopped.hint
            error.args = (error.message,)
        raise


def _say(run: Run, bar: Progress) -> None:
    bar.show(run.counts)
    counts = run.counts
    # Where the extension is not loaded, a saved notebook keeps no bar but its beginning.
    answered = counts.done - counts.failed
    remarks = [f"rows answered: {answered:,} of {counts.total:,}, {counts.cached:,} from the cache"]
    remarks += counts.notes
    if counts.failed:
        remarks.append(
            f"failed rows: {counts.failed:,}; .failed lists them, .retry_failed() asks them again"
        )
    if counts.unproven:
        remarks.append(f"replies whose end is not proven, and so not kept: {counts.unproven:,}")
    for line in filter(None, [*remarks, _estimate(run)]):
        bar.say(line)


def _estimate(run: Run) -> str:
    """What the rows beyond a trial would take, in words."""
    plan, counts = run.plan, run.counts
    rest = len(plan.rows) - plan.count
    known = rest and plan.rows.complete
    if not plan.terms.limit or (plan.rows.complete and not rest):
        return ""
    if not counts.asked:
        return "this trial came from the cache, so there is nothing to estimate by"
    each = counts.seconds / counts.asked / plan.terms.concurrency
    if plan.terms.per_minute:
        each = max(each, 60 / plan.terms.per_minute)
    many = rest if known else 1_000
    whose = f"the other {rest:,} row{'s' * (rest > 1)}" if known else "a thousand rows"
    sent, received = (round(n / counts.asked * many) for n in (counts.sent, counts.received))
    return (
        f"{whose} would take about {_duration(each * many)}, ~{sent:,} tokens sent and "
        f"~{received:,} received"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _origin(plan: Plan, run: Run, before: Origin | None = None) -> Origin:
    values = run.results
    if before is not None:
        values = list(before.values)
        for number, value in zip(run.numbers, run.results, strict=True):
            values[number] = value
    return Origin(
        values,
        run.failed,
        run.counts,
        estimate=_estimate(run),
        again=functools.partial(_again, plan),
        again_awaited=functools.partial(_again_awaited, plan),
    )


def _shaped(plan: Plan, origin: Origin) -> Any:
    terms = plan.terms
    return results.shaped(plan.rows, origin, spread=terms.into == "json", column=terms.column)


def _again(plan: Plan, before: Origin) -> Any:
    run = _blocking(plan, [each.row for each in before.failed])
    return _shaped(plan, _origin(plan, run, before))


async def _again_awaited(plan: Plan, before: Origin) -> Any:
    run = await _awaited(plan, [each.row for each in before.failed])
    return _shaped(plan, _origin(plan, run, before))
