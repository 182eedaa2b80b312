"""Thousands of replies with faults drawn at random, and a table of how they ended.

Run `python -m tests.faults.campaign --replies 10000 --seed 1`. The same seed draws the same faults,
texts and cuts; where the network cuts beside these is its own. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gprochat_magic import config, conversations
from gprochat_magic.conversations import MEMORY
from gprochat_magic.store import Store
from tests.faults.drawn import FAULTS
from tests.faults.judging import Verdict, judged
from tests.faults.watching import Watch, watching

AT_ONCE = 40
"""Replies on their way at any time."""
ROUND = 250
"""Replies between two looks at what is left behind. Every fourth keeps them in a file: what that
costs is mostly waiting for the disk."""
STATES = ("complete", "unverified", "interrupted", "failed")


@dataclass
class Report:
    """What a campaign found."""

    seed: int
    verdicts: list[Verdict] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    told: int = 0
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (self.leaks or self.told or any(each.wrong for each in self.verdicts))

    def __str__(self) -> str:
        rows = [
            f"{'fault':34} injected " + "".join(f"{state:>12}" for state in STATES) + "   wrong"
        ]
        rows += [self._row(fault) for fault in FAULTS]
        rows.append(self._row(""))
        repeated = sum(verdict.repeated for verdict in self.verdicts)
        rows.append(
            f"repeated text {repeated}, leaks {len(self.leaks)}, secrets told {self.told}; "
            f"{len(self.verdicts)} replies in {self.seconds:.0f} s, seed {self.seed}"
        )
        wrong = [
            f"wrong: {verdict.name}, {verdict.fault}: {'; '.join(verdict.wrong)}"
            for verdict in self.verdicts
            if verdict.wrong
        ]
        return "\n".join(rows + wrong[:20] + [f"left: {leak}" for leak in self.leaks[:20]])

    def _row(self, fault: str) -> str:
        mine = [verdict for verdict in self.verdicts if fault in ("", verdict.fault)]
        states = Counter(verdict.state for verdict in mine)
        wrong = sum(bool(verdict.wrong) for verdict in mine)
        counts = "".join(f"{states[state]:12}" for state in STATES)
        return f"{fault or 'all':34} {len(mine):8} {counts}{wrong:12}"


async def campaign(replies: int, seed: int) -> Report:
    """So many replies, some at a time; the store is looked through after each round."""
    report, began = Report(seed), time.monotonic()
    with watching() as watch, tempfile.TemporaryDirectory() as folder:
        # What is imported and opened once and for all is no leak.
        await _round(Report(seed), range(-len(FAULTS), 0), MEMORY, Watch())
        await watch.settled({})
        before = watch.held()
        for start in range(0, replies, ROUND):
            store = MEMORY if start // ROUND % 4 else str(Path(folder) / f"{start}.sqlite")
            await _round(report, range(start, min(start + ROUND, replies)), store, watch)
            more = await watch.settled(before)
            report.leaks += [f"{count} {what} after {start}" for what, count in more.items()]
    report.leaks += watch.complaints
    report.told = watch.told + sum(verdict.told for verdict in report.verdicts)
    report.seconds = time.monotonic() - began
    return report


async def _round(report: Report, numbers: range, store: str, watch: Watch) -> None:
    todo, verdicts = iter(numbers), list[Verdict]()

    async def work() -> None:
        for number in todo:
            verdicts.append(await _one(report.seed, number, store))

    settings = config.Settings(store=store)
    config.put_in_force(settings)
    try:
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        with _reread(store, watch) as kept:
            for verdict in verdicts:
                verdict.check_kept(kept)
    finally:
        config.withdraw(settings)
    report.verdicts += verdicts


async def _one(seed: int, number: int, store: str) -> Verdict:
    dice = random.Random(f"{seed}/{number}")
    names = list(FAULTS)
    # The last stands for all combinations, so it gets a larger share.
    fault = names[number] if number < 0 else dice.choice([*names, *names[-1:] * (len(names) // 3)])
    return await judged(f"reply {number}", fault, FAULTS[fault](dice), dice, store)


@contextlib.contextmanager
def _reread(path: str, watch: Watch) -> Iterator[Store]:
    """What is in memory; or the file, opened anew once all is written and no secret is in it."""
    if path == MEMORY:
        yield conversations.shared().store
        return
    conversations.close()
    for file in Path(path).parent.iterdir():
        watch.look(file.read_bytes().decode("latin-1"))
    with contextlib.closing(Store(path)) as store:
        yield store


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign, print its table, and say with the exit status whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args(arguments)
    report = asyncio.run(campaign(given.replies, given.seed))
    sys.stdout.write(f"{report}\n")
    return int(not report.sound)


if __name__ == "__main__":
    sys.exit(main())
