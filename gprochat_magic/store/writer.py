"""The thread that alone writes the file, whatever the file does.

A lock, a full disk, a read-only folder or an I/O error leaves the backlog as it is; the thread
tries again, and says so once. A change leaves the backlog only when it is committed, or can never
be. The thread never dies.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

from gprochat_magic.errors import GPROChatError
from gprochat_magic.store import recovery, upkeep
from gprochat_magic.store.backlog import Backlog, Job, Outcome
from gprochat_magic.store.database import (
    Database,
    Fault,
    Unusable,
    classify,
    is_hopeless,
    open_database,
)
from gprochat_magic.store.operations import Known, Operation

_NOTICES = {
    Fault.LOCKED: "New turns wait in memory and are written when it lets go.",
    Fault.FULL: "New turns are not saved; they wait in memory until there is room.",
    Fault.READ_ONLY: "Old turns can be read; new ones are only in memory.",
    Fault.IO: "New turns are not saved; they wait in memory until it works again.",
    Fault.NEWER: "It is only read, and new turns are only in memory: upgrade gprochat-magic.",
    Fault.FOREIGN: "It is left alone; turns are only in memory. Choose another path.",
}


class _HopelessError(Exception):
    """A change that can never be made; the others of its batch can."""

    def __init__(self, job: Job, reason: Exception) -> None:
        super().__init__(str(reason))
        self.job, self.reason = job, reason


class Writer:
    """One backlog and one daemon thread for one file."""

    def __init__(
        self, path: Path | None, known: Known, *, tell: Callable[[str], None], patience: float
    ) -> None:
        self.path = path
        self.backlog = Backlog(known)
        self._tell = tell
        self._patience = patience
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        # Held while the file is touched; what follows belongs to whoever holds it.
        self._io = threading.Lock()
        self._database: Database | None = None
        self._chores: Iterator[None] | None = None
        self._again = False
        self._doubts = 0
        self._stuck_since: float | None = None

    def after_fork(self, known: Known) -> Writer:
        """The writer of a forked child: nothing waits, for what does is the parent's to write."""
        child = Writer(self.path, known, tell=self._tell, patience=self._patience)
        if self.path is None:
            child._database = self._database
        return child

    def submit(self, operation: Operation) -> Future[Outcome]:
        """Queue a change; returns at once."""
        future = self.backlog.submit(operation)
        self.start()
        return future

    def start(self) -> None:
        """See to it that the thread runs."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="gprochat-store", daemon=True
                )
                self._thread.start()

    def close(self, timeout: float) -> bool:
        """Write what waits, within `timeout` seconds, and end; False if something is left."""
        self.backlog.close()
        done = self.backlog.flush(timeout)
        self.backlog.give_up()
        with self._starting:  # one that is being started cannot be waited for yet
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return done

    def end(self, timeout: float) -> None:
        """Close for good; what has no file is gone with this."""
        self.close(timeout)
        if self.path is None:
            with self._io:
                if self._database is not None:
                    self._database.close()
                    self._database = None

    @contextmanager
    def memory(self) -> Iterator[Database | None]:
        """The connection of a store without a file, for a reader; writes wait meanwhile."""
        with self._io:
            yield self._database

    def hold(self) -> Callable[[], None]:
        """Wait until no transaction is open, and begin none until the result is called."""
        # Bounded: a fork that happens a little too early is better than one that never does.
        held = self._io.acquire(timeout=5.0)
        return self._io.release if held else lambda: None

    def _run(self) -> None:
        while True:
            batch = self.backlog.take(chores=self._chores is not None)
            if batch is None:
                break
            try:
                with self._io:
                    self._write(batch)
            except Exception as error:  # noqa: BLE001  # without this thread nothing is saved
                self._failed(batch, error)
            else:
                self._stuck_since, self._doubts = None, 0
                self.backlog.done(batch)
        with self._io:
            self._drop()

    def _write(self, batch: Sequence[Job]) -> None:
        suspect = self.backlog.suspect
        database = self._ready()
        if batch or self._again:
            with _transaction(database):
                self._put(batch, database)
            if database.moved:
                # It went away under the transaction, which may be lost with it.
                raise Unusable(Fault.MOVED)
            self._again = False
            if database.stale_index:
                database.stale_index = False
                self._chores = upkeep.chores(database)
        elif self._chores is not None and next(self._chores, self) is self:
            self._chores = None
        if suspect:
            self.backlog.looked()

    def _put(self, batch: Sequence[Job], database: Database) -> None:
        known = self.backlog.known
        if self._again:
            for operation in known.operations():
                operation.write(database, known)
        for job in batch:
            try:
                job.operation.write(database, known)
            except Exception as error:
                if is_hopeless(error):
                    raise _HopelessError(job, error) from error
                raise

    def _ready(self) -> Database:
        if self.backlog.suspect and self.path is not None:
            self._drop()
            self._replace_damaged(self.path)
        if self._database is not None and self._database.moved:
            self._drop()
            self._again = True
        if self._database is None:
            self._database = open_database(self.path)
            self._chores = upkeep.chores(self._database)
        return self._database

    def _replace_damaged(self, path: Path) -> None:
        found = recovery.recover(path)
        if found is None:
            # Not the file but one reading of it was bad; do not spin on it.
            self._doubts += 1
        else:
            self._again = True
            self._tell(str(found))

    def _drop(self) -> None:
        if self._database is not None and self.path is not None:
            self._database.close()
            self._database, self._chores = None, None

    def _failed(self, batch: Sequence[Job], error: Exception) -> None:
        fault, backlog = classify(error), self.backlog
        if isinstance(error, _HopelessError):
            backlog.refuse(error.job, error.reason)
            backlog.again([job for job in batch if job is not error.job], pause=0.0)
            if not isinstance(error.reason, GPROChatError):
                self._tell(f"A change could not be stored: {error.reason!r}")
        elif fault is Fault.MOVED:
            backlog.again(batch, pause=0.0)
        elif fault is Fault.DAMAGED:
            backlog.suspect = True
            if self._doubts:
                # A second look found no damage, and yet it does not work.
                self._wait_for_better(batch, Fault.IO, error)
            backlog.again(batch, pause=min(60.0, 4.0**self._doubts) if self._doubts else 0.0)
        elif fault is Fault.LOCKED and self._is_patient():
            if not batch and self._database is not None:
                self._chores = upkeep.chores(self._database)
            backlog.again(batch, pause=0.01)
        else:
            self._wait_for_better(batch, fault, error)

    def _is_patient(self) -> bool:
        """Whether a lock has been in the way for so short a time that nobody need know."""
        now = time.monotonic()
        self._stuck_since = self._stuck_since or now
        return now - self._stuck_since < self._patience

    def _wait_for_better(self, batch: Sequence[Job], fault: Fault, error: Exception) -> None:
        if fault is not Fault.LOCKED:
            # What the handle holds after such a failure is not worth guessing.
            with self._io:
                self._drop()
        if self.backlog.block(fault):
            why = f" ({error})" if fault is Fault.IO else ""
            self._tell(f"The history file {self.path}: {fault.value}{why}. {_NOTICES[fault]}")
        self.backlog.again(batch, pause=self.backlog.longer())


@contextmanager
def _transaction(database: Database) -> Iterator[None]:
    conn = database.conn
    # IMMEDIATE: a transaction that begins by reading can fail at once when it comes to write.
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            conn.execute("ROLLBACK")
        raise
