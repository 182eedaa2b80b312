"""A copy of the package with its tests, in which guards are taken out and tests are run.

The copy is whole, so that child processes and kernels of the tests import it as well.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.guards.guard import Guard

ROOT = Path(__file__).parents[2]
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*_cache", ".git", ".venv", "dist", "build")
_TEST_SECONDS = 30
"""What a test may take; one that waits for what a guard would have ended has noticed."""
_RUN_SECONDS = 300


@dataclass(frozen=True)
class Verdict:
    """What came of some tests. `noticed` says which failed and in what words; `flaw` why the run
    tells nothing.
    """

    ran: int
    seconds: float
    noticed: str = ""
    flaw: str = ""


class Trial:
    """A copy at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def without(self, guard: Guard) -> Verdict:
        """Take a guard out, run its tests until one fails, and put it back."""
        path = guard.path(self.root)
        whole = path.read_text()
        try:
            path.write_text(guard.removed_from(whole))
        except LookupError as error:
            return Verdict(0, 0.0, flaw=str(error))
        try:
            return self.run(guard.tests, "-x", f"--timeout={_TEST_SECONDS}")
        finally:
            path.write_text(whole)

    def run(self, tests: Sequence[str], *options: str, seconds: float = _RUN_SECONDS) -> Verdict:
        """Run some tests on the copy as it is."""
        report = self.root / "guards-report.json"
        report.unlink(missing_ok=True)
        began = time.monotonic()
        said = self._pytest([*tests, *options], report, seconds)
        took = time.monotonic() - began
        if not report.exists():
            return Verdict(0, took, flaw=f"pytest came to no end: {said[-300:].strip()}")
        ended = json.loads(report.read_text())
        ran = len({*ended["passed"], *ended["failed"]})
        if ended["failed"]:
            first = ended["failed"][0]
            noticed = f"{first.rpartition('::')[2]}: {ended['words'][first]}"
        else:
            noticed = ""
        return Verdict(ran, took, noticed, self._flaw(ended, said, noticed=noticed))

    def _flaw(self, ended: dict[str, list[str]], said: str, *, noticed: str) -> str:
        if ended["package"] != str(self.root / "gprochat_magic" / "__init__.py"):
            return f"not the copy was imported but {ended['package'] or 'nothing'}: {said[-300:]}"
        if ended["broken"]:
            return f"{ended['broken'][0]} could not begin"
        if not noticed and ended["skipped"]:
            return f"{ended['skipped'][0]} is skipped here"
        return "" if noticed or ended["passed"] else f"no test ran: {said[-300:].strip()}"

    def _pytest(self, arguments: Sequence[str], report: Path, seconds: float) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
            "PYTHONPATH": str(self.root),
            # Times and sizes of modules may be the same before and after: no file of bytecode.
            "PYTHONDONTWRITEBYTECODE": "1",
            "GUARDS_REPORT": str(report),
        }
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line"]
        command += ["-m", "not soak and not fuzz and not browser"]
        command += ["-p", "tests.guards.witness", "-p", "no:cacheprovider", *arguments]
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as running:
            try:
                said, _ = running.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                said = f"it took longer than {seconds:g} s"
            finally:
                # With the kernels and servers that a test which broke off has left behind.
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
        return said


@contextmanager
def copied() -> Iterator[Trial]:
    """A copy in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="guards-", ignore_cleanup_errors=True) as folder:
        root = Path(folder).resolve() / "copy"
        shutil.copytree(ROOT, root, ignore=_LEFT_OUT)
        yield Trial(root)
