"""A gateway of the test's own, and a file for what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gprochat_magic import Chat, conversations
from tests.batch.scripted import Far, scripted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def far(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """A gateway that this process talks to, with a file of its own for what is kept."""
    with scripted() as gateway:
        for name, value in {**gateway.environment, "GPROCHAT_STORE": str(path)}.items():
            monkeypatch.setenv(name, value)
        yield gateway
        conversations.close()


@pytest.fixture
def chat(far: Far) -> Chat:
    return Chat()
