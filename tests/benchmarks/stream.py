"""A reply of 20,000 small chunks through provider and engine, against a bare aiohttp loop.

Run `python -m tests.benchmarks.stream`; it prints the figures and fails past its bound.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import AsyncGenerator, Callable
from statistics import median

import aiohttp

from gprochat_magic import GPROChat, engine
from gprochat_magic.messages import Messages
from tests.benchmarks.raw import apart
from tests.benchmarks.table import Row, in_turn, told
from tests.faults import CHUNKED, END, Script, chunk, head
from tests.faults.servers import Connection

CHUNKS = 20_000
RATIO = 0.5
"""Of the chunks a second of the bare loop, at least."""
TEXT = "token "


async def flood(connection: Connection, *, chunks: int) -> None:
    """Answer one request with chunks as fast as they are taken."""
    await connection.request()
    await connection.send(head(CHUNKED))
    for _ in range(chunks):
        await connection.send(chunk(TEXT))
        await asyncio.sleep(0)  # each in a packet of its own, as a model's words come
    await connection.send(END)


async def _bare(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.post(url, data=b"{}") as response:
        return "".join([data.decode() async for data in response.content.iter_any()])


def _ours(url: str) -> str:
    asked: Messages = [{"role": "user", "content": "hello"}]

    def source(emit: object) -> AsyncGenerator[str]:
        return GPROChat.create_async_generator(  # type: ignore[return-value]
            "", asked, api_endpoint=url, secret_key="x" * 32
        )

    return "".join(engine.shared().stream(source))


class _Taken:
    """Takes replies and keeps the CPU time of each, that of all threads."""

    def __init__(self, take: Callable[[], str], chunks: int) -> None:
        self._take, self._chunks = take, chunks
        self.cpu: list[float] = []

    def rate(self) -> float:
        """Chunks a second of one reply."""
        cpu, began = time.process_time(), time.perf_counter()
        text = self._take()
        elapsed = time.perf_counter() - began
        self.cpu.append((time.process_time() - cpu) * 1e6 / self._chunks)
        assert text == TEXT * self._chunks
        return self._chunks / elapsed


def rows(rounds: int = 9, chunks: int = CHUNKS) -> list[Row]:
    """Measure in turn, on one server."""
    script: Script = functools.partial(flood, chunks=chunks)
    with apart(script) as url:
        mine = _Taken(lambda: _ours(url), chunks)
        bare = _Taken(lambda: asyncio.run(_bare(url)), chunks)
        mine.rate()  # the engine starts
        ours, plain, ratio = in_turn(mine.rate, bare.rate, rounds=rounds)
    costs = median(mine.cpu[1:]), median(bare.cpu)
    return [
        Row(
            f"{chunks:,} chunks through provider and engine, a second",
            f"{ours:,.0f}",
            f"{plain:,.0f}",
            ratio,
            at_least=RATIO,
        ),
        Row(
            "CPU for a thousand chunks",
            f"{costs[0]:.1f} ms",
            f"{costs[1]:.1f} ms",
            costs[0] / costs[1],
        ),
    ]


def main(rounds: int = 9, chunks: int = CHUNKS) -> int:
    """Measure, print, and say with the exit status whether the bound holds."""
    return told(rows(rounds, chunks))


if __name__ == "__main__":
    sys.exit(main())
