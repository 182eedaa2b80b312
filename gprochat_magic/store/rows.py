"""Rows of the file, written inside the transaction of whoever calls."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from gprochat_magic.store import search
from gprochat_magic.store.database import Database
from gprochat_magic.store.records import COLUMNS, Entry


def key_of(database: Database, conversation: str) -> int | None:
    """The row number of a conversation."""
    statement = "SELECT key FROM conversation WHERE id = ?"
    found = database.conn.execute(statement, (conversation,)).fetchone()
    return found and int(found[0])


def insert(database: Database, entry: Entry) -> int:
    """Add a conversation under the first free name; returns its row number."""
    conn = database.conn
    wanted = entry.name or f"conversation-{entry.id[:8]}"
    numbered = (f"{wanted}-{number}" for number in count(2))
    name = wanted
    while conn.execute("SELECT 1 FROM conversation WHERE name = ?", (name,)).fetchone():
        name = next(numbered)
    entry.name = name
    about = (entry.id, name, entry.kernel, entry.run, entry.notebook, entry.head)
    created = entry.created or time.time()
    conn.execute(
        "INSERT INTO conversation (id, name, kernel, run, notebook, head, created, updated) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*about, created, max(created, entry.updated)),
    )
    found = key_of(database, entry.id)
    assert found is not None  # it was inserted in the line above
    return found


def put(conn: sqlite3.Connection, row: tuple[Any, ...], seq: int | None) -> int:
    """Write the columns of a turn, into its row or a new one; returns the number of the row."""
    # Two plain statements: RETURNING and upserts are newer than some SQLite below Python 3.11.
    columns = ("conversation", "checksum", *COLUMNS)
    if seq is None:
        marks = ", ".join("?" * len(columns))
        inserted = conn.execute(f"INSERT INTO turn ({', '.join(columns)}) VALUES ({marks})", row)
        return int(inserted.lastrowid or 0)
    changes = ", ".join(f"{name} = ?" for name in columns)
    conn.execute(f"UPDATE turn SET {changes} WHERE seq = ?", (*row, seq))
    return seq


def in_index(database: Database, change: Callable[..., None], *seq: int) -> None:
    """Change the search index. It may fail, or be missing: the turn is kept all the same."""
    conn = database.conn
    if database.searchable:
        conn.execute("SAVEPOINT in_index")
        try:
            change(conn, *seq)
            conn.execute("RELEASE in_index")
            return
        except sqlite3.DatabaseError as error:
            if not search.is_index_fault(error):
                raise
            conn.execute("ROLLBACK TO in_index")
            conn.execute("RELEASE in_index")
            database.searchable, database.stale_index = False, True
    if change is not search.add:
        search.distrust(conn, *seq)
