"""The same properties with many more examples, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.properties import VARIABLE

EXAMPLES = 150


@pytest.mark.fuzz
def test_every_property_at_length() -> None:
    """No property has a counterexample among many times the usual number of examples."""
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not fuzz", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(here)],
        cwd=here.parents[1],
        env=os.environ | {VARIABLE: str(EXAMPLES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert 0 == done.returncode, done.stdout[-8_000:]
