"""The changes that are not in the file yet, between the threads that make them and the one that
writes.

Everything here is changed under one condition, and nothing here touches the file.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from gprochat_magic.store.database import Fault
from gprochat_magic.store.operations import Known, Operation

Outcome = Literal["saved", "in memory"]
"""Where a change is: in the file, or only in memory for now (it is written as soon as that
works)."""

_BATCH = 500


@dataclass(eq=False)
class Job:
    """A change that waits, and those who want to know when it is made."""

    operation: Operation
    futures: list[Future[Outcome]] = field(default_factory=list)
    taken: bool = False


class Backlog:
    """An unbounded queue of changes in which the states of one turn that wait become one."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.blocked: Fault | None = None
        self.opened = False
        self.closing = False
        self.ended = False
        self.suspect = False
        self._condition = threading.Condition()
        self._queue: deque[Job] = deque()
        self._latest: dict[Hashable, Job] = {}
        self._pause = 0.0

    def submit(self, operation: Operation) -> Future[Outcome]:
        """Queue a change; its future holds the outcome, or why it can never be made."""
        future: Future[Outcome] = Future()
        with self._condition:
            self.known.apply(operation)
            job = self._latest.get(operation.key) if operation.key is not None else None
            if job is None or job.taken:
                job = Job(operation)
                self._queue.append(job)
                if operation.key is not None:
                    self._latest[operation.key] = job
            job.operation = operation
            stays = self.blocked is not None or self.closing
            if not stays:
                job.futures.append(future)
            self._condition.notify_all()
        if stays:
            future.set_result("in memory")
        return future

    def waiting(self) -> list[Operation]:
        """The changes that are not yet in the file, in order."""
        with self._condition:
            return [job.operation for job in self._queue]

    def settle(self, timeout: float) -> None:
        """Wait until the file is open and has all changes, or is known to be in the way."""
        with self._condition:
            self._condition.wait_for(
                lambda: self.blocked or (self.opened and not self._queue), timeout
            )

    def flush(self, timeout: float) -> bool:
        """Wait until all changes are in the file; False if that takes longer."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._queue, timeout)

    def look_again(self, timeout: float) -> None:
        """A reader met damage: have it confirmed and the file replaced."""
        with self._condition:
            self.suspect = True
            self._condition.notify_all()
            self._condition.wait_for(lambda: not self.suspect, timeout)

    def looked(self) -> None:
        """The file is sound, or is now."""
        with self._condition:
            self.suspect = False
            self._condition.notify_all()

    def close(self) -> None:
        """Let the writer end once the queue is empty."""
        with self._condition:
            self.closing = True
            self._condition.notify_all()

    def give_up(self) -> None:
        """Let the writer end now; what waits is not written."""
        with self._condition:
            self.closing = self.ended = True
            self._condition.notify_all()

    def take(self, *, chores: bool) -> list[Job] | None:
        """Wait for work: jobs to write, an empty list for other work, None to end."""
        with self._condition:
            if self._pause:
                self._condition.wait_for(lambda: self.closing, self._pause)
                if self.closing:
                    self._condition.wait(min(self._pause, 0.05))
            while not self.ended:
                if self._queue or self.suspect:
                    batch = [self._queue[at] for at in range(min(len(self._queue), _BATCH))]
                    for job in batch:
                        job.taken = True
                    return batch
                if self.closing:
                    return None
                if not self.opened or chores:
                    return []
                self._condition.wait()
            return None

    def done(self, batch: Sequence[Job]) -> None:
        """The jobs are committed, or there were none and the file answers."""
        with self._condition:
            for job in batch:
                self._forget(job)
            self.opened, self._pause = True, 0.0
            if not self._queue:
                self.blocked = None
            self._condition.notify_all()
        _resolve(batch, "saved")

    def again(self, batch: Sequence[Job], *, pause: float) -> None:
        """The jobs were not written; they keep their places, and are given out after a pause."""
        with self._condition:
            self._pause = pause
            for job in batch:
                job.taken = False

    def longer(self) -> float:
        """The pause after the one before: from a twentieth of a second up to one second."""
        return min(1.0, max(0.05, self._pause * 2))

    def block(self, fault: Fault) -> bool:
        """The file is in the way: let those go on who wait for it. Whether that is news."""
        with self._condition:
            is_news, self.blocked = self.blocked is not fault, fault
            jobs = list(self._queue)
            self._condition.notify_all()
        _resolve(jobs, "in memory")
        return is_news

    def refuse(self, job: Job, error: Exception) -> None:
        """Give up a change that can never be made."""
        with self._condition:
            self._forget(job)
            self._condition.notify_all()
        for future in job.futures:
            with suppress(InvalidStateError):
                future.set_exception(error)

    def _forget(self, job: Job) -> None:
        self._queue.remove(job)
        if self._latest.get(job.operation.key) is job:
            del self._latest[job.operation.key]


def _resolve(jobs: Sequence[Job], outcome: Outcome) -> None:
    for job in jobs:
        futures, job.futures = job.futures, []
        for future in futures:
            with suppress(InvalidStateError):  # its owner may have cancelled it
                future.set_result(outcome)
