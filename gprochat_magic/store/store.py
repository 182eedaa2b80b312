"""The history: conversations that are kept at once, read from any thread, and outlive the kernel.

Saving never waits and never touches an event loop. What was saved is read back at once, whether it
is in the file yet or not.
"""

from __future__ import annotations

import difflib
import sqlite3
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gprochat_magic.conversation import Turn
from gprochat_magic.errors import ConfigError, GPROChatError
from gprochat_magic.store import operations, process, reading, search
from gprochat_magic.store.backlog import Outcome
from gprochat_magic.store.database import Fault, classify, connect_for_reading
from gprochat_magic.store.operations import Known, Operation, SaveTurn
from gprochat_magic.store.records import Entry, Hit, Loaded, Summary, ended, snapshot
from gprochat_magic.store.writer import Writer

MEMORY = ":memory:"

T = TypeVar("T")


class Store:
    """One history file, or `:memory:` for none. Nothing is opened before the first use.

    `run` and `kernel` name this run and the kernel it is a run of, as stored with what it writes.
    `patience` is how long, in seconds, a lock or a slow disk may last before it is mentioned.
    `notices` has what surfaces should show, each once; `on_notice` is called with each as it
    comes, in the writer's thread.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        run: str = "",
        kernel: str = "",
        patience: float = 5.0,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.path = None if str(path) == MEMORY else Path(path).expanduser().resolve()
        self.notices: list[str] = []
        self.on_notice = on_notice
        self._patience = patience
        self._run = process.this_run(run=run, kernel=kernel)
        # The thread must not keep the store alive: a store that nobody holds writes its rest and
        # ends.
        me = weakref.ref(self)

        def tell(text: str) -> None:
            store = me()
            if store is not None:
                store._tell(text)

        self._writer = Writer(self.path, Known(self._run), tell=tell, patience=patience)
        self._at_exit = weakref.finalize(self, Writer.end, self._writer, 2.0)
        process.watch_forks(me)

    @property
    def run(self) -> str:
        """The id of this run, stored with each turn that it writes."""
        return self._run.id

    @property
    def waiting(self) -> int:
        """How many changes are not in the file yet."""
        return len(self._writer.backlog.waiting())

    def create(self, name: str, *, notebook: str = "") -> str:
        """Begin a conversation; returns its id at once.

        A name that is taken by then gets a number (`review-2`); ask `find` first to refuse it
        instead.
        """
        about = (name, self._run.kernel, self._run.id, notebook)
        now = time.time()
        entry = Entry(uuid.uuid4().hex, *about, now, now)
        self._writer.submit(operations.Create(entry.id, entry))
        return entry.id

    def save(
        self, conversation: str, turn: Turn, *, extra: Mapping[str, Any] | None = None
    ) -> Future[Outcome]:
        """Keep a turn as it is now, new or known; what it becomes later is kept by saving it again.

        `extra` is stored beside it as JSON. Raises `TypeError` if that cannot hold it.
        """
        record = snapshot(turn, self._run.id, extra)
        return self._writer.submit(SaveTurn(conversation, record, self._run))

    def set_head(self, conversation: str, turn: str | None) -> Future[Outcome]:
        """Say with which turn the line in view ends; None for an empty line."""
        return self._writer.submit(operations.SetHead(conversation, turn))

    def rename(self, conversation: str, name: str) -> Future[Outcome]:
        """Give another name. The future raises `ConfigError` (kind `name_taken`) if it is in
        use.
        """
        return self._writer.submit(operations.Rename(conversation, name))

    def label(self, conversation: str, notebook: str) -> Future[Outcome]:
        """Say which notebook a conversation belongs to."""
        return self._writer.submit(operations.Label(conversation, notebook))

    def delete(self, conversation: str) -> Future[Outcome]:
        """Remove a conversation with all its turns; later saves into it are ignored."""
        return self._writer.submit(operations.Delete(conversation))

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until all that was saved is in the file; False if that takes longer."""
        return self._writer.backlog.flush(timeout)

    def close(self, timeout: float = 2.0) -> bool:
        """Write the rest and let go of the file; False, with a notice, if something could not be
        written.
        """
        if self.path is not None:  # what has no file can be read until the store is gone
            self._at_exit.detach()
        done = self._writer.close(timeout)
        if not done:
            self._tell(f"{self.waiting} changes to the history could not be saved.")
        return done

    def conversations(self) -> list[Summary]:
        """Every conversation, the last used first. Raises `GPROChatError` if the file cannot be
        read.
        """
        waiting, found = self._ask(reading.summaries)
        found = found or {}
        for conversation in _touched(waiting):
            found.pop(conversation, None)
            entry = self._entry(conversation)
            if entry is not None:
                found[conversation] = entry.summary()
        return sorted(found.values(), key=lambda each: each.updated, reverse=True)

    def find(self, key: str) -> Summary | None:
        """The conversation of that id or name."""
        return next((each for each in self.conversations() if key in (each.id, each.name)), None)

    def find_by_notebook(self, notebook: str) -> list[Summary]:
        """The conversations that belong to a notebook, the last used first."""
        return [each for each in self.conversations() if each.notebook == notebook]

    def load(self, key: str, *, newest: int | None = None, remember: bool = True) -> Loaded:
        """A conversation by id or name: the turns of its whole tree, or only the newest.

        A turn whose process died while it ran comes back as interrupted, or as failed where it
        has no text. With `remember`, all of it is written again if the file goes away; not needed
        to look or to export. Raises `ConfigError` (kind `unknown_conversation`, the nearest name
        in its hint), or `GPROChatError` (kind `history`) if the file cannot be read.
        """
        entry = self._find(key, newest)
        if entry is not None and newest is not None and entry.head not in (None, *entry.turns):
            # An older branch is in view.
            entry = self._find(key)
        if entry is None:
            raise self._unknown(key)
        self._end_dead(entry)
        if remember:
            self._writer.backlog.known.remember(entry)
        loaded = entry.loaded()
        if loaded.damaged:
            text = f"{len(loaded.damaged)} turns in {entry.name!r} changed on disk (bad checksum)."
            if text not in self.notices:
                self._tell(text)
        return loaded

    def search(self, text: str, limit: int = 20) -> list[Hit]:
        """The newest turns with every word of the text; a word also finds its longer forms."""
        waiting, answer = self._ask(lambda conn: search.find(conn, text, limit))
        found, sound = answer or ([], True)
        if not sound and self._writer.backlog.blocked is None:
            self._writer.submit(operations.Reindex(""))
        hits = {hit.turn: hit for hit in reversed(found)}
        known = self._writer.backlog.known.entries
        for each in waiting:
            if isinstance(each, operations.Delete):
                gone = each.conversation
                hits = {turn: hit for turn, hit in hits.items() if hit.conversation != gone}
            if isinstance(each, SaveTurn) and each.conversation in known:
                turn = each.record.turn
                hits.pop(turn.id, None)
                snippet = search.matches(text, turn.prompt, turn.reply)
                if snippet is not None:
                    name = known[each.conversation].name
                    hits[turn.id] = Hit(each.conversation, name, turn.id, snippet)
        return list(reversed(hits.values()))[:limit]

    def hold(self) -> Callable[[], None]:
        """Before a fork: wait until no transaction is open; returns what lets the writer go on."""
        return self._writer.hold()

    def begin_again(self) -> None:
        """In a forked child: the thread and what waits are the parent's, so begin with neither."""
        self._at_exit.detach()
        self._run = process.this_run()
        known = Known(self._run)
        known.entries = dict(self._writer.backlog.known.entries)
        self._writer = self._writer.after_fork(known)
        self._at_exit = weakref.finalize(self, Writer.end, self._writer, 2.0)

    def _find(self, key: str, newest: int | None = None) -> Entry | None:
        waiting, found = self._ask(lambda conn: reading.id_of(conn, key))
        for conversation in dict.fromkeys([*([found] if found else []), *_touched(waiting)]):
            entry = self._entry(conversation, newest)
            if entry is not None and key in (entry.id, entry.name):
                return entry
        return None

    def _entry(self, conversation: str, newest: int | None = None) -> Entry | None:
        waiting, found = self._ask(lambda conn: reading.entry(conn, conversation, newest))
        return reading.overlaid(found, waiting, conversation)

    def _end_dead(self, entry: Entry) -> None:
        """Settle the turns that were running in a process that is gone, in memory and in the
        file.
        """
        running = [each for each in entry.turns.values() if each.turn.state == "pending"]
        ids = {record.run for record in running} - {self._run.id}
        runs = (self._ask(lambda conn: reading.runs(conn, ids))[1] if ids else None) or {}
        for record in running:
            run = self._run if record.run == self._run.id else runs.get(record.run)
            if process.is_dead(run, self._run, begun=record.turn.created) and not record.damaged:
                settled = entry.turns[record.turn.id] = ended(record)
                self._writer.submit(SaveTurn(entry.id, settled, at=entry.updated))

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> tuple[list[Operation], T | None]:
        """The changes that wait, then what the file says: read in this order, none is missed."""
        self._writer.start()
        self._writer.backlog.settle(self._patience)
        for is_last in (False, True):
            waiting = self._writer.backlog.waiting()
            try:
                with self._reading() as conn:
                    if conn is None:
                        return waiting, None
                    return waiting, reading.at_one_moment(conn, question)
            except (sqlite3.Error, OSError) as error:
                if classify(error) is not Fault.DAMAGED or is_last:
                    raise GPROChatError(
                        f"the history file {self.path} cannot be read: {error}",
                        hint="Try again; new turns are kept in memory meanwhile.",
                        kind="history",
                        retryable=True,
                    ) from error
            self._writer.backlog.look_again(60.0)
        raise AssertionError("the second round returns or raises")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        if self.path is None:
            with self._writer.memory() as database:
                yield None if database is None else database.conn
            return
        # A handle for each question: nothing to lock between threads, to lose in a fork, or to go
        # stale.
        conn = connect_for_reading(self.path, patience=2.0)
        if conn is None:
            yield None
            return
        with closing(conn):
            yield conn

    def _unknown(self, key: str) -> ConfigError:
        names = [each.name for each in self.conversations()]
        near = difflib.get_close_matches(key, names, n=1)
        ask = f"Did you mean {near[0]!r}?" if near else "%gprochat list shows those there are."
        kind = "unknown_conversation"
        return ConfigError(f"there is no conversation named {key!r}", hint=ask, kind=kind)

    def _tell(self, text: str) -> None:
        self.notices.append(text)
        if self.on_notice is not None:
            try:
                self.on_notice(text)
            except Exception:  # noqa: BLE001  # a surface that cannot show it must not stop the writer
                return


def _touched(waiting: list[Operation]) -> list[str]:
    return [each for each in dict.fromkeys(change.conversation for change in waiting) if each]
