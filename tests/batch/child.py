"""A map in a process of its own, to be killed: 100 rows, then what came of them, as JSON."""

from __future__ import annotations

import json
import sys

from gprochat_magic import Chat

ROWS = 100
CONCURRENCY = 8


def main() -> None:
    """Run the map and print answers, failures and what was asked."""
    data = [f"row {number}" for number in range(ROWS)]
    answers = Chat().map("Say {item}", data, concurrency=CONCURRENCY, progress=False)
    counts = answers.counts
    found = {"answers": list(map(str, answers)), "asked": counts.asked, "cached": counts.cached}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
