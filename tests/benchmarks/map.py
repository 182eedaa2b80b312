"""Rows a second of a map, against a bare aiohttp loop with a semaphore, on one server.

Run `python -m tests.benchmarks.map`; it prints the figures and fails past its bound.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import aiohttp

from tests.faults import serving
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


def serve(pipe: Connection) -> None:
    """A server in a process of its own, until the pipe closes."""

    async def until_told() -> None:
        async with serving(answer) as server:
            pipe.send(server.port)
            await asyncio.to_thread(pipe.poll, None)

    asyncio.run(until_told())


async def bare(url: str) -> float:
    """Rows a second of the loop that anybody would write."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def ask(session: aiohttp.ClientSession, row: str) -> str:
        async with gate, session.post(url, data=row) as response:
            return await response.text()

    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        answers = await asyncio.gather(*(ask(session, f"Rate review {n}") for n in range(ROWS)))
    assert answers == ["positive"] * ROWS
    return ROWS / (time.perf_counter() - began)


def ours(number: int) -> float:
    """Rows a second of a map into a file, none of which was answered before."""
    from gprochat_magic import Chat

    reviews = [f"{number}-{n}" for n in range(ROWS)]
    began = time.perf_counter()
    answers = Chat().map("Rate review {item}", reviews, concurrency=CONCURRENCY, progress=False)
    assert answers == ["positive"] * ROWS
    return ROWS / (time.perf_counter() - began)


def main(rounds: int = 5) -> int:
    """Measure in turn, print, and say with the exit status whether the bound holds."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{mine.recv()}/api/generate"
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "GPROCHAT_API_ENDPOINT": url,
            "GPROCHAT_SECRET_KEY": "x" * 32,
            "GPROCHAT_STORE": str(Path(folder) / "map.sqlite"),
        }
        ours(-1)  # imports, the engine, the file
        pairs = [(asyncio.run(bare(url)), ours(number)) for number in range(rounds)]
    server.kill()
    plain, mapped = (median(rates) for rates in zip(*pairs, strict=True))
    ratio = median(mine / plain for plain, mine in pairs)
    sys.stdout.write(
        f"{ROWS} rows at {SECONDS * 1000:.0f} ms, {CONCURRENCY} at a time: "
        f"bare {plain:.0f} rows/s, map {mapped:.0f} rows/s, {ratio:.2f}\n"
    )
    return int(ratio < RATIO)


if __name__ == "__main__":
    sys.exit(main())
