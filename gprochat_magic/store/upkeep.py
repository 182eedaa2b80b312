"""What the writer does when it has nothing to write, in steps so short that a write hardly
waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from gprochat_magic.store import search
from gprochat_magic.store.database import SMALL, Database

_STEP = 500


def chores(database: Database) -> Iterator[None]:
    """Look at a large file for damage, then complete the search index.

    Raises `sqlite3.Error` as it meets damage. Small files were checked when they were opened.
    """
    if database.size > SMALL:
        yield from read_through(database.conn)
    database.searchable = search.prepare(database.conn)
    if database.searchable:
        yield from search.index_rest(database.conn)


def read_through(conn: sqlite3.Connection) -> Iterator[None]:
    """Read every page that holds turns, some at a time, each in a read transaction of its own."""
    last: int | None = 0
    while last is not None:
        yield
        # length() makes SQLite follow the text to its last page.
        found = conn.execute(
            "SELECT max(seq), sum(length(prompt) + length(reply)) FROM "
            "(SELECT seq, prompt, reply FROM turn WHERE seq > ? ORDER BY seq LIMIT ?)",
            (last, _STEP),
        ).fetchone()
        last = found[0]
