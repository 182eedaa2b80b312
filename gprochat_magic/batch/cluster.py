"""A map over the workers of a Dask cluster: requests go out signed, in chunks, and texts come back.

Invariants: only this process signs, decides, and writes the store; a worker has one chunk at a time
and never the secret; a chunk's texts are pulled as it ends, and its rows asked again if it is lost.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import time
import uuid
from typing import TYPE_CHECKING, Any

from gprochat_magic import config
from gprochat_magic.batch import verdict
from gprochat_magic.batch.errand import Errand, carry, without_secret
from gprochat_magic.batch.work import Item, Outcome
from gprochat_magic.errors import ConfigError, ConnectError, GPROChatError, ServerError
from gprochat_magic.sending import Options, explain

if TYPE_CHECKING:
    from gprochat_magic.batch.run import Run

CHUNK = 50
"""Rows that a worker is sent together: as many may be asked twice when it is lost."""
LOOK = 1.0
"""Seconds between two looks at which workers there are."""
PATIENCE = 10.0
"""Seconds that a scheduler may take to answer."""
ALONE = 60.0
"""Seconds that a cluster may be without any worker."""


def check(client: Any, settings: config.Settings, options: Options) -> None:
    """Find what is wrong with a cluster before anything is sent. Raises `ConfigError`."""
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(client).__mro__}
    if "distributed.client.Client" not in kinds:
        raise ConfigError(
            f"client must be a dask.distributed.Client, not a {type(client).__name__}",
            hint="pip install gprochat-magic[dask]; nothing was sent.",
        )
    if client.asynchronous:
        raise ConfigError("the client must not be asynchronous", hint="Nothing was sent.")
    for address in (settings.api_endpoint, options.proxy or settings.proxy):
        if config.has_password(address):
            raise ConfigError(
                "the address of the endpoint or proxy holds what a cluster should not see",
                hint="Use one without user, password and query.",
            )
    try:
        workers = _asked(client).result(PATIENCE) if client.status == "running" else None
    except Exception:  # noqa: BLE001  # a scheduler that is gone shows in many ways
        workers = None
    if workers is None:
        raise ConfigError(
            "the Dask scheduler cannot be reached",
            hint="Start the cluster, and make a new Client; nothing was sent.",
        )
    if not workers:
        raise ConfigError("the Dask cluster has no workers", hint="Nothing was sent.")


async def lanes(run: Run, client: Any) -> None:
    """Ask what a run has to ask by way of the cluster, one chunk a worker at a time."""
    cluster = _Cluster(run, client)
    try:
        await cluster.work()
    finally:
        await cluster.leave()


class _Cluster:
    def __init__(self, run: Run, client: Any) -> None:
        self._run, self._client = run, client
        self._lanes: dict[str, asyncio.Task[bool]] = {}
        self._workers: set[str] = set()
        self._replayed: set[str] = set()
        self._seen = time.monotonic()

    async def work(self) -> None:
        over = False
        while not over:
            await self._look()
            for worker in self._workers - self._lanes.keys():
                self._lanes[worker] = asyncio.create_task(self._lane(worker))
            if not self._lanes:
                await asyncio.sleep(LOOK)
                continue
            done, _ = await asyncio.wait(
                self._lanes.values(), timeout=LOOK, return_when=asyncio.FIRST_COMPLETED
            )
            for lane in done:
                over = lane.result() or over
            self._lanes = {who: lane for who, lane in self._lanes.items() if lane not in done}

    async def leave(self) -> None:
        for lane in self._lanes.values():
            lane.cancel()
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)

    async def _look(self) -> None:
        try:
            found = asyncio.wrap_future(_asked(self._client))
            self._workers = set(await asyncio.wait_for(found, PATIENCE))
        except Exception as error:  # a scheduler that is gone shows in many ways
            raise self._paused("the Dask scheduler went away") from error
        if self._workers:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > ALONE:
            raise self._paused("the Dask cluster has had no worker for a minute")

    async def _lane(self, worker: str) -> bool:
        """Send chunks to one worker. Says whether all is done; otherwise the worker went away."""
        todo = self._run.todo
        while worker in self._workers:
            first = await todo.take()
            if first is None:
                return True
            items = [first, *todo.more(CHUNK - 1)]
            await self._run.pace.calm()
            began = asyncio.get_running_loop().time()
            outcomes = await self._sent(worker, items)
            # Together, so that their texts are written in one go.
            works = [self._judged(*each, began) for each in zip(items, outcomes, strict=True)]
            for problem in await asyncio.gather(*works, return_exceptions=True):
                if problem is not None:
                    raise problem
        return False

    async def _judged(self, item: Item, outcome: Outcome | None, began: float) -> None:
        error = None if outcome is None else outcome.error
        if error is not None and error.kind == "replay" and item.key not in self._replayed:
            # A worker that is gone had sent it already, and it can only be sent once.
            self._replayed.add(item.key)
            outcome = None
        if outcome is None:
            self._run.todo.put_back(item)
            return
        await self._run.judge(item, outcome, began)

    async def _sent(self, worker: str, items: list[Item]) -> list[Outcome | None]:
        signed, refused = [], dict[int, Outcome | None]()
        for at, item in enumerate(items):
            try:
                signed.append(self._run.asker.exchange(item.ask).signed())
            except GPROChatError as error:
                refused[at] = Outcome(error=error, attempts=0)
        found = iter(await self._carried(worker, self._errand(tuple(signed))))
        return [
            refused[at] if at in refused else self._told(next(found)) for at in range(len(items))
        ]

    def _errand(self, signed: tuple[Any, ...]) -> Errand:
        run, lanes = self._run, max(1, len(self._lanes))
        most = run.terms.per_minute
        return Errand(
            without_secret(run.asker.target),
            signed,
            run.asker.limits,
            run.asker.proxy,
            concurrency=max(1, run.pace.width // lanes),
            per_minute=most / lanes if most else None,
            begun=time.time(),
        )

    async def _carried(self, worker: str, errand: Errand) -> list[Outcome | None]:
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        future = self._client.submit(
            carry,
            errand,
            workers=[worker],
            allow_other_workers=True,
            pure=False,
            key=f"gprochat-map-{uuid.uuid4().hex}",
        )

        def wake(future: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be gone by then
                loop.call_soon_threadsafe(done.set)

        future.add_done_callback(wake)
        try:
            await done.wait()
            found: list[Outcome | None] = await asyncio.wrap_future(_in_thread(future.result))
        except asyncio.CancelledError:
            future.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # whatever a cluster raises for a task of ours
            return self._lost(error, len(errand.requests))
        finally:
            future.release()
        return found

    def _lost(self, error: Exception, count: int) -> list[Outcome | None]:
        kind = type(error).__name__
        if kind == "KilledWorker":
            died = ServerError("several workers died over these rows", retryable=False)
            return [Outcome(error=died, attempts=0)] * count
        if "Cancelled" in kind or isinstance(error, OSError):
            raise self._paused("the Dask scheduler went away")
        raise verdict.paused(
            ConfigError(f"the workers cannot run this: {kind}: {error}", hint=_SAME),
            self._run.counts.done,
            self._run.counts.total,
        )

    def _told(self, outcome: Outcome | None) -> Outcome | None:
        if outcome is None or outcome.error is None:
            return outcome
        target = self._run.asker.target
        explain(outcome.error, target)
        # A worker cannot hide a secret that it does not have.
        message = outcome.error.message.replace(target.secret.reveal(), "****")
        outcome.error.message, outcome.error.args = message, (message,)
        if target.socket and isinstance(outcome.error, ConnectError):
            outcome.error.hint = "The embedded gateway is reached from this machine only."
        return dataclasses.replace(outcome, error=outcome.error)

    def _paused(self, message: str) -> GPROChatError:
        counts = self._run.counts
        error = ConnectError(message, hint="Start the cluster, and make a new Client.")
        return verdict.paused(error, counts.done, counts.total)


_SAME = "They need the same versions of Python and gprochat-magic."


def _asked(client: Any) -> concurrent.futures.Future[dict[str, int]]:
    """Which workers there are, asked in a thread of its own: a dead scheduler may never say."""
    return _in_thread(client.nthreads)


def _in_thread(work: Any) -> concurrent.futures.Future[Any]:
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="gprochat-dask")
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future
