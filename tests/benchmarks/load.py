"""What `%load_ext` costs beside importing aiohttp and anywidget, in fresh processes.

Run `python -m tests.benchmarks.load`; it prints the figures and fails past its bound.
"""

from __future__ import annotations

import functools
import subprocess
import sys

from tests.benchmarks.table import Row, in_turn, told

BOUND = 0.15
"""Of the time that importing aiohttp and anywidget takes."""

_SHELL = """
import asyncio, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
began = time.perf_counter()
{}
print(time.perf_counter() - began)
"""
_LOAD = _SHELL.format("shell.run_line_magic('load_ext', 'gprochat_magic')")
_IMPORT = _SHELL.format("import aiohttp, anywidget")


def rows(rounds: int = 7) -> list[Row]:
    """Measure in turn, a fresh process for each."""
    ours, theirs, ratio = in_turn(
        functools.partial(_seconds, _LOAD), functools.partial(_seconds, _IMPORT), rounds=rounds
    )
    return [
        Row(
            "%load_ext, against importing aiohttp and anywidget",
            f"{ours * 1e3:.0f} ms",
            f"{theirs * 1e3:.0f} ms",
            ratio,
            at_most=BOUND,
        )
    ]


def main(rounds: int = 7) -> int:
    """Measure, print, and say with the exit status whether the bound holds."""
    return told(rows(rounds))


def _seconds(code: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
