"""Saving, reading back and naming, with and without a file."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gprochat_magic.conversation import Turn
from gprochat_magic.errors import ConfigError
from gprochat_magic.store import Store
from tests.store.histories import Stores, fill, prompts, sql


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, open_store: Stores) -> Store:
    """A store with a file, and one without."""
    return open_store() if request.param == "file" else open_store(":memory:")


def test_nothing_is_made_before_the_first_use(open_store: Stores, path: Path) -> None:
    """A store that is only constructed has no file and no thread."""
    threads = threading.active_count()
    open_store()

    assert not path.parent.exists()
    assert threading.active_count() == threads


def test_what_has_no_file_is_closed_with_its_store() -> None:
    """It can be read after `close`, and is gone with the store: no connection is left open."""
    store = Store(":memory:")
    store.create("review")
    store.flush()
    with store._writer.memory() as database:
        assert database is not None
    store.close()
    assert ["review"] == [each.name for each in store.conversations()]
    del store
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.conn.execute("SELECT 1")


def test_turn_from_pending_to_complete(store: Store) -> None:
    """A turn is saved as it grows, in one row, and what was saved is read back at once."""
    conversation = store.create("review", notebook="a.ipynb")
    turn = Turn("Привет", model="m", backend="b")
    store.save(conversation, turn)
    pending = store.load("review").turns
    turn.reply, turn.state, turn.replaced, turn.elapsed = "мир", "complete", 1, 0.5
    outcome = store.save(conversation, turn).result(10)
    store.set_head(conversation, turn.id)
    loaded = store.load(conversation)

    assert [each.state for each in pending] == ["pending"]
    assert outcome == "saved"
    assert loaded.turns == [turn]
    assert loaded.head == turn.id
    assert (loaded.summary.name, loaded.summary.notebook) == ("review", "a.ipynb")
    assert loaded.summary.turns == 1


def test_tree_survives_a_restart(open_store: Stores) -> None:
    """Both branches, the head and an empty line are as they were."""
    first = open_store()
    conversation = first.create("tree")
    root = Turn("root", state="complete")
    old, new = Turn("old", root.id, state="complete"), Turn("new", root.id, state="failed")
    for turn in (root, old, new):
        first.save(conversation, turn)
    first.set_head(conversation, new.id)
    empty = first.create("empty")
    first.set_head(empty, None)
    first.close()
    second = open_store()

    assert second.load("tree").turns == [root, old, new]
    assert second.load("tree").head == new.id
    assert second.load("empty").head is None


def test_extra_is_kept_beside_the_turn(store: Store) -> None:
    """Facts that a turn has no field for come back as they were; those that JSON cannot hold
    raise.
    """
    conversation = store.create("extra")
    turn = Turn("x", state="complete")
    store.save(conversation, turn, extra={"usage": {"prompt": 3}, "ячейка": None}).result(10)

    assert store.load("extra").extra == {turn.id: {"usage": {"prompt": 3}, "ячейка": None}}
    with pytest.raises(TypeError):
        store.save(conversation, turn, extra={"x": object()})


def test_saving_is_a_snapshot(store: Store) -> None:
    """What happens to a turn after it was saved is not stored until it is saved again."""
    conversation = store.create("snapshot")
    turn = Turn("x", reply="before")
    store.save(conversation, turn)
    turn.reply = "after"

    assert store.load("snapshot").turns[0].reply == "before"


def test_names(store: Store) -> None:
    """A taken name gets a number, cannot be renamed to, and an unknown one suggests the nearest."""
    first, second = store.create("review"), store.create("review")
    with pytest.raises(ConfigError, match="already") as taken:
        store.rename(second, "review").result(10)
    store.rename(first, "отчёт").result(10)
    with pytest.raises(ConfigError, match="no conversation") as unknown:
        store.load("отчот")

    assert sorted(each.name for each in store.conversations()) == ["review-2", "отчёт"]
    assert taken.value.kind == "name_taken"
    assert unknown.value.kind == "unknown_conversation"
    assert "'отчёт'" in unknown.value.hint
    assert store.find("nothing") is None


def test_delete(store: Store) -> None:
    """A deleted conversation is gone from lists and search, and late saves do not bring it back."""
    conversation = fill(store, "secret", 3)
    kept = fill(store, "kept", 1)
    store.delete(conversation)
    store.save(conversation, Turn("late", state="complete"))
    names = [each.name for each in store.conversations()]

    assert names == ["kept"]
    assert store.search("secret") == []
    assert store.flush()
    assert [each.id for each in store.conversations()] == [kept]


def test_delete_leaves_no_text_in_the_file(open_store: Stores, path: Path) -> None:
    """What the user deletes is gone from the disk too."""
    store = open_store()
    conversation = fill(store, "gone", 50, reply="canary")
    store.delete(conversation).result(10)
    store.close()

    assert b"canary" not in path.read_bytes()


def test_lists_the_last_used_first(store: Store) -> None:
    """Conversations come with the last used first, also by notebook."""
    first = store.create("first", notebook="n.ipynb")
    second = store.create("second", notebook="n.ipynb")
    store.create("other")
    store.save(first, Turn("x")).result(10)
    store.label(second, "moved.ipynb").result(10)

    assert store.conversations()[0].name == "first"
    assert [each.name for each in store.find_by_notebook("n.ipynb")] == ["first"]
    assert [each.name for each in store.find_by_notebook("moved.ipynb")] == ["second"]


def test_two_stores_see_each_other(open_store: Stores) -> None:
    """What one kernel commits, another reads; a conversation deleted under a kernel comes back
    with its turns.
    """
    one, two = open_store(), open_store()
    conversation = fill(one, "shared", 2)
    seen = prompts(two, "shared")
    two.delete(conversation).result(10)
    one.save(conversation, Turn("later", state="complete")).result(10)

    assert seen == ["shared 0", "shared 1"]
    assert "later" in prompts(one, "shared")


def test_F95_order_is_by_sequence(store: Store) -> None:
    """A clock that jumps back does not change the order of turns."""
    conversation = store.create("clock")
    for number in range(3):
        store.save(
            conversation, Turn(f"{number}", state="complete", created=5000.0 - number * 3600)
        )

    assert prompts(store, "clock") == ["0", "1", "2"]


texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["\0", "\ufeffx", "a\0b\r\n"]
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(prompt=texts, reply=texts, elapsed=st.floats(0, 1e9))
def test_F98_any_text_round_trips(prompt: str, reply: str, elapsed: float) -> None:
    """Text of any kind, NUL and BOM included, and numbers come back exactly."""
    store = Store(":memory:")
    conversation = store.create(prompt)
    turn = Turn(prompt, reply=reply, error=reply, state="complete", elapsed=elapsed)
    store.save(conversation, turn).result(10)
    loaded = store.load(conversation)
    store.close()

    assert (loaded.turns, loaded.damaged) == ([turn], frozenset())


def test_F98_ten_megabytes_and_lone_surrogates(open_store: Stores) -> None:
    """A turn of 10 MB comes back exactly; a lone surrogate, which no file can hold, as U+FFFD."""
    store = open_store()
    conversation = store.create("large")
    turn = Turn("bad \udc80", reply="ж" * 5_000_000, state="complete")
    assert store.save(conversation, turn).result(20) == "saved"
    store.close()
    loaded = open_store().load("large").turns[0]

    assert loaded.reply == turn.reply
    assert loaded.prompt == "bad \ufffd"


@pytest.mark.asyncio
async def test_saving_leaves_the_event_loop_free(open_store: Stores) -> None:
    """A save from a loop returns before the commit, and its future can be awaited there."""
    store = open_store()
    conversation = store.create("async")
    future = store.save(conversation, Turn("x", state="complete"))

    assert await asyncio.wait_for(asyncio.wrap_future(future), 10) == "saved"


def test_refused_value_does_not_hold_up_the_others(open_store: Stores) -> None:
    """A turn that no file can hold fails alone; what was saved with it is stored."""
    store = open_store()
    conversation = store.create("mixed")
    bad = store.save(conversation, Turn("bad", elapsed=float("nan")))
    good = store.save(conversation, Turn("good", state="complete"))

    assert good.result(10) == "saved"
    assert bad.exception(10) is not None
    assert len(store.notices) == 1
    assert sql(store.path or Path(), "SELECT prompt FROM turn") == [("good",)]


def test_notices_are_handed_over_as_they_come(open_store: Stores, path: Path) -> None:
    """A surface that asked for notices gets each once, and one that fails does not stop the
    store.
    """
    path.parent.mkdir()
    path.write_bytes(b"<html>" * 100)
    heard: list[str] = []

    def show(text: str) -> None:
        heard.append(text)
        raise RuntimeError("no screen")

    store = open_store(on_notice=show)
    fill(store, "fine", 1)

    assert heard == store.notices
    assert len(heard) == 1


def test_store_that_nobody_holds_writes_its_rest(path: Path, open_store: Stores) -> None:
    """A store that goes away without being closed has written everything, and its thread ends."""
    store = Store(path)
    conversation = store.create("dropped")
    store.save(conversation, Turn("x", state="complete"))
    del store

    assert prompts(open_store(), "dropped") == ["x"]


def test_newest_turns_only(store: Store) -> None:
    """Only as many turns as asked for are read, unless an older one is in view."""
    conversation = fill(store, "long", 10)
    some = store.load("long", newest=3)
    store.set_head(conversation, store.load("long").turns[2].id).result(10)

    assert [turn.prompt for turn in some.turns] == ["long 7", "long 8", "long 9"]
    assert some.turns[0].parent is None
    assert some.summary.turns == 10
    assert len(store.load("long", newest=3).turns) == 10
