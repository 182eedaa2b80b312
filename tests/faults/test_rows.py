"""Every row of the table of faults has a test that carries its number."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = (
    *range(1, 18),  # before the reply starts
    *range(20, 33),  # statuses
    *range(40, 60),  # the body
    *range(60, 80),  # stopping, loops, processes
    *range(80, 100),  # history
    *range(100, 119),  # gateway
    *range(120, 136),  # rendering and secrets
)


def test_every_row_has_a_test() -> None:
    """A row without a test is named; so is a test of a row that there is not."""
    sources = (path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    names = re.findall(r"^\s*(?:async )?def (test_F\d\w*)", "\n".join(sources), re.MULTILINE)
    tested = {int(number) for name in names for number in re.findall(r"(?<=_F)\d+", name)}

    assert not sorted(set(ROWS) - tested)
    assert not sorted(tested - set(ROWS))
