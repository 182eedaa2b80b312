"""The file itself: made private, opened with care, and what SQLite's refusals mean.

Once SQLite has a file open, nothing here opens it by other means: closing any second descriptor
would drop this process's locks on it. `stat`, `link` and `rename` are harmless.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gprochat_magic.store import search
from gprochat_magic.store.migrations import APPLICATION_ID, LATEST, migrate, version_of

SMALL = 4 * 1024 * 1024
"""Bytes up to which a file is checked whole when it is opened (measured: some 20 ms)."""

Identity = tuple[int, int]
"""Device and inode: the file, as opposed to its name."""


class Fault(Enum):
    """Why the file does not take a write."""

    LOCKED = "another program holds it"
    FULL = "the disk is full"
    READ_ONLY = "it may not be written"
    IO = "the system reports an error"
    NEWER = "a newer version of gprochat-magic made it"
    FOREIGN = "it belongs to another program"
    DAMAGED = "it is damaged"
    MOVED = "it is not the file that was opened"


class Unusable(Exception):
    """The file cannot be used for a reason that SQLite itself does not raise."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


_FAULTS = {
    sqlite3.SQLITE_BUSY: Fault.LOCKED,
    sqlite3.SQLITE_LOCKED: Fault.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Fault.LOCKED,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
}
_REQUEST = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}
_SYSTEM_FAULTS = {
    errno.ENOSPC: Fault.FULL,
    getattr(errno, "EDQUOT", -1): Fault.FULL,
    errno.EACCES: Fault.READ_ONLY,
    errno.EPERM: Fault.READ_ONLY,
    errno.EROFS: Fault.READ_ONLY,
    errno.ENOTDIR: Fault.READ_ONLY,
    errno.EISDIR: Fault.READ_ONLY,
}


def classify(error: BaseException) -> Fault:
    """What an error of SQLite or of the system means for the file."""
    if isinstance(error, Unusable):
        return error.fault
    if isinstance(error, OSError):
        return _SYSTEM_FAULTS.get(error.errno or 0, Fault.IO)
    return _FAULTS.get(getattr(error, "sqlite_errorcode", -1) & 0xFF, Fault.IO)


def is_hopeless(error: BaseException) -> bool:
    """Whether an error of one write says that this write can never succeed, on any file."""
    if isinstance(error, OSError):
        return False
    # Without a code, a value was refused before SQLite saw it.
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _REQUEST


@dataclass
class Database:
    """An open file (or `:memory:`) with the latest schema, ready to be written."""

    conn: sqlite3.Connection
    path: Path | None
    identity: Identity | None
    size: int
    searchable: bool
    stale_index: bool = False

    @property
    def moved(self) -> bool:
        """Whether the path no longer leads to the file that is open."""
        return self.path is not None and identity_of(self.path) != self.identity

    def close(self) -> None:
        """Let go of the file; errors are of no more interest."""
        with suppress(sqlite3.Error):
            self.conn.close()


def open_database(path: Path | None) -> Database:
    """Open for writing: make the file if there is none, check it, and migrate it.

    Raises `sqlite3.Error`, `OSError` or `Unusable`.
    """
    if path is not None:
        make_private(path)
    conn = connect(path)
    try:
        identity = None if path is None else identity_of(path)
        size = 0 if path is None else path.stat().st_size
        _settle(conn)
        refuse_others(conn)
        if version_of(conn) < LATEST:
            migrate(conn, path=path)
        if size <= SMALL:
            check(conn)
        return Database(conn, path, identity, size, search.prepare(conn))
    except BaseException:
        conn.close()
        raise


def connect(path: Path | None, *, mode: str = "rw", patience: float = 0.25) -> sqlite3.Connection:
    """A connection that reads damaged text without raising and waits `patience` seconds for
    locks.
    """
    target = ":memory:" if path is None else f"{path.as_uri()}?mode={mode}"
    conn = sqlite3.connect(
        target, timeout=patience, isolation_level=None, check_same_thread=False, uri=True
    )
    conn.row_factory = sqlite3.Row
    # A flipped bit can leave bytes that are no UTF-8; the checksum tells, the other turns still
    # load.
    conn.text_factory = lambda data: data.decode("utf-8", "replace")
    conn.execute("PRAGMA cell_size_check = ON")
    conn.execute("PRAGMA trusted_schema = OFF")
    return conn


def connect_for_reading(path: Path, *, patience: float) -> sqlite3.Connection | None:
    """A connection with the schema that this code knows, or None where there is nothing to read.

    Raises `sqlite3.Error`. An older file that cannot be migrated in place is migrated in memory.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    # Not mode=ro: only a handle that may write can take back what a killed process left half done.
    conn = connect(path, patience=patience)
    try:
        conn.execute("PRAGMA query_only = ON")
        application = conn.execute("PRAGMA application_id").fetchone()[0]
        version = version_of(conn)
        if application != APPLICATION_ID or not version:
            conn.close()
            return None
        if version >= LATEST:
            return conn
        memory = connect(None)
        # With its lock taken first, for the copying itself would wait for ever.
        conn.execute("BEGIN")
        version_of(conn)
        conn.backup(memory)
        migrate(memory)
        conn.close()
        return memory
    except BaseException:
        conn.close()
        raise


def make_private(path: Path) -> None:
    """Make the file and its directory for the user alone. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Before SQLite sees it, which would use the umask; its side files copy this mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            with suppress(OSError):
                path.chmod(0o600)


def identity_of(path: Path) -> Identity | None:
    """Which file a path leads to; None if to none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def refuse_others(conn: sqlite3.Connection) -> None:
    """Raise `Unusable` for a file that is another program's, or newer than this code."""
    application = conn.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        if application or conn.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise Unusable(Fault.FOREIGN)
    elif version_of(conn) > LATEST:
        raise Unusable(Fault.NEWER)


def check(conn: sqlite3.Connection) -> None:
    """Read the structure of every table. Raises `Unusable` or `sqlite3.Error` for damage.

    Table by table, because the whole check would also blame the file for an index of searches that
    is sound in its pages and wrong in its words, which is only rebuilt.
    """
    tables = conn.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0")
    for table in tables.fetchall():
        if conn.execute(f"PRAGMA quick_check({table[0]})").fetchone()[0] != "ok":
            raise Unusable(Fault.DAMAGED)


def _settle(conn: sqlite3.Connection) -> None:
    # A rollback journal leaves one file that a plain copy takes whole and a read-only folder can
    # read.
    if conn.execute("PRAGMA journal_mode").fetchone()[0] not in ("delete", "memory"):
        conn.execute("PRAGMA journal_mode = DELETE")
    conn.execute("PRAGMA synchronous = EXTRA")
    # What the user deletes is gone from the disk too.
    conn.execute("PRAGMA secure_delete = ON")
