"""A hundred thousand rows take hardly more memory than themselves and their answers."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import serving, whole
from tests.faults.servers import Connection

ROWS = 100_000
MOST = 200
"""Bytes a row."""


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.asyncio
async def test_memory_a_row(path: Path) -> None:
    """What is under way is a window over the rows, not a copy of them."""
    numbers = itertools.count()

    async def answer(connection: Connection) -> None:
        while True:
            await connection.request()
            connection.server.requests.clear()
            await connection.send(whole(f"answer {next(numbers)}"))

    async with serving(answer) as server:
        settings = {
            "GPROCHAT_API_ENDPOINT": f"http://127.0.0.1:{server.port}/api/generate",
            "GPROCHAT_SECRET_KEY": "x" * 32,
            "GPROCHAT_STORE": str(path),
        }
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.batch.large", str(ROWS)),
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
        )
        said, _ = await child.communicate()

    assert child.returncode == 0
    assert float(said) < MOST
