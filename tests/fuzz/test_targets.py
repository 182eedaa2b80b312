"""Each target for a moment: what a longer run of `python -m tests.fuzz` does at length."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.fuzz import __main__ as runner
from tests.fuzz.targets import TARGETS

SECONDS = 10


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_hold(name: str) -> None:
    """What every run begins with shows no defect by itself."""
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str, tmp_path: Path) -> None:
    """A fuzzer that follows coverage finds no input that breaks an invariant."""
    if importlib.util.find_spec("atheris") is None:
        assert os.environ.get("CI") != "true", "atheris is not installed"
        pytest.skip("atheris is not installed")
    outcome = runner.fuzz(name, seconds=SECONDS, kept=tmp_path)

    assert "" == outcome.found
    assert outcome.executions > len(TARGETS[name].seeds)
    assert outcome.edges > 0
