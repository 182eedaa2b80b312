"""The schema, as numbered steps that are only ever appended to.

`PRAGMA user_version` counts the steps that a file has seen. All that a file lacks are taken in one
transaction, after a copy of the file was made beside it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

APPLICATION_ID = 0x67707263
"""Marks a file as ours ("gprc"), so that another program's database is never changed."""

Migration = Callable[[sqlite3.Connection], object]


def m001_conversations(conn: sqlite3.Connection) -> None:
    """Runs, conversations and their turns."""
    conn.execute(
        """CREATE TABLE run (
            id TEXT PRIMARY KEY, kernel TEXT NOT NULL, host TEXT NOT NULL,
            pid INTEGER NOT NULL, started TEXT NOT NULL
        ) WITHOUT ROWID"""
    )
    conn.execute(
        """CREATE TABLE conversation (
            key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
            kernel TEXT NOT NULL, run TEXT NOT NULL, notebook TEXT NOT NULL, head TEXT,
            created REAL NOT NULL, updated REAL NOT NULL
        )"""
    )
    # Long text comes last: SQLite reads a row from its start and stops at the last column asked
    # for.
    conn.execute(
        """CREATE TABLE turn (
            seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, conversation INTEGER NOT NULL,
            checksum BLOB NOT NULL, parent TEXT, state TEXT NOT NULL, model TEXT NOT NULL,
            backend TEXT NOT NULL, error TEXT NOT NULL, replaced INTEGER NOT NULL,
            created REAL NOT NULL, elapsed REAL NOT NULL, run TEXT NOT NULL, extra TEXT NOT NULL,
            prompt TEXT NOT NULL, reply TEXT NOT NULL
        )"""
    )
    # An index ends in the row's number, so this one also gives a conversation in order.
    conn.execute("CREATE INDEX turn_by_conversation ON turn (conversation)")


def m002_unindexed(conn: sqlite3.Connection) -> None:
    """The turns that the search index does not hold yet; at first, all of them."""
    conn.execute("CREATE TABLE unindexed (seq INTEGER PRIMARY KEY)")
    conn.execute("INSERT INTO unindexed SELECT seq FROM turn")


def m003_cache(conn: sqlite3.Connection) -> None:
    """Whole replies by the hash of what was asked."""
    conn.execute(
        """CREATE TABLE cache (
            key TEXT PRIMARY KEY, created REAL NOT NULL, checksum BLOB NOT NULL, reply TEXT NOT NULL
        ) WITHOUT ROWID"""
    )


MIGRATIONS: tuple[Migration, ...] = (m001_conversations, m002_unindexed, m003_cache)
LATEST = len(MIGRATIONS)


def version_of(conn: sqlite3.Connection) -> int:
    """How many steps a file has seen; 0 for a new one."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def migrate(
    conn: sqlite3.Connection,
    *,
    path: Path | None = None,
    steps: tuple[Migration, ...] = MIGRATIONS,
) -> None:
    """Take every step that the file lacks, all or none. With `path`, an older file is copied first.

    Raises `sqlite3.Error` or `OSError`; then the file is as it was.
    """
    conn.execute("BEGIN IMMEDIATE")
    try:
        # Read inside the transaction: another kernel may have migrated while we waited for it.
        version = version_of(conn)
        if path is not None and 0 < version < len(steps):
            back_up(path, path.with_name(f"{path.name}.backup-v{version}"))
        for step in steps[version:]:
            step(conn)
        if version < len(steps):
            conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            conn.execute(f"PRAGMA user_version = {len(steps)}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def back_up(path: Path, target: Path) -> None:
    """Copy a database to a private file that appears whole or not at all.

    The caller holds the write lock, so that nothing changes meanwhile.
    """
    # By a handle of its own, for SQLite does not copy from one that writes; and through SQLite, for
    # closing any other descriptor of the file would drop the locks that this process has on it.
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        with closing(source), closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.replace(target)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
