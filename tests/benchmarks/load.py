"""What `%load_ext` costs beside importing aiohttp and anywidget, in fresh processes.

Run `python -m tests.benchmarks.load`; it prints the figures and fails past its bound.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

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


def main(rounds: int = 7) -> int:
    """Measure in turn, print, and say with the exit status whether the bound holds."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_seconds(_LOAD))
        theirs.append(_seconds(_IMPORT))
    ratio = median(ours) / median(theirs)
    sys.stdout.write(
        f"%load_ext {median(ours) * 1e3:.0f} ms, aiohttp and anywidget "
        f"{median(theirs) * 1e3:.0f} ms: {ratio:.2f} (at most {BOUND})\n"
    )
    return int(ratio > BOUND)


def _seconds(code: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
