"""The helpers of the panel's module that need no page, tested in their own language."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

TESTS = Path(__file__).parents[1] / "panel" / "panel.test.mjs"


def test_the_helpers_pass_their_tests() -> None:
    """`node --test` passes, with the node of this machine or the one that Playwright brings."""
    # Playwright has no public name for it.
    node = shutil.which("node") or compute_driver_executable()[0]
    ran = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(TESTS)], capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stdout
    assert "# fail 0" in ran.stdout
    assert "# tests 0" not in ran.stdout
