"""Every benchmark runs, with tiny numbers; how fast anything is is not looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import cells, history, load, peers, stream, turns
from tests.benchmarks import map as mapping
from tests.benchmarks.table import Row, in_turn, told

TINY: dict[str, Callable[[], int]] = {
    "load": lambda: load.main(1),
    "stream": lambda: stream.main(1, 200),
    "cells": lambda: cells.main(1, short=500, long=1_000, huge=5_000, seconds=0.1),
    "turns": lambda: turns.main(20, 2),
    "history": lambda: history.main(200, 2),
    "map": lambda: mapping.main(1, 10),
    "peers": lambda: peers.main([peers.OURS], rounds=1, chunks=100),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_prints_its_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each one measures and prints, whether or not its budget holds for so little."""
    status = TINY[name]()

    assert status in (0, 1)
    said = capsys.readouterr().out
    assert "| what" in said or "| package" in said
    assert len([line for line in said.splitlines() if line.startswith("| ")]) >= 3


def test_a_budget_decides(capsys: pytest.CaptureFixture[str]) -> None:
    """Past one budget the status is 1, and its row says so; a row without one decides nothing."""
    rows = [
        Row("slow", "2 ms", "1 ms", 2.0, at_most=1.5),
        Row("fast", "2/s", "1/s", 2.0, at_least=0.5),
        Row("told", "2 ms", "-", 2.0),
    ]

    assert [1, 0, 0] == [told([row]) for row in rows]
    assert told(rows) == 1
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert ["NO", "yes", "-"] == [line.split("|")[-2].strip() for line in lines]


def test_rounds_are_taken_in_turn() -> None:
    """Ours and the bare one alternate; the ratio is the median of those of the rounds."""
    order: list[str] = []
    ours, bare = iter([2.0, 30.0, 4.0]), iter([1.0, 10.0, 4.0])

    def measure(name: str, values: object) -> float:
        order.append(name)
        return float(next(values))  # type: ignore[call-overload]

    found = in_turn(lambda: measure("o", ours), lambda: measure("b", bare), rounds=3)

    assert (4.0, 4.0, 2.0) == found
    assert ["b", "o"] * 3 == order


def test_a_peer_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is ready is used again, and ours needs none."""
    run: list[object] = []
    monkeypatch.setattr("subprocess.run", lambda command, **how: run.append(command))
    peer = peers.PEERS[1]
    (tmp_path / peer.name).mkdir()

    made = [peers.python_of(peer, tmp_path) for _ in range(2)]

    assert [str(tmp_path / peer.name / "bin" / "python")] * 2 == made
    assert len(run) == 2
    assert peers.python_of(peers.OURS, tmp_path) not in made
