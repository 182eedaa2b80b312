"""The changes that can be made, each in two ways: on an entry in memory, and on the file.

Every one can be made twice with the same result, so that what was committed into a file that then
vanished can be written again.
"""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import astuple, dataclass, field, replace

from gprochat_magic.errors import ConfigError
from gprochat_magic.store import rows, search
from gprochat_magic.store.database import Database
from gprochat_magic.store.process import Run
from gprochat_magic.store.records import Entry, Record, checksum, values_of


@dataclass
class Operation(ABC):
    """One change to one conversation."""

    conversation: str

    @property
    def key(self) -> Hashable:
        """Two waiting operations with one key are one: the later. None: never."""
        return None

    @abstractmethod
    def apply(self, entry: Entry | None) -> Entry | None:
        """The entry after the change; None where there is none."""

    @abstractmethod
    def write(self, database: Database, known: Known) -> None:
        """Make the change in the file, inside the writer's transaction."""


@dataclass
class Create(Operation):
    """Begin a conversation. A name that was taken meanwhile gets a number."""

    entry: Entry

    def apply(self, entry: Entry | None) -> Entry | None:
        """A new entry; one that is there stays as it is."""
        return entry or replace(self.entry, turns={})

    def write(self, database: Database, known: Known) -> None:
        """Insert the row, unless it is there."""
        if rows.key_of(database, self.conversation) is None:
            rows.insert(database, self.entry)


@dataclass
class Rename(Operation):
    """Give a conversation another name."""

    name: str

    def apply(self, entry: Entry | None) -> Entry | None:
        """The entry under its new name."""
        return entry and replace(entry, name=self.name)

    def write(self, database: Database, known: Known) -> None:
        """Raises `ConfigError` if another conversation has the name."""
        statement = "UPDATE conversation SET name = ? WHERE id = ?"
        try:
            database.conn.execute(statement, (self.name, self.conversation))
        except sqlite3.IntegrityError:
            raise ConfigError(
                f"there is a conversation named {self.name!r} already",
                hint="Choose another name; %gprochat list shows those in use.",
                kind="name_taken",
            ) from None


@dataclass
class Label(Operation):
    """Say which notebook a conversation belongs to."""

    notebook: str

    def apply(self, entry: Entry | None) -> Entry | None:
        """The entry with the label."""
        return entry and replace(entry, notebook=self.notebook)

    def write(self, database: Database, known: Known) -> None:
        """Set the column."""
        statement = "UPDATE conversation SET notebook = ? WHERE id = ?"
        database.conn.execute(statement, (self.notebook, self.conversation))


@dataclass
class SetHead(Operation):
    """Say which turn the line in view ends with."""

    turn: str | None

    def apply(self, entry: Entry | None) -> Entry | None:
        """The entry with the head."""
        return replace(entry or Entry(self.conversation), head=self.turn)

    def write(self, database: Database, known: Known) -> None:
        """Set the column, in a conversation that is made if it is missing."""
        if self.conversation in known.deleted:
            return
        key = ensure(database, self.conversation, known)
        database.conn.execute("UPDATE conversation SET head = ? WHERE key = ?", (self.turn, key))


@dataclass
class Delete(Operation):
    """Remove a conversation and its turns."""

    def apply(self, entry: Entry | None) -> Entry | None:
        """Nothing is left."""
        return None

    def write(self, database: Database, known: Known) -> None:
        """Remove the rows, and every word from the search index, which is then built again.

        Taking only these turns out of it would leave their words in the file for a long time.
        """
        conn, key = database.conn, rows.key_of(database, self.conversation)
        conn.execute("DELETE FROM turn WHERE conversation = ?", (key,))
        conn.execute("DELETE FROM conversation WHERE key = ?", (key,))
        rows.in_index(database, search.empty)
        database.stale_index = True


@dataclass
class SaveTurn(Operation):
    """Keep a turn as it is now. `restored` never takes the place of what is there."""

    record: Record
    run: Run | None = None
    at: float = field(default_factory=time.time)
    restored: bool = False

    @property
    def key(self) -> Hashable:
        """Only the latest state of a turn matters."""
        return ("turn", self.conversation, self.record.turn.id)

    def apply(self, entry: Entry | None) -> Entry | None:
        """The entry with the turn; a turn that was there keeps its place."""
        entry = entry or Entry(self.conversation)
        if not (self.restored and self.record.turn.id in entry.turns):
            entry.turns[self.record.turn.id] = self.record
        entry.updated = max(entry.updated, self.at)
        return entry

    def write(self, database: Database, known: Known) -> None:
        """Insert or update the row and its place in the search index."""
        if self.conversation in known.deleted:
            return
        conn, turn = database.conn, self.record.turn
        found = conn.execute("SELECT seq FROM turn WHERE id = ?", (turn.id,)).fetchone()
        if found and self.restored:
            return
        if found:
            rows.in_index(database, search.forget, found[0])
        key = ensure(database, self.conversation, known)
        if self.run is not None:
            conn.execute("INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?)", astuple(self.run))
        values = values_of(self.record)
        row = (key, checksum(self.conversation, values), *values)
        seq = rows.put(conn, row, found and found[0])
        conn.execute("INSERT OR IGNORE INTO unindexed VALUES (?)", (seq,))
        if turn.state != "pending":
            rows.in_index(database, search.add, seq)
        statement = "UPDATE conversation SET updated = max(updated, ?) WHERE key = ?"
        conn.execute(statement, (self.at, key))


@dataclass
class Reindex(Operation):
    """The search index turned out to be damaged."""

    @property
    def key(self) -> Hashable:
        """Once is enough."""
        return "reindex"

    def apply(self, entry: Entry | None) -> Entry | None:
        """No conversation changes."""
        return entry

    def write(self, database: Database, known: Known) -> None:
        """Have it looked at when there is nothing else to write."""
        database.stale_index = True


class Known:
    """What this process wrote or loaded, to be written again if the file goes away.

    Strings are shared with the turns that the caller holds, so this costs little beside them.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.entries: dict[str, Entry] = {}
        self.deleted: set[str] = set()

    def apply(self, operation: Operation) -> None:
        """Take note of a change."""
        entry = operation.apply(self.entries.get(operation.conversation))
        if entry is None:
            self.entries.pop(operation.conversation, None)
            if isinstance(operation, Delete):
                self.deleted.add(operation.conversation)
        elif operation.conversation not in self.deleted:
            self.entries[operation.conversation] = entry

    def remember(self, entry: Entry) -> None:
        """Take note of a conversation as it was loaded."""
        if entry.id not in self.deleted:
            self.entries[entry.id] = replace(entry, turns=dict(entry.turns))

    def operations(self) -> Iterator[Operation]:
        """All that is known, as changes to an empty file."""
        for entry in list(self.entries.values()):
            yield Create(entry.id, entry)
            for record in list(entry.turns.values()):
                own = record.run == self.run.id
                run = self.run if own else None
                if not record.damaged:
                    yield SaveTurn(entry.id, record, run, entry.updated, restored=not own)
            yield SetHead(entry.id, entry.head)


def ensure(database: Database, conversation: str, known: Known) -> int:
    """The row number of a conversation, which is made if another kernel deleted it meanwhile."""
    key = rows.key_of(database, conversation)
    return (
        rows.insert(database, known.entries.get(conversation) or Entry(conversation))
        if key is None
        else key
    )
