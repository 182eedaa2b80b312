"""A large map in a process of its own: prints by how many bytes a row its memory grew at most."""

from __future__ import annotations

import gc
import sys
import threading

import psutil

from gprochat_magic import Chat


class Peak:
    """The most memory that this process holds, looked at again and again."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.bytes = max(self.bytes, self.process.memory_info().rss)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


def main(rows: int) -> None:
    """Warm up with some rows, then measure with as many as told."""
    warm = [f"warm {number}" for number in range(3_000)]
    Chat().map("Rate {item}", warm, concurrency=50, progress=False)
    data = [f"review {number}" for number in range(rows)]
    gc.collect()
    before = psutil.Process().memory_info().rss
    with Peak() as peak:
        answers = Chat().map("Rate {item}", data, concurrency=50, progress=False)
    outputs = sys.getsizeof(answers) + sum(map(sys.getsizeof, answers))
    assert len(answers) == rows
    assert answers.failed == []
    sys.stdout.write(f"{(peak.bytes - before - outputs) / rows:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
