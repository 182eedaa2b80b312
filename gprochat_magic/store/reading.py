"""Questions to the file, each answered from indexes: the cost is that of the answer, not of the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress

from gprochat_magic.store.operations import Operation
from gprochat_magic.store.process import Run
from gprochat_magic.store.records import COLUMNS, Entry, Record, Summary, record_from

_ABOUT = "c.id, c.name, c.kernel, c.run, c.notebook, c.created, c.updated"


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


def entry(conn: sqlite3.Connection, conversation: str) -> Entry | None:
    """A conversation with all its turns, in the order of their numbers."""
    conn.execute("BEGIN")
    try:
        found = conn.execute(
            f"SELECT {_ABOUT}, c.head, c.key FROM conversation c WHERE c.id = ?", (conversation,)
        ).fetchone()
        if found is None:
            return None
        *about, key = found
        result = Entry(*about)
        result.turns.update(_turns(conn, conversation, key))
        return result
    finally:
        with suppress(sqlite3.Error):  # an error may have ended it already
            conn.execute("COMMIT")


def _turns(conn: sqlite3.Connection, conversation: str, key: int) -> Iterator[tuple[str, Record]]:
    rows = conn.execute(
        f"SELECT checksum, {', '.join(COLUMNS)} FROM turn WHERE conversation = ? ORDER BY seq",
        (key,),
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
