"""Scripted servers, without anybody's keys."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest
import pytest_asyncio

from gprochat_magic.gateway.backends.openai_compatible import OpenAICompatible, by_url
from tests.backends.scripted import Scripted, serving

KEYS = ("OPENAI", "OLLAMA", "LMSTUDIO", "LLAMA", "VLLM", "GEMINI", "GOOGLE")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of whoever runs the tests, and no keyring."""
    for name in KEYS:
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
        monkeypatch.delenv(f"{name}_BASE_URL", raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server whose script the test writes."""
    async with serving(Scripted()) as scripted:
        yield scripted


@pytest.fixture
def backend(server: Scripted) -> OpenAICompatible:
    """The backend in front of the server."""
    return by_url(server.url)


def need(*packages: str) -> None:
    """Skip where a package is not installed; under CI, fail."""
    missing = [name for name in packages if not importlib.util.find_spec(name)]
    if missing:
        refuse(f"this needs {' and '.join(missing)}")


def refuse(reason: str) -> NoReturn:
    """Skip for a reason; under CI, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running engine, with one thread and four slots."""
    need("xllamacpp", "gguf")
    from tests.backends import model

    folder = tmp_path_factory.mktemp("engine")
    model.write(folder / "words.gguf")
    script = Path(__file__).with_name("engine_process.py")
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, script, folder / "words.gguf"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), (folder / "log").read_text()
        yield address
        process.communicate()


@pytest_asyncio.fixture
async def slots(engine: str) -> AsyncIterator[Slots]:
    """The engine's own view of its work."""
    async with aiohttp.ClientSession() as session:
        yield Slots(session, f"{engine}/slots")


class Slots:
    """How many of the engine's slots are at work."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def busy(self) -> int:
        """How many are at work now."""
        async with self._session.get(self._url) as response:
            return sum(slot["is_processing"] for slot in await response.json())

    async def all_free(self, seconds: float) -> bool:
        """Whether none is at work within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while await self.busy():  # noqa: ASYNC110  # another process tells no events
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        return True
