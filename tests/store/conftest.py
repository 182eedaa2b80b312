"""Stores that end with their test, and other kernels as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gprochat_magic.store import Store
from tests.store.histories import ROOT, Children, Stores, write_old_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a history file may be made."""
    return tmp_path / "data" / "history.sqlite"


@pytest.fixture
def open_store(path: Path) -> Iterator[Stores]:
    """Opens stores, closes them, and sees that their threads are gone."""
    stores: list[Store] = []
    before = set(threading.enumerate())

    def open_one(where: Path | str = path, **options: object) -> Store:
        stores.append(Store(where, **options))  # type: ignore[arg-type]
        return stores[-1]

    yield open_one
    for store in stores:
        store.close(0.5)
    left = set(threading.enumerate()) - before
    assert [each for each in left if each.name == "gprochat-store"] == []


@pytest.fixture
def child() -> Iterator[Children]:
    """Starts programs of child.py and ends those that are left."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py")), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def old_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the first schema with 3,000 turns."""
    return write_old_file(tmp_path_factory.mktemp("old") / "history.sqlite", 3000)
