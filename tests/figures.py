"""Every figure by one command: what was injected, survived and lost, and how fast it is.

Run `python -m tests.figures > BENCHMARKS.md`, or with the names of parts; all of them take about an
hour. The page has what each command prints; the exit status is 1 where one of them fails.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

PARTS = {
    "speed": "-m tests.benchmarks",
    "peers": "-m tests.benchmarks --peers",
    "faults": "-m tests.faults.campaign --replies 10000 --seed 1",
    "soak": "-m tests.faults.soak --turns 10000",
    "kills": "-m pytest -qs -m soak tests/store/test_kills.py tests/notebook/test_kill.py",
    "interrupts": "-m pytest -qs -m soak tests/notebook/test_interrupt.py",
    "guards": "-m tests.guards",
}
"""What Python is told, by the name of the part."""


def part(name: str, arguments: str) -> bool:
    """Run a command, print its part of the page, and say whether it went well."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *shlex.split(arguments)], stdout=subprocess.PIPE, text=True, check=False
    )
    said = done.stdout.strip()
    if not said.startswith("| "):  # what is no table of Markdown's
        said = f"```\n{said}\n```"
    ended = f"exit status {done.returncode} after {time.monotonic() - began:.0f} s"
    _say(f"## {name.capitalize()}\n\n`python {arguments}`: {ended}\n\n{said}\n")
    return done.returncode == 0


def page(parts: Mapping[str, str]) -> int:
    """Print the page; the exit status is 1 where a part did not go well."""
    _say(f"# Figures\n\nPrinted by `python -m tests.figures {' '.join(parts)}`.\n")
    _say(
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.system()} on "
        f"{os.cpu_count()} cores, Python {platform.python_version()}.\n"
    )
    failed = [name for name, arguments in parts.items() if not part(name, arguments)]
    return int(bool(failed))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the parts that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.figures", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args(arguments).parts
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}")
    return page({name: PARTS[name] for name in chosen or PARTS})


if __name__ == "__main__":
    sys.exit(main())
