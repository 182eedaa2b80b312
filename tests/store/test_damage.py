"""Files that are damaged: what can be read is kept, and nothing else leads to a file being
moved.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gprochat_magic.conversation import Turn
from gprochat_magic.store import recovery
from gprochat_magic.store.recovery import recover
from tests.store.histories import Stores, fill, integrity, prompts, sql

PAGE = 4096


def aside(path: Path) -> list[Path]:
    """The damaged files that were kept."""
    return sorted(path.parent.glob("history.sqlite.corrupt-*"))


def zero(path: Path, page: int) -> None:
    """Overwrite one page, counted from 1, with zeros."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(bytes(PAGE))


def leaf_of_turns(path: Path) -> int:
    """A page in the middle of the table of turns."""
    data = path.read_bytes()
    leaves = [at for at in range(1, len(data) // PAGE) if data[at * PAGE] == 13]
    leaves = [at for at in leaves if b"many 2" in data[at * PAGE : (at + 1) * PAGE]]
    return leaves[len(leaves) // 2] + 1


@pytest.mark.parametrize(
    "start",
    [b"<!DOCTYPE html><html>", b"\x00" * 100, bytes(range(256)) * 8],
    ids=["html", "zeros", "garbage"],
)
def test_F87_not_a_database(open_store: Stores, path: Path, start: bytes) -> None:
    """A file that is no database is moved aside with a notice, and a new one is used."""
    path.parent.mkdir()
    path.write_bytes(start + b"more" * 2000)
    before = path.read_bytes()
    store = open_store()
    fill(store, "fresh", 2)

    assert [each.read_bytes() for each in aside(path)] == [before]
    assert aside(path)[0].stat().st_mode & 0o077 == 0
    assert ["damaged" in notice for notice in store.notices] == [True]
    assert prompts(open_store(), "fresh") == ["fresh 0", "fresh 1"]
    assert integrity(path) == "ok"


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_F87_side_file_does_not_reach_the_new_file(
    open_store: Stores, path: Path, suffix: str
) -> None:
    """What belongs to the damaged file is never played back into the new one."""
    path.parent.mkdir()
    path.write_bytes(b"<html>" * 2000)
    path.with_name(path.name + suffix).write_bytes(b"leftover" * 2000)
    fill(open_store(), "fresh", 1)

    assert not path.with_name(path.name + suffix).exists()
    assert prompts(open_store(), "fresh") == ["fresh 0"]
    assert integrity(path) == "ok"


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_F87_side_file_goes_aside_with_its_file(path: Path, suffix: str) -> None:
    """One that SQLite has left where it was, for whatever reason, keeps its file company."""
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    path.with_name(path.name + suffix).write_bytes(b"leftover")
    kept = recovery._move_aside(path)

    assert kept.read_bytes() == b"damaged"
    assert kept.with_name(kept.name + suffix).read_bytes() == b"leftover"
    assert not path.with_name(path.name + suffix).exists()


def test_F88_truncated(open_store: Stores, path: Path) -> None:
    """Of a file that was cut, the readable turns are in the new one, and the notice counts them."""
    store = open_store()
    fill(store, "many", 300, reply="Ответ " * 40)
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2 // PAGE * PAGE)
    store = open_store()
    left = prompts(store, "many")

    assert 50 < len(left) < 300
    assert left == [prompt for prompt in (f"many {n}" for n in range(300)) if prompt in set(left)]
    assert any(f"{len(left)} turns were copied" in notice for notice in store.notices)
    assert aside(path)[0].stat().st_size == size // 2 // PAGE * PAGE
    assert integrity(path) == "ok"


def test_F88_zeroed_page_is_found_on_opening(open_store: Stores, path: Path) -> None:
    """A zeroed page is found before the first insert, which SQLite would let succeed."""
    store = open_store()
    conversation = fill(store, "many", 300, reply="Ответ " * 40)
    store.close()
    zero(path, leaf_of_turns(path))
    store = open_store()
    store.save(conversation, Turn("after", state="complete")).result(20)
    left = prompts(store, "many")

    assert 270 < len(left) < 301
    assert left[-1] == "after"
    assert len(aside(path)) == 1
    assert any(f"{len(left) - 1} turns were copied" in notice for notice in store.notices)
    assert any(f"{301 - len(left)} could not be read" in notice for notice in store.notices)
    assert len(store.search("many")) == 20


def test_F88_zeroed_page_while_open(open_store: Stores, path: Path) -> None:
    """Damage that comes while the file is open is found by reading, and own turns come back."""
    store = open_store()
    fill(store, "many", 300, reply="Ответ " * 40)
    zero(path, leaf_of_turns(path))
    left = prompts(store, "many")
    assert store.flush(10)

    assert len(left) == 300
    assert len(aside(path)) == 1
    assert len(prompts(open_store(), "many")) == 300


def test_F88_large_file_is_read_through(open_store: Stores, path: Path) -> None:
    """In a file too large to be checked on opening, damage is found soon after, without being
    asked.
    """
    store = open_store()
    fill(store, "many", 400, reply="Ответ " * 2000)
    store.close()
    assert path.stat().st_size > 4 * 1024 * 1024
    zero(path, leaf_of_turns(path))
    store = open_store()
    store.find("")
    for _ in range(200):
        if store.notices:
            break
        store.save("elsewhere", Turn("more")).result(10)

    assert ["damaged" in notice for notice in store.notices] == [True]
    assert len(aside(path)) == 1


def test_F88_sound_file_is_not_moved(open_store: Stores, path: Path) -> None:
    """What a second look finds sound stays where it is."""
    store = open_store()
    fill(store, "fine", 3)

    assert recover(path) is None
    assert aside(path) == []


def test_F89_one_flipped_bit(open_store: Stores, path: Path) -> None:
    """A changed letter, which SQLite does not see, is found by the checksum and said."""
    store = open_store()
    fill(store, "flipped", 3)
    store.close()
    data = bytearray(path.read_bytes())
    at = data.index(b"flipped 1reply 1")
    data[at] ^= 1
    path.write_bytes(data)
    store = open_store()
    loaded = store.load("flipped")

    assert integrity(path) == "ok"
    assert [turn.id in loaded.damaged for turn in loaded.turns] == [False, True, False]
    assert ["checksum" in notice for notice in store.notices] == [True]


def test_F89_bytes_that_are_no_text(open_store: Stores, path: Path) -> None:
    """A turn whose bytes are no longer UTF-8 is marked, and the others load."""
    store = open_store()
    fill(store, "broken", 3)
    store.close()
    data = bytearray(path.read_bytes())
    data[data.index(b"broken 1reply 1")] = 0xFF
    path.write_bytes(data)
    loaded = open_store().load("broken")

    assert [turn.id in loaded.damaged for turn in loaded.turns] == [False, True, False]


def test_F89_mark_of_a_turn_moved_elsewhere(open_store: Stores, path: Path) -> None:
    """The checksum also covers which conversation a turn belongs to."""
    store = open_store()
    fill(store, "one", 1)
    fill(store, "two", 1)
    store.close()
    sql(path, "UPDATE turn SET conversation = 1")

    assert len(open_store().load("one").damaged) == 1
