"""Questions to the file, each answered from indexes: the cost is that of the answer, not of the
file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

from gprochat_magic.store.operations import Operation
from gprochat_magic.store.process import Run
from gprochat_magic.store.records import COLUMNS, Entry, Record, Summary, record_from

T = TypeVar("T")

_ABOUT = "c.id, c.name, c.kernel, c.run, c.notebook, c.created, c.updated"


def at_one_moment(conn: sqlite3.Connection, question: Callable[[sqlite3.Connection], T]) -> T:
    """The answer to a question of several parts, between which nothing is written."""
    conn.execute("BEGIN")
    try:
        return question(conn)
    finally:
        with suppress(sqlite3.Error):  # an error may have ended it already
            conn.execute("COMMIT")


def summaries(conn: sqlite3.Connection) -> dict[str, Summary]:
    """Every conversation, the one that was last used first."""
    rows = conn.execute(
        f"SELECT {_ABOUT}, (SELECT count(*) FROM turn t WHERE t.conversation = c.key) "
        "FROM conversation c ORDER BY c.updated DESC, c.key DESC"
    )
    return {row["id"]: Summary(*row) for row in rows}


def id_of(conn: sqlite3.Connection, name: str) -> str | None:
    """The id of the conversation of that id, else of that name."""
    for column in ("id", "name"):
        found = conn.execute(f"SELECT id FROM conversation WHERE {column} = ?", (name,)).fetchone()
        if found:
            return str(found[0])
    return None


def entry(conn: sqlite3.Connection, conversation: str, newest: int | None = None) -> Entry | None:
    """A conversation with its turns, or the newest of them, in the order of their numbers."""
    found = conn.execute(
        f"SELECT {_ABOUT}, c.head, c.key FROM conversation c WHERE c.id = ?", (conversation,)
    ).fetchone()
    if found is None:
        return None
    *about, key = found
    result = Entry(*about)
    turns = list(_turns(conn, conversation, key, -1 if newest is None else newest))
    result.turns.update(reversed(turns))
    if newest is not None:
        count = "SELECT count(*) FROM turn WHERE conversation = ?"
        result.older = conn.execute(count, (key,)).fetchone()[0] - len(turns)
    return result


def _turns(
    conn: sqlite3.Connection, conversation: str, key: int, limit: int
) -> Iterator[tuple[str, Record]]:
    rows = conn.execute(
        f"SELECT checksum, {', '.join(COLUMNS)} FROM turn "
        "WHERE conversation = ? ORDER BY seq DESC LIMIT ?",
        (key, limit),
    )
    for row in rows:
        yield row["id"], record_from(row, conversation)


def runs(conn: sqlite3.Connection, ids: Iterable[str]) -> dict[str, Run]:
    """The runs of those ids, as far as they are on record."""
    found = (conn.execute("SELECT * FROM run WHERE id = ?", (each,)).fetchone() for each in ids)
    return {row["id"]: Run(**row) for row in found if row}


def overlaid(
    found: Entry | None, operations: Iterable[Operation], conversation: str
) -> Entry | None:
    """A conversation of the file with the changes that still wait."""
    for operation in operations:
        if operation.conversation == conversation:
            found = operation.apply(found)
    return found
