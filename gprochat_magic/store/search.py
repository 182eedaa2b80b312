"""Search: an FTS5 index where SQLite has it, a plain look at the text where it has not.

The index is derived: it can be thrown away and built again at any time. The table `unindexed`
names the turns that it does not hold (running, or written where there was no FTS5), and a search
looks at those one by one.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from gprochat_magic.store.records import Hit

INDEX = "turn_search"

_SHADOWS = ("data", "idx", "docsize", "config")
_FROM = "FROM turn t JOIN conversation c ON c.key = t.conversation"
_CREATE = (
    "CREATE VIRTUAL TABLE {} USING fts5(prompt, reply, content='turn', content_rowid='seq', "
    "tokenize='unicode61 remove_diacritics 2')"
)
_WORD = re.compile(r"[^\W_]")
_CORRUPT_VTAB = 267
_ALL = 0
"""In `unindexed`, the number that no turn has: the whole index is out of date."""


def is_index_fault(error: BaseException) -> bool:
    """Whether an error that a statement on the index raised blames the index, not the turns."""
    code = getattr(error, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_ERROR, _CORRUPT_VTAB)


def prepare(conn: sqlite3.Connection) -> bool:
    """Make the index if it is missing or damaged; whether there is one that can be used.

    Raises `sqlite3.Error` if it is the file that has the fault.
    """
    names = {f"{INDEX}_{name}" for name in _SHADOWS} | {INDEX}
    found = conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    try:
        if not names <= {row[0] for row in found} or is_distrusted(conn):
            rebuild(conn)
        conn.execute(f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH '\"a\"' LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        if "no such module" in str(error):
            return False
        if not is_index_fault(error):
            raise
        rebuild(conn)
    return True


def rebuild(conn: sqlite3.Connection) -> None:
    """An empty index, in a transaction of its own."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        empty(conn)
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def empty(conn: sqlite3.Connection) -> None:
    """An empty index, and every turn on the list of those that are to go into it."""
    if conn.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (INDEX,)).fetchone():
        try:
            conn.execute(f"DROP TABLE {INDEX}")
        except sqlite3.DatabaseError as error:
            if not is_index_fault(error):
                raise
            # FTS5 drops nothing that it cannot open, so it is given the tables of an empty index.
            _lend_tables(conn)
            conn.execute(f"DROP TABLE {INDEX}")
    conn.execute(_CREATE.format(INDEX))
    conn.execute("DELETE FROM unindexed")
    conn.execute("INSERT INTO unindexed SELECT seq FROM turn")


def _lend_tables(conn: sqlite3.Connection) -> None:
    spare = f"{INDEX}_spare"
    conn.execute(_CREATE.format(spare))
    for name in _SHADOWS:
        find = "SELECT sql FROM sqlite_master WHERE name = ?"
        made = conn.execute(find, (f"{spare}_{name}",)).fetchone()[0]
        conn.execute(f"DROP TABLE IF EXISTS {INDEX}_{name}")
        conn.execute(made.replace(spare, INDEX))
        conn.execute(f"INSERT INTO {INDEX}_{name} SELECT * FROM {spare}_{name}")
    conn.execute(f"DROP TABLE {spare}")


def add(conn: sqlite3.Connection, seq: int) -> None:
    """Put a turn into the index, inside the caller's transaction."""
    conn.execute(
        f"INSERT INTO {INDEX} (rowid, prompt, reply) "
        "SELECT seq, prompt, reply FROM turn WHERE seq = ?",
        (seq,),
    )
    conn.execute("DELETE FROM unindexed WHERE seq = ?", (seq,))


def forget(conn: sqlite3.Connection, seq: int) -> None:
    """Take a turn out of the index before its text changes or goes."""
    conn.execute(
        f"INSERT INTO {INDEX} ({INDEX}, rowid, prompt, reply) "
        "SELECT 'delete', seq, prompt, reply FROM turn "
        "WHERE seq = ? AND seq NOT IN (SELECT seq FROM unindexed)",
        (seq,),
    )
    conn.execute("INSERT OR IGNORE INTO unindexed VALUES (?)", (seq,))


def distrust(conn: sqlite3.Connection, *seq: int) -> None:
    """These turns changed, the index may hold them, and it could not be told: build it again."""
    waits = conn.execute("SELECT 1 FROM unindexed WHERE seq = ?", seq).fetchone() if seq else None
    if not waits:
        conn.execute("INSERT OR IGNORE INTO unindexed VALUES (?)", (_ALL,))


def is_distrusted(conn: sqlite3.Connection) -> bool:
    """Whether the index may hold text that has changed since."""
    return bool(conn.execute("SELECT 1 FROM unindexed WHERE seq = ?", (_ALL,)).fetchone())


def index_rest(conn: sqlite3.Connection, *, step: int = 200) -> Iterator[None]:
    """Put the waiting turns into the index, a few at each step, so that a write never waits
    long.
    """
    last = 0
    while True:
        conn.execute("BEGIN IMMEDIATE")
        try:
            found = conn.execute(
                "SELECT u.seq FROM unindexed u JOIN turn t ON t.seq = u.seq "
                "WHERE u.seq > ? AND t.state != 'pending' ORDER BY u.seq LIMIT ?",
                (last, step),
            ).fetchall()
            for (last,) in found:
                add(conn, last)
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise
        if len(found) < step:
            return
        yield


def find(conn: sqlite3.Connection, text: str, limit: int) -> tuple[list[Hit], bool]:
    """The newest turns with every word of the text, and whether the index could be asked.

    Raises `sqlite3.Error` if the turns themselves cannot be read.
    """
    words = [word for word in text.replace("\0", " ").split() if _WORD.search(word)]
    if not text.strip(" \0\n\t"):
        return [], True
    if not words or is_distrusted(conn):
        # Punctuation alone is in no index.
        return _look(conn, "turn", text, limit), True
    # In quotes nothing is an operator; the star lets a word find its longer forms.
    query = " ".join('"{}"*'.format(word.replace('"', '""')) for word in words)
    try:
        found = conn.execute(
            f"SELECT t.seq, c.id, c.name, t.id, snippet({INDEX}, -1, '', '', '…', 16) "
            f"FROM {INDEX} JOIN turn t ON t.seq = {INDEX}.rowid "
            "JOIN conversation c ON c.key = t.conversation "
            f"WHERE {INDEX} MATCH ? ORDER BY {INDEX}.rowid DESC LIMIT ?",
            (query, limit),
        ).fetchall()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise
        # Whatever is wrong with the index, the turns can still be looked at.
        return _look(conn, "turn", text, limit), "no such module" in str(error)
    hits = {int(row[0]): Hit(*row[1:]) for row in found}
    with suppress(sqlite3.OperationalError):
        hits |= dict(_look_up(conn, "unindexed", text, limit))
    return [hits[seq] for seq in sorted(hits, reverse=True)][:limit], True


def matches(text: str, *places: str) -> str | None:
    """The piece of one of the places around the words, if together they hold every word."""
    words = text.casefold().split()
    folded = [place.casefold() for place in places]
    if not words or not all(any(word in place for place in folded) for word in words):
        return None
    for place, fold in zip(places, folded, strict=True):
        at = fold.find(words[0])
        if at >= 0:
            start, end = max(0, at - 40), at + 80
            cut = " ".join(place[start:end].split())
            return f"{'…' if start else ''}{cut}{'…' if end < len(place) else ''}"
    return None


def _look(conn: sqlite3.Connection, table: str, text: str, limit: int) -> list[Hit]:
    return [hit for _, hit in _look_up(conn, table, text, limit)]


def _look_up(
    conn: sqlite3.Connection, table: str, text: str, limit: int
) -> Iterator[tuple[int, Hit]]:
    # LIKE knows the two cases of ASCII letters only, so Python compares.
    rows = conn.execute(
        f"SELECT t.seq, c.id, c.name, t.id, t.prompt, t.reply {_FROM} "
        f"WHERE t.seq IN (SELECT seq FROM {table}) ORDER BY t.seq DESC"
    )
    for seq, conversation, name, turn, prompt, reply in rows:
        if limit <= 0:
            break
        snippet = matches(text, prompt, reply)
        if snippet is not None:
            limit -= 1
            yield seq, Hit(conversation, name, turn, snippet)
