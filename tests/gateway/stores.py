"""A real Valkey or Redis of the tests' own, on a socket in a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 20


class Store:
    """A running server, and its address for `--redis`."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self.process = process
        self.url = f"unix://{path}"

    def stop(self) -> None:
        """End it, as a machine that goes down does."""
        self.process.kill()
        self.process.wait(PATIENCE)


def command() -> str:
    """Where the server is. Without one the tests are skipped, but not where they must run."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is neither Valkey nor Redis, and these tests must run here")
    return found or pytest.skip("there is neither Valkey nor Redis")


@contextlib.contextmanager
def storing() -> Iterator[Store]:
    """A server that keeps nothing on disk."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder, "s")
        quiet = ("--save", "", "--appendonly", "no", "--loglevel", "warning")
        process = subprocess.Popen(
            [command(), "--port", "0", "--unixsocket", str(path), "--dir", folder, *quiet],
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            yield Store(process, path)
        finally:
            process.kill()
            process.wait(PATIENCE)
