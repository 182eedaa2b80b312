"""Files of every published schema, migrated with nothing lost, or left as they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gprochat_magic.conversation import Turn
from gprochat_magic.store import migrations
from tests.store.histories import Stores, integrity, is_held, sql

DATA = Path(__file__).parent / "data"
PUBLISHED = sorted(DATA.glob("v*.sql"))


def published(file: Path, path: Path) -> Path:
    """A history file from its frozen text."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(file.read_text(encoding="utf-8"))
    return path


def test_F92_every_older_schema_is_frozen() -> None:
    """There is a published file for each schema before the latest."""
    assert [file.stem for file in PUBLISHED] == [f"v{n}" for n in range(1, migrations.LATEST)]


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_F92_older_schema(file: Path, path: Path, open_store: Stores) -> None:
    """An older file is copied, then migrated; every turn, branch and fact is as it was."""
    published(file, path)
    store = open_store()
    loaded = store.load("отчёт")
    first, second, third = loaded.turns

    assert first == Turn(
        prompt="Сколько будет 2+2?",
        id="t1",
        reply="Четыре.",
        state="complete",
        model="gemini-1.5-pro",
        backend="demo",
        created=1700000100.0,
        elapsed=1.5,
    )
    assert (second.state, second.replaced, second.parent) == ("interrupted", 2, "t1")
    assert (third.state, loaded.head) == ("failed", "t3")
    assert loaded.extra == {"t1": {"usage": {"total": 3}}}
    assert loaded.damaged == frozenset()
    assert (loaded.summary.kernel, loaded.summary.notebook) == ("kernel-1", "a.ipynb")
    assert store.load("other").turns[0].prompt == "a 'quoted'\nline"
    assert [hit.turn for hit in store.search("четыре")] == ["t1"]
    assert store.notices == []
    assert integrity(path) == "ok"
    assert sql(path, "PRAGMA user_version") == [(migrations.LATEST,)]


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_F92_backup(file: Path, path: Path, open_store: Stores) -> None:
    """The copy that is made first is private, whole, and of the old schema."""
    before = sql(published(file, path), "SELECT * FROM turn")
    open_store().find("отчёт")
    backup = path.with_name(f"history.sqlite.backup-{file.stem}")

    assert backup.stat().st_mode & 0o777 == 0o600
    assert sql(backup, "SELECT * FROM turn") == before
    assert sql(backup, "PRAGMA user_version") == [(int(file.stem[1:]),)]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, backup.name]


def test_F81_failed_step_leaves_the_file_as_it_was(path: Path) -> None:
    """A step that fails takes those before it back."""
    published(PUBLISHED[0], path)

    def broken(conn: sqlite3.Connection) -> None:
        conn.execute("CREATE TABLE half (x)")
        conn.execute("SELECT nothing")

    steps = (*migrations.MIGRATIONS, broken)
    conn = sqlite3.connect(path, isolation_level=None)
    with closing(conn), pytest.raises(sqlite3.OperationalError):
        migrations.migrate(conn, path=path, steps=steps)

    assert sql(path, "PRAGMA user_version") == [(1,)]
    assert sql(path, "SELECT name FROM sqlite_master WHERE name IN ('half', 'unindexed')") == []


def test_F82_a_migration_holds_the_lock_from_its_beginning(path: Path) -> None:
    """Which steps a file lacks is read when no other kernel can take them any more."""
    published(PUBLISHED[0], path)
    seen = []

    def look(conn: sqlite3.Connection) -> None:
        seen.append(is_held(path))

    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        migrations.migrate(conn, steps=(migrations.m001_conversations, look))

    assert seen == [True]


def test_migrating_twice_changes_nothing(path: Path) -> None:
    """A file that another kernel migrated meanwhile is left alone."""
    published(PUBLISHED[0], path)
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        migrations.migrate(conn)
        before = path.read_bytes()
        migrations.migrate(conn)

    assert path.read_bytes() == before
