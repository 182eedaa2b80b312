"""Replies kept under what was asked, so that the same request need not be sent twice.

A key is a hash: what was asked is not kept here. Only whole replies belong here; one that changed
on disk counts as not there.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from gprochat_magic.store.backlog import Outcome
from gprochat_magic.store.database import Database
from gprochat_magic.store.operations import Known, Operation
from gprochat_magic.store.records import Entry
from gprochat_magic.store.store import Store


@dataclass
class _Change(Operation):
    """A change to the cache; it belongs to no conversation."""

    def apply(self, entry: Entry | None) -> Entry | None:
        """No conversation changes."""
        return entry


@dataclass
class _Put(_Change):
    name: str
    reply: str
    at: float = field(default_factory=time.time)

    def write(self, database: Database, known: Known) -> None:
        """Put the reply there, in place of an earlier one."""
        row = (self.name, self.at, _checksum(self.name, self.reply), self.reply)
        database.conn.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?)", row)


@dataclass
class _Clear(_Change):
    def write(self, database: Database, known: Known) -> None:
        """Remove every reply."""
        database.conn.execute("DELETE FROM cache")


class Cache:
    """The kept replies of a store. Reading may wait for the file, so never ask on an event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str) -> str | None:
        """The reply under a key. Raises `GPROChatError` if the file cannot be read."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[str], since: float = 0.0) -> dict[str, str]:
        """The replies under these keys that were kept `since` then (seconds since the epoch).

        Raises as `get` does.
        """
        waiting, read = self._store._ask(
            lambda conn: {key: _read(conn, key, since) for key in keys}
        )
        found = {key: reply for key, reply in (read or {}).items() if reply is not None}
        wanted = set(keys)
        for change in waiting:
            if isinstance(change, _Put) and change.name in wanted and change.at >= since:
                found[change.name] = change.reply
            elif isinstance(change, _Clear):
                found.clear()
        return found

    def put(self, key: str, reply: str) -> Future[Outcome]:
        """Keep a reply under a key, in place of an earlier one. Returns at once."""
        return self._store._writer.submit(_Put("", key, reply))

    def clear(self) -> Future[Outcome]:
        """Remove every reply. Returns at once."""
        return self._store._writer.submit(_Clear(""))

    def size(self) -> tuple[int, int]:
        """How many replies there are, and their bytes, as far as they are in the file."""
        self._store.flush()
        return self._store._ask(_size)[1] or (0, 0)


def _read(conn: sqlite3.Connection, key: str, since: float) -> str | None:
    statement = "SELECT checksum, reply FROM cache WHERE key = ? AND created >= ?"
    row = conn.execute(statement, (key, since)).fetchone()
    return row["reply"] if row and row["checksum"] == _checksum(key, row["reply"]) else None


def _size(conn: sqlite3.Connection) -> tuple[int, int]:
    # As bytes: length() of a text counts characters.
    row = conn.execute("SELECT count(*), total(length(CAST(reply AS BLOB))) FROM cache").fetchone()
    return int(row[0]), int(row[1])


def _checksum(key: str, reply: str) -> bytes:
    return hashlib.sha256(f"{key}\n{reply}".encode("utf-8", "surrogatepass")).digest()
