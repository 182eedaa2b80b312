"""Every benchmark, as one table; with `--peers` other packages for notebooks beside ours.

Run `python -m tests.benchmarks`; the exit status is 1 where a budget does not hold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.benchmarks import cells, history, load, peers, stream, turns
from tests.benchmarks import map as mapping
from tests.benchmarks.table import Row, told

ALL = (load, stream, cells, turns, history, mapping)


def measured() -> list[Row]:
    """The rows of all benchmarks, each in a process that no other has used."""
    context = multiprocessing.get_context("spawn")
    rows: list[Row] = []
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for module in ALL:
            rows += pool.submit(module.rows).result()
    return rows


def main() -> int:
    """Measure and print what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="measure other packages beside ours")
    if parser.parse_args().peers:
        return peers.main()
    return told(measured())


if __name__ == "__main__":
    sys.exit(main())
