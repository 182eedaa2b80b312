"""The table of guards fits the package, and the script that goes through it tells the truth."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.guards.guard import Guard
from tests.guards.tables import GUARDS
from tests.guards.trial import ROOT, Trial, copied

BY_NAME = {guard.name: guard for guard in GUARDS}
SAMPLE = (
    "redirects are not followed",
    "the framing proves the end",
    "only our own host is served",
    "a page is in a sandbox",
    "a changed letter is found",
    "a value is never looked at again",
)
"""One row of each part of the table, quick ones; `python -m tests.guards` takes them all."""


@cache
def ids_in(file: str) -> set[str]:
    """The tests of a file, those of a class behind its name, as pytest writes them."""
    found = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {
            prefix + each.name
            for each in inner
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
    return found


def test_no_two_rows_have_one_name() -> None:
    """A name leads to one guard."""
    assert len(BY_NAME) == len(GUARDS)


def test_every_row_fits_the_package() -> None:
    """What is to be taken out stands there once, what is left is Python, and its tests exist."""
    missing = []
    for guard in GUARDS:
        assert guard.tests, guard.name
        ast.parse(guard.removed_from(guard.path(ROOT).read_text()))
        for test in guard.tests:
            file, _, function = test.partition("::")
            if not (ROOT / file).is_file() or (function and function not in ids_in(file)):
                missing.append(test)

    assert missing == []


def test_a_row_that_fits_no_more_is_an_error() -> None:
    """Text that is not there, or there twice, is taken for no guard."""
    for old in ("what nobody ever wrote", "def "):
        with pytest.raises(LookupError):
            Guard("none", "clock.py", old, "", ()).removed_from("def a(): pass\ndef b(): pass\n")


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    with copied() as made:
        yield made


@pytest.mark.soak
@pytest.mark.parametrize("name", SAMPLE)
def test_a_guard_that_is_gone_is_noticed(trial: Trial, name: str) -> None:
    """Without it a test fails, on the copy, which is whole again afterwards."""
    guard = BY_NAME[name]
    verdict = trial.without(guard)

    assert verdict.flaw == ""
    assert verdict.noticed.startswith("test_")
    assert guard.path(trial.root).read_text() == guard.path(ROOT).read_text()


@pytest.mark.soak
def test_a_removal_that_nobody_sees_is_told(trial: Trial) -> None:
    """Where nothing changes but a comment no test fails, and the verdict says so."""
    guard = BY_NAME["timestamps strictly rise"]
    idle = Guard("none", guard.module, guard.old, f"{guard.old}  # the same", guard.tests)
    verdict = trial.without(idle)

    assert (verdict.ran, verdict.noticed, verdict.flaw) == (1, "", "")


@pytest.mark.soak
def test_a_run_that_proves_nothing_is_told(trial: Trial) -> None:
    """Where no test ran there is neither a notice nor the lack of one."""
    verdict = trial.run(["tests/test_errors.py::test_there_is_none"])

    assert verdict.flaw
