"""History files to test with: filled, old, and looked at with SQLite's own eyes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gprochat_magic.conversation import Turn
from gprochat_magic.store import Store
from gprochat_magic.store.migrations import MIGRATIONS, migrate
from gprochat_magic.store.records import COLUMNS, checksum, snapshot, values_of

ROOT = Path(__file__).parents[2]
Children = Callable[..., "subprocess.Popen[str]"]
Stores = Callable[..., Store]


def said(process: subprocess.Popen[str]) -> str:
    """The next line of a child."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the child ended with {process.wait()}"
    return line.strip()


def fill(store: Store, name: str, count: int, *, reply: str = "reply") -> str:
    """A conversation of so many finished turns, in the file; returns its id."""
    conversation, parent = store.create(name), None
    for number in range(count):
        turn = Turn(f"{name} {number}", parent, reply=f"{reply} {number}", state="complete")
        store.save(conversation, turn)
        parent = turn.id
    store.set_head(conversation, parent)
    assert store.flush(60)
    return conversation


def integrity(path: Path) -> str:
    """SQLite's own full check."""
    with closing(sqlite3.connect(path)) as conn:
        return str(conn.execute("PRAGMA integrity_check").fetchone()[0])


def is_held(path: Path) -> bool:
    """Whether somebody has the file for writing now."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.execute("ROLLBACK")
    return False


def prompts(store: Store, name: str) -> list[str]:
    """The prompts of a conversation, in order."""
    return [turn.prompt for turn in store.load(name).turns]


def report(text: str) -> None:
    """A figure for whoever runs pytest with -s."""
    sys.stdout.write(text + "\n")


def sql(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What one statement says, asked past the store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        return conn.execute(statement, values).fetchall()


def write_old_file(path: Path, count: int) -> Path:
    """A file of the first schema with one conversation, `old`."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        migrate(conn, steps=MIGRATIONS[:1])
        conn.execute("BEGIN")
        conn.execute("INSERT INTO conversation VALUES (1, 'c1', 'old', '', '', '', NULL, 1.5, 1.5)")
        marks = ", ".join("?" * len(COLUMNS))
        for number in range(count):
            turn = Turn(f"old {number}", id=f"t{number}", reply="Ответ " * 20, state="complete")
            values = values_of(snapshot(turn, "r1"))
            conn.execute(
                f"INSERT INTO turn (conversation, checksum, {', '.join(COLUMNS)}) "
                f"VALUES (1, ?, {marks})",
                (checksum("c1", values), *values),
            )
        conn.execute("COMMIT")
    return path
