"""Take each guard out of a copy of the package and see that a test notices.

Run `python -m tests.guards`, or with parts of the names of guards or of their modules; it prints a
table and fails where a removal went unnoticed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.guards.guard import Guard
from tests.guards.tables import GUARDS
from tests.guards.trial import Trial, Verdict, copied


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the table, print it, and say with the exit status whether each guard was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.guards", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="only the guards whose name or module has one of these in it"
    )
    parser.add_argument("--list", action="store_true", help="print the names and end")
    options = parser.parse_args(arguments)
    chosen = [each for each in GUARDS if _is_meant(each, options.names)]
    if options.list or not chosen:
        _say("\n".join(f"{each.name:<48} {each.module}" for each in chosen) or "no such guard")
        return int(not chosen)
    with copied() as trial:
        return _tried(trial, chosen)


def _is_meant(guard: Guard, names: Sequence[str]) -> bool:
    return not names or any(name in f"{guard.name} {guard.module}" for name in names)


def _tried(trial: Trial, guards: Sequence[Guard]) -> int:
    tests = sorted({test for guard in guards for test in guard.tests})
    whole = trial.run(tests, "--maxfail=5", seconds=1800)
    _say(f"unchanged: {whole.ran} tests pass, {whole.seconds:.0f} s")
    if whole.noticed or whole.flaw:
        _say(f"the unchanged copy does not pass: {whole.noticed or whole.flaw}")
        return 1
    _say(f"{'guard':<48} {'tests':>5} {'s':>4}  without it")
    missed = 0
    for guard in guards:
        verdict = trial.without(guard)
        missed += not verdict.noticed
        _say(_row(guard, verdict))
    _say(f"{len(guards)} guards removed, {len(guards) - missed} noticed, {missed} not")
    return int(missed > 0)


def _row(guard: Guard, verdict: Verdict) -> str:
    if verdict.noticed:
        end = f"noticed by {verdict.noticed}"[:110]
    elif verdict.flaw:
        end = f"ERROR {verdict.flaw}"
    else:
        end = "NOT NOTICED"
    return f"{guard.name:<48} {verdict.ran:>5} {verdict.seconds:>4.0f}  {end}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
