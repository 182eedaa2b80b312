"""A reply in a cell of a real kernel: its first text, its messages and bytes, its memory.

Run `python -m tests.benchmarks.cells`; it prints the figures and fails past its bounds. The model
is a server of its own, so the gateway in the kernel is part of what is measured.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.benchmarks.model import MARK, Model, serving
from tests.benchmarks.table import Row, told
from tests.benchmarks.watched import watched
from tests.kernels import Kernel, kernel

FIRST, MESSAGES, BYTES, MEMORY = 50.0, 25, 12.0, 20.0
"""Milliseconds; messages a second; bytes on the socket and bytes of memory for one of the reply."""
PARAGRAPH = (
    f"{MARK} sentence of some words, with *emphasis* and `code`, as replies have. "
    "Another one follows it, rather longer than the first, and says a little more.\n\n"
    "```python\nfor number in range(10):\n    print(number)\n```\n\n"
    "- one thing\n- another thing, with **weight**\n\n"
)

BARE = """
import json, time, aiohttp
from IPython.display import Markdown, display, update_display

async def bare(url):
    text, shown = "", display(Markdown(""), display_id=True)
    asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    async with aiohttp.ClientSession(read_bufsize=2**20) as session:
        async with session.post(url + "/chat/completions", json=asked) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    piece = json.loads(line[6:])["choices"][0]["delta"].get("content")
                    text += piece or ""
                    if piece:
                        shown.update(Markdown(text))
"""
"""What anybody would write: each chunk shows the whole text anew."""


def reply_of(size: int, piece: int) -> list[str]:
    """A reply of about so many bytes, in pieces of about so many."""
    text = (PARAGRAPH * (size // len(PARAGRAPH) + 1))[:size]
    return [text[at : at + piece] for at in range(0, size, piece)]


def first_text(k: Kernel, model: Model, rounds: int) -> Row:
    """The first text beyond the model's first piece, beside that of the bare loop."""
    model.pieces, model.pause = reply_of(400, 20), 0.01
    ours, bare = [], []
    for _ in range(rounds):
        bare.append(watched(k, model, f"await bare({model.url!r})").first * 1e3)
        ours.append(watched(k, model, "%gprochat --no-history hello").first * 1e3)
    return Row(
        "first text in a cell, beyond the model's",
        f"{median(ours):.1f} ms",
        f"{median(bare):.1f} ms",
        median(ours),
        " ms",
        at_most=FIRST,
    )


def traffic(k: Kernel, model: Model, *, size: int, seconds: float, bare: bool) -> list[Row]:
    """Messages and bytes of one reply."""
    model.pieces = reply_of(size, 20)
    model.pause = seconds / len(model.pieces)
    seen = watched(k, model, "%gprochat --no-history hello")
    other = watched(k, model, f"await bare({model.url!r})") if bare else None
    told_size = f"{size / 1000:.0f} kB in {seconds:g} s"
    return [
        Row(
            f"messages of a reply of {told_size}, most in a second",
            str(seen.messages),
            str(other.messages) if other else "-",
            seen.most,
            "/s",
            at_most=MESSAGES,
        ),
        Row(
            f"bytes of a reply of {told_size}",
            f"{seen.size / 1000:.0f} kB",
            f"{other.size / 1000:.0f} kB" if other else "-",
            seen.size / size,
            "x",
            at_most=BYTES,
        ),
    ]


class _Peak:
    """The most memory that a process holds, looked at again and again."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.before = self.bytes = self._process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.bytes = max(self.bytes, self._process.memory_info().rss)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        """By how much it grew at most."""
        return self.bytes - self.before


def memory(k: Kernel, model: Model, *, size: int, seconds: float) -> Row:
    """By how much the kernel grows at most while a reply of this size comes."""
    model.pieces = reply_of(size, 100)
    model.pause = seconds / len(model.pieces)
    k.run("import gc; gc.collect()")
    with _Peak(int(k.value("__import__('os').getpid()"))) as peak:
        watched(k, model, "%gprochat hello")
    return Row(
        f"memory while a reply of {size / 1e6:g} MB streams",
        f"{peak.grown / 1e6:.1f} MB",
        "-",
        peak.grown / size,
        "x",
        at_most=MEMORY,
    )


def rows(
    rounds: int = 15,
    *,
    short: int = 5_000,
    long: int = 100_000,
    huge: int = 1_000_000,
    seconds: float = 5.0,
) -> list[Row]:
    """Measure everything in one kernel. Sizes in bytes; `seconds` is how long a reply takes."""
    with (
        serving() as model,
        tempfile.TemporaryDirectory() as folder,
        kernel(**_environment(model, folder)) as k,
    ):
        k.run(BARE)
        for cell in ("%gprochat hello", f"await bare({model.url!r})"):
            watched(k, model, cell)
        return [
            first_text(k, model, rounds),
            *traffic(k, model, size=short, seconds=seconds / 2, bare=True),
            *traffic(k, model, size=long, seconds=seconds, bare=False),
            memory(k, model, size=huge, seconds=seconds),
        ]


def _environment(model: Model, folder: str) -> dict[str, Any]:
    # A history in memory would count as memory that the kernel grows by.
    store = str(Path(folder) / "history.sqlite")
    return {"GPROCHAT_BACKEND": f"{model.url}#m", "GPROCHAT_STORE": store}


def main(rounds: int = 15, **sizes: Any) -> int:
    """Measure, print, and say with the exit status whether the bounds hold."""
    return told(rows(rounds, **sizes))


if __name__ == "__main__":
    sys.exit(main())
