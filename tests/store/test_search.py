"""Search: any text, any letters, with an index, without one, and with a damaged one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gprochat_magic.conversation import Turn
from gprochat_magic.store import Store, search
from tests.store.histories import Stores, fill, integrity, prompts, sql


def two_turns(store: Store) -> str:
    """A conversation to search in."""
    conversation = store.create("поиск")
    store.save(conversation, Turn("Какие бывают кошки?", reply="Сиамские", state="complete"))
    store.save(conversation, Turn('say "AND" -> c++', reply="don't NEAR( me", state="complete"))
    assert store.flush()
    return conversation


def found(store: Store, text: str) -> list[str]:
    """The beginnings of the prompts that were found."""
    turns = {turn.id: turn.prompt for turn in store.load("поиск").turns}
    return [turns[hit.turn][:3] for hit in store.search(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("кошки", ["Как"]),
        ("КОШ сиам", ["Как"]),
        ("кошки NEAR", []),
        ('"AND"', ["say"]),
        ("NEAR(", ["say"]),
        ("c++", ["say"]),
        ("->", ["say"]),
        ("don't", ["say"]),
        ("", []),
        (" \0 ", []),
    ],
)
def test_search_takes_any_text(open_store: Stores, text: str, expected: list[str]) -> None:
    """Words are found whatever their case, script and signs, and nothing is an operator."""
    store = open_store()
    two_turns(store)

    assert found(store, text) == expected


def test_hit_says_where(open_store: Stores) -> None:
    """A hit names its conversation and turn and shows the text around the words."""
    store = open_store()
    conversation = two_turns(store)
    hit = store.search("сиамские")[0]

    assert (hit.conversation, hit.name) == (conversation, "поиск")
    assert "Сиамские" in hit.snippet


def test_search_sees_running_and_changed_turns(open_store: Stores) -> None:
    """A running turn is found by what it has, a changed one only by its new text."""
    store = open_store()
    conversation = store.create("поиск")
    running = Turn("running", reply="partial")
    changed = Turn("changed", reply="before", state="complete")
    store.save(conversation, running).result(10)
    store.save(conversation, changed).result(10)
    changed.reply = "after"
    store.save(conversation, changed).result(10)

    assert found(store, "partial") == ["run"]
    assert found(store, "before") == []
    assert found(store, "after") == ["cha"]
    assert len(store.search("n", limit=1)) <= 1


def test_search_is_of_one_moment(
    open_store: Stores, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn that goes into the index while a search runs is not missed between its two halves."""
    store = open_store()
    two_turns(store)
    assert len(store.search("кошки")) == 1
    sql(path, "INSERT INTO turn_search (turn_search) VALUES ('delete-all')")
    sql(path, "INSERT OR IGNORE INTO unindexed SELECT seq FROM turn")
    look_up = search._look_up

    def index_first(conn: sqlite3.Connection, *rest: Any) -> Iterator[Any]:
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        with closing(other), suppress(sqlite3.OperationalError):
            list(search.index_rest(other))
        return look_up(conn, *rest)

    monkeypatch.setattr(search, "_look_up", index_first)

    assert found(store, "кошки") == ["Как"]


@settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.text(max_size=30))
def test_search_never_raises(text: str) -> None:
    """No text that a user can type is an error."""
    store = Store(":memory:")
    two_turns(store)
    hits = store.search(text)
    store.close()

    assert len(hits) <= 2


@pytest.mark.parametrize("table", ["data", "idx", "docsize", "config"])
def test_F99_damaged_index_is_rebuilt(open_store: Stores, path: Path, table: str) -> None:
    """With a table of the index gone, search still answers, turns still save, and the index comes
    back.
    """
    store = open_store()
    conversation = two_turns(store)
    sql(path, f"DROP TABLE turn_search_{table}")
    before = found(store, "кошки")
    store.save(conversation, Turn("new кошки", state="complete")).result(10)
    after = found(store, "кошки")
    store.close()
    store = open_store()
    assert store.flush()

    assert before == ["Как"]
    assert after == ["new", "Как"]
    assert found(store, "кошки") == ["new", "Как"]
    assert integrity(path) == "ok"
    assert sql(path, "SELECT count(*) FROM turn_search_docsize") == [(3,)]
    assert len(list(path.parent.iterdir())) == 1


def test_F99_damaged_page_of_the_index(open_store: Stores, path: Path) -> None:
    """A page of the index that is destroyed on the disk costs no turn."""
    store = open_store()
    fill(store, "many", 300)
    store.close()
    root = sql(path, "SELECT rootpage FROM sqlite_master WHERE name = 'turn_search_data'")[0][0]
    with path.open("r+b") as file:
        file.seek((int(str(root)) - 1) * 4096)
        file.write(bytes(4096))
    store = open_store()

    assert len(prompts(store, "many")) == 300
    assert len(store.search("many")) == 20


def test_F99_without_fts5(open_store: Stores, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite has no FTS5, turns save and search answers; with it again, the index is
    complete.
    """
    store = open_store()
    two_turns(store)
    store.close()
    monkeypatch.setattr(sqlite3, "connect", without_fts5(sqlite3.connect))
    store = open_store()
    conversation = store.load("поиск").summary.id
    changed = store.load("поиск").turns[0]
    changed.reply = "мейн-кун"
    store.save(conversation, changed)
    store.save(conversation, Turn("new кошки", state="complete"))
    assert store.flush()
    without = found(store, "кошки"), found(store, "сиамские"), found(store, "мейн")
    store.close()
    monkeypatch.undo()
    store = open_store()

    assert without == (["new", "Как"], [], ["Как"])
    assert (found(store, "кошки"), found(store, "сиамские"), found(store, "мейн")) == without
    assert store.notices == []


def without_fts5(connect: type[sqlite3.Connection]) -> object:
    """A `connect` whose connections do not know the module, as a SQLite built without it."""

    class Plain(sqlite3.Connection):
        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            if re.search(rf"\bfts5\b|\b{search.INDEX}\b", statement):
                error = sqlite3.OperationalError("no such module: fts5")
                error.sqlite_errorcode = sqlite3.SQLITE_ERROR
                raise error
            return super().execute(statement, *values)

    return lambda *args, **options: connect(*args, factory=Plain, **options)
