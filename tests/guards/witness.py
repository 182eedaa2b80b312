"""A plugin for the pytest that runs on the copy: what was imported, and how each test ended.

It writes a JSON object to the file named in `GUARDS_REPORT`: `package`, the file of the package
that the tests imported; `passed`, `failed` and `skipped`, the ids of tests; `words`, by id, the
last line of what a failure said. A failure in a test's set-up counts as `broken` instead: it says
nothing about what the test looks at.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

_ended: dict[str, Any] = {
    "package": "",
    "passed": [],
    "failed": [],
    "skipped": [],
    "broken": [],
    "words": {},
}


_running = [""]


def pytest_runtest_logstart(nodeid: str) -> None:
    """Called by pytest before each test."""
    _running[0] = nodeid


def pytest_keyboard_interrupt() -> None:
    """Called by pytest where an interrupt that a test had sent ended the whole run."""
    _ended["failed"].append(_running[0])
    _ended["words"][_running[0]] = "KeyboardInterrupt"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called by pytest for each phase of each test."""
    if report.failed:
        _ended["broken" if report.when == "setup" else "failed"].append(report.nodeid)
        crash = getattr(report.longrepr, "reprcrash", None)
        words = str(crash.message if crash is not None else report.longreprtext)
        _ended["words"][report.nodeid] = words.strip().partition("\n")[0]
    elif report.skipped:
        _ended["skipped"].append(report.nodeid)
    elif report.when == "call":
        _ended["passed"].append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Called by pytest at its end."""
    package = sys.modules.get("gprochat_magic")
    _ended["package"] = str(getattr(package, "__file__", ""))
    Path(os.environ["GUARDS_REPORT"]).write_text(json.dumps(_ended))
