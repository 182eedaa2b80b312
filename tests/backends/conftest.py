"""Scripted servers, without anybody's keys."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

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
