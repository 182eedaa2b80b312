"""`python -m tests.fuzz gateway|renderer|decoder|sse --seconds N`: runs targets, prints a table.

Ends with 1 where a target found something; the input that shows it is kept, and its place printed.
With `--again FILE` one input is run, without atheris.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS

_ERROR = re.compile(r"^ === Uncaught Python exception: ===$.*", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Outcome:
    """One run: what it executed and reached, and what it found, if anything."""

    target: str
    executions: int
    edges: int
    corpus: int
    found: str

    def __str__(self) -> str:
        result = "FOUND" if self.found else "nothing found"
        return f"{self.target:<10}{self.executions:>12,}{self.edges:>8,}{self.corpus:>8,}  {result}"


HEADING = f"{'target':<10}{'executions':>12}{'edges':>8}{'corpus':>8}  result"


def fuzz(name: str, *, seconds: int, seed: int = 0, kept: Path) -> Outcome:
    """Run one target for so many seconds; `kept` is where an input goes that shows a defect.

    `seed` 0 lets libFuzzer choose. Raises `RuntimeError` where the process could not even run.
    """
    target = TARGETS[name]
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(target.seeds):
            Path(corpus, f"seed-{number}").write_bytes(content)
        dictionary = Path(kept, f"{name}.dict")
        dictionary.write_text("".join(map(_quoted, target.words)))
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={target.longest}",
            f"-seed={seed}",
            f"-artifact_prefix={kept}/{name}-",
            f"-dict={dictionary}",
            "-print_final_stats=1",
            "-timeout=20",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.child", name, *options, corpus],
            capture_output=True, text=True, errors="replace", check=False, timeout=seconds + 100,
        )  # fmt: skip
    said = done.stderr + done.stdout  # the traceback is in the one, all else in the other
    if "INITED" not in said and not done.returncode:
        raise RuntimeError(said[-2_000:])
    return _outcome(name, said, failed=bool(done.returncode))


def _quoted(word: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n'


def _outcome(name: str, said: str, *, failed: bool) -> Outcome:
    error = _ERROR.search(said)
    found = (error[0] if error else said[-4_000:]) if failed else ""
    written = re.search(r"Test unit written to (\S+)", said)
    return Outcome(
        name,
        _last(r"stat::number_of_executed_units:\s*(\d+)", said),
        _last(r"\bcov: (\d+)", said),
        _last(r"\bcorp: (\d+)", said),
        found and f"{found}\nthe input: {written[1] if written else 'not kept'}",
    )


def _last(pattern: str, said: str) -> int:
    return int(([0, *re.findall(pattern, said)])[-1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir(), "fuzz-findings"))
    parser.add_argument("--again", type=Path)
    given = parser.parse_args(arguments)
    names = given.targets or list(TARGETS)
    if given.again:
        TARGETS[names[0]].run(given.again.read_bytes())
        return 0
    sys.stdout.write(HEADING + "\n")
    outcomes = []
    for name in names:
        outcomes.append(fuzz(name, seconds=given.seconds, seed=given.seed, kept=given.kept))
        sys.stdout.write(f"{outcomes[-1]}\n{outcomes[-1].found}".rstrip() + "\n")
        sys.stdout.flush()
    return int(any(outcome.found for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
