"""A damaged file is moved aside, never repaired in place, and what can be read goes into a new one.

Only damage that a second look confirms leads here; a lock, a full disk or an I/O error never does.
At every moment the path leads to the old file or to the finished new one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gprochat_magic.store.database import (
    Fault,
    Unusable,
    check,
    classify,
    connect,
    refuse_others,
)
from gprochat_magic.store.migrations import migrate

_COPIED = (("run", None), ("conversation", "key"), ("turn", "seq"))
_SIDE_FILES = ("-journal", "-wal", "-shm")
_STEP = 256
_MOST = 16 * 2**30


@dataclass(frozen=True)
class Recovered:
    """What became of a damaged file."""

    aside: Path
    turns: int
    lost: int

    def __str__(self) -> str:
        lost = f" {self.lost} could not be read." if self.lost else ""
        return (
            f"The history file was damaged. {self.turns} turns were copied to a new one.{lost} "
            f"The old file is kept as {self.aside}."
        )


def recover(path: Path) -> Recovered | None:
    """Replace a damaged file; None if a second look finds it sound, or another kernel was faster.

    Raises `sqlite3.Error` or `OSError` if there is no room or no right to; the path is then as it
    was.
    """
    with _alone(path.parent):
        if not path.exists() or not is_damaged(path):
            return None
        fresh = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            _make_empty(fresh)
            turns, lost = _copy_readable(path, fresh)
            _sync(fresh)
            aside = _move_aside(path)
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
        return Recovered(aside, turns, lost)


def is_damaged(path: Path) -> bool:
    """Whether reading all of our tables finds damage. Raises for any other trouble."""
    try:
        with closing(connect(path, patience=2.0)) as conn:
            refuse_others(conn)
            check(conn)
    except (sqlite3.Error, Unusable) as error:
        if classify(error) is Fault.DAMAGED:
            return True
        raise
    return False


def _copy_readable(path: Path, fresh: Path) -> tuple[int, int]:
    """Copy every row that can be read; returns how many turns, and how many known ones not."""
    with closing(connect(fresh)) as new:
        # The new file replaces the old one only when it is whole: one sync at the end is enough.
        new.execute("PRAGMA synchronous = OFF")
        migrate(new)
        turns = lost = 0
        with _opened_damaged(path, fresh) as old:
            new.execute("BEGIN")
            for table, number in _COPIED:
                copied, gone = _copy_table(old, new, table, number)
                if table == "turn":
                    turns, lost = copied, gone
            _adopt_orphans(new)
            new.execute("INSERT OR IGNORE INTO unindexed SELECT seq FROM turn")
            new.execute("COMMIT")
    return turns, lost


@contextmanager
def _opened_damaged(path: Path, fresh: Path) -> Iterator[sqlite3.Connection]:
    """A copy of the damaged file, filled up to the size it claims, for SQLite refuses a cut one."""
    copy = fresh.with_name(f"{fresh.name}.damaged")
    try:
        _make_empty(copy)
        shutil.copyfile(path, copy)
        os.truncate(copy, max(copy.stat().st_size, _claimed_size(copy)))
        with closing(connect(copy)) as conn:
            yield conn
    finally:
        for suffix in ("", *_SIDE_FILES):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)


def _make_empty(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _claimed_size(copy: Path) -> int:
    with copy.open("rb") as file:
        header = file.read(32)
    if not header.startswith(b"SQLite format 3\0"):
        return 0
    page, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
    size = (65536 if page == 1 else page) * pages
    # The claim may be damaged as well; the file is sparse, but not every disk can do that.
    return size if size < _MOST else 0


def _copy_table(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str, number: str | None
) -> tuple[int, int]:
    ours = [row["name"] for row in new.execute(f"PRAGMA table_info({table})")]
    try:
        theirs = {row["name"] for row in old.execute(f"PRAGMA table_info({table})")}
        last = _last_number(old, table, number)
    except sqlite3.Error:
        return 0, 0
    columns = [name for name in ours if name in theirs]
    marks = ", ".join("?" * len(columns))
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})"
    copied = 0
    for rows in _readable(old, f"SELECT {', '.join(columns)} FROM {table}", number, last):
        copied += new.executemany(insert, rows).rowcount
    expected = _expected(old, table)
    return copied, max(0, expected - copied)


def _readable(
    old: sqlite3.Connection, select: str, number: str | None, last: int
) -> Iterator[list[sqlite3.Row]]:
    """Rows in ranges of their number; a range that cannot be read is halved until one row is left
    out.
    """
    if number is None:
        with suppress(sqlite3.Error):
            yield old.execute(select).fetchall()
        return
    ranges = [(low, min(low + _STEP - 1, last)) for low in range(last - last % _STEP, -1, -_STEP)]
    while ranges:
        low, high = ranges.pop()
        try:
            rows = old.execute(f"{select} WHERE {number} BETWEEN ? AND ?", (low, high)).fetchall()
        except sqlite3.Error:
            if low < high:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]
            continue
        if rows:
            yield rows


def _last_number(old: sqlite3.Connection, table: str, number: str | None) -> int:
    if number is None:
        return 0
    for source in (f"{table} NOT INDEXED", table):
        with suppress(sqlite3.Error):
            return int(old.execute(f"SELECT max({number}) FROM {source}").fetchone()[0] or 0)
    # The end of the table is damaged: no row is shorter than 64 bytes.
    pages = int(old.execute("PRAGMA page_count").fetchone()[0])
    return pages * int(old.execute("PRAGMA page_size").fetchone()[0]) // 64


def _expected(old: sqlite3.Connection, table: str) -> int:
    """How many rows there were, by an index, which may be whole where the table is not."""
    with suppress(sqlite3.Error):
        return int(
            old.execute(
                f"SELECT count(id) FROM {table} INDEXED BY sqlite_autoindex_{table}_1"
            ).fetchone()[0]
        )
    return 0


def _adopt_orphans(new: sqlite3.Connection) -> None:
    """Give turns whose conversation could not be read one of their own."""
    new.execute(
        "INSERT INTO conversation (key, id, name, kernel, run, notebook, head, created, updated) "
        "SELECT conversation, 'recovered-' || conversation, 'recovered-' || conversation, "
        "'', '', '', "
        "(SELECT id FROM turn last WHERE last.conversation = turn.conversation "
        "ORDER BY seq DESC LIMIT 1), min(created), max(created) "
        "FROM turn WHERE conversation NOT IN (SELECT key FROM conversation) GROUP BY conversation"
    )


def _move_aside(path: Path) -> Path:
    """Keep the damaged file, and what belongs to it, under a name that says when."""
    stem = f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    for suffix in _SIDE_FILES:
        # First of all: a journal left beside the new file would be played back into it.
        side = Path(f"{path}{suffix}")
        if side.exists():
            side.rename(f"{aside}{suffix}")
    try:
        os.link(path, aside)
    except OSError:
        path.rename(aside)
    return aside


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other kernels out while the file is replaced; the system lets go if we die."""
    if sys.platform == "win32":
        # A file that another program has open cannot be replaced there in any case.
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
