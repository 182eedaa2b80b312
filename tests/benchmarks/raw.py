"""A raw server in a process of its own: what it costs is not counted with what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

from tests.faults import Script, serving


def _serve(script: Script, pipe: Connection) -> None:
    async def until_told() -> None:
        async with serving(script) as server:
            pipe.send(server.port)
            await asyncio.to_thread(pipe.poll, None)

    # The pipe closes when the other side has gone.
    asyncio.run(until_told())


@contextlib.contextmanager
def apart(script: Script) -> Iterator[str]:
    """The address of a server in another process; each connection runs the script."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(script, theirs), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{mine.recv()}/api/generate"
    finally:
        server.kill()
        server.join()
