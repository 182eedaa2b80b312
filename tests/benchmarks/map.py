"""Rows a second of a map, against a bare aiohttp loop with a semaphore, on one server.

Run `python -m tests.benchmarks.map`; it prints the figures and fails past its bound.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import aiohttp

from gprochat_magic import Chat, conversations
from tests.benchmarks.raw import apart
from tests.benchmarks.table import Row, in_turn, told
from tests.faults.servers import Connection as Heard

ROWS, CONCURRENCY, SECONDS = 1_000, 50, 0.1
RATIO = 0.8
"""Rows a second of a map, at least, in those of the bare loop."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npositive"


async def answer(connection: Heard) -> None:
    """Answer each request of a connection after a while."""
    while True:
        await connection.request()
        await asyncio.sleep(SECONDS)
        await connection.send(ANSWER)


async def bare(url: str, count: int = ROWS) -> float:
    """Rows a second of the loop that anybody would write."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def ask(session: aiohttp.ClientSession, row: str) -> str:
        async with gate, session.post(url, data=row) as response:
            return await response.text()

    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        answers = await asyncio.gather(*(ask(session, f"Rate review {n}") for n in range(count)))
    assert answers == ["positive"] * count
    return count / (time.perf_counter() - began)


def ours(number: int, count: int = ROWS) -> float:
    """Rows a second of a map into a file, none of which was answered before."""
    reviews = [f"{number}-{n}" for n in range(count)]
    began = time.perf_counter()
    answers = Chat().map("Rate review {item}", reviews, concurrency=CONCURRENCY, progress=False)
    assert answers == ["positive"] * count
    return count / (time.perf_counter() - began)


def rows(rounds: int = 5, count: int = ROWS) -> list[Row]:
    """Measure in turn, on one server."""
    numbers = itertools.count()
    with apart(answer) as url, tempfile.TemporaryDirectory() as folder:
        settings = {
            "GPROCHAT_API_ENDPOINT": url,
            "GPROCHAT_SECRET_KEY": "x" * 32,
            "GPROCHAT_STORE": str(Path(folder) / "map.sqlite"),
        }
        with mock.patch.dict(os.environ, settings):
            ours(next(numbers), count)  # imports, the engine, the file
            mapped, plain, ratio = in_turn(
                lambda: ours(next(numbers), count),
                lambda: asyncio.run(bare(url, count)),
                rounds=rounds,
            )
            conversations.close()
    return [
        Row(
            f"map, {count:,} rows at {SECONDS * 1000:.0f} ms, {CONCURRENCY} at a time, a second",
            f"{mapped:.0f} rows",
            f"{plain:.0f} rows",
            ratio,
            at_least=RATIO,
        )
    ]


def main(rounds: int = 5, count: int = ROWS) -> int:
    """Measure, print, and say with the exit status whether the bound holds."""
    return told(rows(rounds, count))


if __name__ == "__main__":
    sys.exit(main())
