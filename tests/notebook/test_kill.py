"""A kernel killed at any moment loses no finished turn, and little of the one that streams."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from queue import Empty

import pytest

from gprochat_magic.store import Store
from tests.gateways import Served, served
from tests.kernels import Kernel, kernel
from tests.store.histories import report

CELL = """
import itertools
for number in itertools.count({start}):
    get_ipython().run_cell_magic("gprochat", "-q -n 0", f"prompt {{number}}")
    print(number, flush=True)
"""
PIECE = "twenty characters. "


@pytest.mark.parametrize(
    "kills", [3, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(1500)])]
)
def test_F73_kill_while_streaming_and_writing(tmp_path: Path, kills: int) -> None:
    """Every turn that a cell had reported is there, complete; the file is sound each time."""
    path = tmp_path / "history.sqlite"
    rng = random.Random(kills)
    finished: set[int] = set()
    with served() as far:
        far.backend.pieces, far.backend.pause = [PIECE] * 30, 0.005
        with kernel(GPROCHAT_STORE=str(path), **far.environment) as k:
            for _ in range(kills):
                k.run("%gprochat new")
                k.start(CELL.format(start=len(finished) + 1000 * len(far.backend.asked)))
                finished |= _reported_until(k, time.monotonic() + rng.uniform(0.05, 0.75))
                k.manager.restart_kernel(now=True)
                finished |= _left_over(k)
                k.client.wait_for_ready(timeout=60)
                assert k.run("%load_ext gprochat_magic").status == "ok"
                assert _sound(path)

    turns = [turn for name in _names(path) for turn in Store(path).load(name).turns]
    complete = {int(t.prompt.split()[1]) for t in turns if t.state == "complete"}
    assert finished - complete == set()
    assert all(turn.reply == PIECE * 30 for turn in turns if turn.state == "complete")
    assert all((PIECE * 30).startswith(turn.reply) for turn in turns)
    assert {turn.state for turn in turns} <= {"complete", "interrupted", "failed"}
    report(f"{kills} kills of a kernel: {len(finished)} finished turns, 0 lost")


def test_F72_at_most_a_second_of_a_partial_reply_is_missing(tmp_path: Path) -> None:
    """What had arrived a second before the kill is in the history."""
    path = tmp_path / "history.sqlite"
    with served() as far, kernel(GPROCHAT_STORE=str(path), **far.environment) as k:
        far.backend.pieces, far.backend.pause = [PIECE] * 2000, 0.02
        k.run("%gprochat new killed")
        k.start("%gprochat -q go on")
        sent = _sent_a_second_ago(far)
        k.manager.restart_kernel(now=True)

        [turn] = Store(path).load("killed").turns
        assert turn.state == "interrupted"
        assert len(turn.reply) >= sent * len(PIECE)
        assert (PIECE * 2000).startswith(turn.reply)


def _sent_a_second_ago(far: Served) -> int:
    """Let a reply run for three seconds; how much of it was sent two thirds in."""
    with far.backend.changed:
        far.backend.changed.wait_for(lambda: far.backend.asked, 30)
    time.sleep(2)  # the reply must have run for a while
    sent = far.backend.sent
    time.sleep(1.2)  # a second, and the time to write it
    return sent


def _reported_until(k: Kernel, until: float) -> set[int]:
    """The turns that the cell says it has finished, until a moment."""
    found: set[int] = set()
    while (left := until - time.monotonic()) > 0:
        try:
            found |= _numbers(k.client.get_iopub_msg(timeout=left))
        except Empty:
            break
    return found


def _left_over(k: Kernel) -> set[int]:
    found: set[int] = set()
    try:
        while True:
            found |= _numbers(k.client.get_iopub_msg(timeout=0))
    except Empty:
        return found


def _numbers(message: dict[str, object]) -> set[int]:
    content = message["content"]
    text = content.get("text", "") if isinstance(content, dict) else ""
    return {int(line) for line in text.splitlines() if line.isdecimal()}


def _names(path: Path) -> list[str]:
    return [summary.name for summary in Store(path).conversations()]


def _sound(path: Path) -> bool:
    # Opened as any program would: SQLite itself rolls back what the killed process had begun.
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
