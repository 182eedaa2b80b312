"""The reply cache in its file: kept, overwritten, forgotten, and never believed when damaged."""

from __future__ import annotations

from pathlib import Path

from gprochat_magic.store.cache import Cache
from tests.store.histories import Stores, sql


def test_a_reply_is_kept_across_processes(open_store: Stores) -> None:
    """What one store kept, the next one finds; another key finds nothing."""
    Cache(open_store()).put("key", "текст\0\ufeff").result(5)

    assert Cache(open_store()).get("key") == "текст\0\ufeff"
    assert Cache(open_store()).get("other") is None


def test_a_reply_is_found_before_it_is_written(open_store: Stores) -> None:
    """Reading sees what still waits, the last of it, and that it was cleared."""
    store = open_store(patience=0.1)
    cache = Cache(store)
    let_go = store._writer.hold()  # nothing reaches the file meanwhile
    try:
        cache.put("key", "one")
        cache.put("key", "two")
        before = cache.get("key")
        cache.clear()
        after = cache.get("key")
    finally:
        let_go()

    assert (before, after) == ("two", None)


def test_clearing_forgets_all(open_store: Stores) -> None:
    """Count and size go to nothing, and come back with the next reply."""
    cache = Cache(open_store())
    cache.put("a", "ab")
    cache.put("b", "é")

    assert cache.size() == (2, 4)
    cache.clear()
    assert (cache.size(), cache.get("a")) == ((0, 0), None)
    cache.put("a", "again")
    assert cache.get("a") == "again"


def test_a_damaged_reply_is_not_there(open_store: Stores, path: Path) -> None:
    """A flipped bit in the text is found by the checksum, and the request is sent again."""
    cache = Cache(open_store())
    cache.put("key", "seven").result(5)
    sql(path, "UPDATE cache SET reply = 'eleven'")

    assert cache.get("key") is None


def test_without_a_file_it_works_in_memory(open_store: Stores) -> None:
    """Under :memory: replies are kept as long as the store."""
    cache = Cache(open_store(":memory:"))
    cache.put("key", "text").result(5)

    assert (cache.get("key"), cache.size()) == ("text", (1, 4))
