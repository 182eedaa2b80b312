"""A file of 100,000 turns: opening, reading, searching and adding cost what the answer costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from gprochat_magic.conversation import Turn
from gprochat_magic.store import Store
from tests.store.histories import Stores, fill, report


def seconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def send(store: Store, conversation: str) -> None:
    """What one send costs the store: begun, ended, and each committed."""
    turn = Turn("prompt " * 20)
    store.save(conversation, turn).result(30)
    turn.reply, turn.state = "reply " * 100, "complete"
    store.save(conversation, turn)
    store.set_head(conversation, turn.id).result(30)


def grow(path: Path, turns: int) -> None:
    """Fill a file with conversations of 50 turns, all in the search index."""
    store = Store(path)
    for number in range(turns // 50):
        fill(store, f"c{number}", 50, reply="слово reply " * 40)
    store.close(60)


@pytest.mark.parametrize(
    "turns",
    [1_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
)
def test_F94_many_turns(path: Path, tmp_path: Path, open_store: Stores, turns: int) -> None:
    """A big file answers as a small one does; what it costs, `tests.benchmarks.history` bounds."""
    grow(path, turns)
    big, small = open_store(), open_store(tmp_path / "small.sqlite")
    opening = seconds(lambda: big.load("c3"))
    conversation, other = big.load("c3").summary.id, small.create("small")
    send(big, conversation)
    send(small, other)
    in_big, in_small = [], []
    for _ in range(40):
        in_big.append(seconds(lambda: send(big, conversation)))
        in_small.append(seconds(lambda: send(small, other)))
    searching = seconds(lambda: big.search("слово reply"))
    listing = seconds(big.conversations)
    loading = seconds(lambda: big.load("c7"))

    ratio = median(in_big) / median(in_small)
    report(
        f"{turns} turns, {path.stat().st_size / 1e6:.0f} MB: opened and first conversation "
        f"{opening * 1e3:.0f} ms, "
        f"send {median(in_big) * 1e3:.1f} ms ({ratio:.2f} of an empty file), "
        f"load {loading * 1e3:.1f} ms, list {listing * 1e3:.0f} ms, search {searching * 1e3:.1f} ms"
    )
    assert len(big.load("c3").turns) == 50 + 41
    assert len(big.search("слово reply")) == 20
