"""An independent fake of the providers' protocols, aimock, which was written without us in mind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from gprochat_magic.config import Secret
from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.gateway.backends.gemini import Gemini
from gprochat_magic.gateway.backends.openai_compatible import OpenAICompatible, by_url
from tests.backends.scripted import hear

pytestmark = [pytest.mark.engine, pytest.mark.asyncio]

PROGRAM = "llmock"
FIXTURES = [
    {
        "match": {"userMessage": "emoji"},
        "chunkSize": 1,
        "response": {"content": "a😀b ж"},
    },
    {
        "match": {"userMessage": "limit"},
        "response": {"error": {"message": "slow down"}, "status": 429, "retryAfter": 7},
    },
    {
        "match": {"userMessage": "cut"},
        "chunkSize": 5,
        "truncateAfterChunks": 3,
        "response": {"content": "one two three four five six seven"},
    },
    {
        "match": {"userMessage": "slow"},
        "chunkSize": 1,
        "latency": 100,
        "response": {"content": "a text of many pieces that takes seconds to arrive" * 2},
    },
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello there, how are you?"}},
]


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running fake."""
    program = shutil.which(PROGRAM)
    if program is None:
        reason = f"no {PROGRAM} on the path: npm install --global @copilotkit/aimock"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    command = [program, "--port", "0", "--fixtures", fixtures, "--strict", "--log-level", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = (re.search(r"listening on (\S+)", line) for line in process.stdout)
        yield next(filter(None, found)).group(1)
        process.terminate()
        process.communicate()


@pytest.fixture
def backend(aimock: str) -> OpenAICompatible:
    """Chat completions in front of it."""
    return by_url(f"{aimock}/v1")


@pytest.fixture
def gemini(aimock: str) -> Gemini:
    """Google's API in front of it."""
    return Gemini("gemini-2.0-flash", key=Secret("any"), base_url=f"{aimock}/v1beta")


@pytest.mark.parametrize("prompt", ["hello", "emoji"])
async def test_a_reply(prompt: str, backend: OpenAICompatible, gemini: Gemini) -> None:
    """Whole and counted, from both, also where characters are cut in two."""
    expected = {"hello": "Hello there, how are you?", "emoji": "a😀b ж"}[prompt]
    heard = await hear(backend, prompt), await hear(gemini, prompt, model="")

    assert [expected, expected] == [one.text for one in heard]
    assert all(len(one.pieces) > 1 and one.usage is not None for one in heard)


async def test_a_limit(backend: OpenAICompatible, gemini: Gemini) -> None:
    """Its status, its words and its wait are told."""
    for one in (backend, gemini):
        with pytest.raises(BackendError, match="slow down") as caught:
            await hear(one, "limit", model="gemini-2.0-flash")

        assert 429 == caught.value.status
        assert caught.value.retry_after in (7.0, None if one is gemini else 7.0)


async def test_a_reply_that_breaks_off(backend: OpenAICompatible, gemini: Gemini) -> None:
    """It is no reply, from neither."""
    for one in (backend, gemini):
        with pytest.raises(BackendError, match=r"broke off|hung up"):
            await hear(one, "cut", model="gemini-2.0-flash")


async def test_nothing_to_say(backend: OpenAICompatible) -> None:
    """Its words come through."""
    with pytest.raises(BackendError, match="no fixture matched"):
        await hear(backend, "unknown")


async def test_models(backend: OpenAICompatible) -> None:
    """Those that it lists."""
    assert "gpt-4o" in await backend.models()


async def test_F114_a_reader_that_leaves_is_noticed(
    aimock: str, backend: OpenAICompatible, no_leaks: None
) -> None:
    """On its side of the connection, long before the reply's end."""
    reply = backend.reply([{"role": "user", "content": "slow"}], {"model": "gpt-4o"})
    await anext(reply)
    before = _connections(aimock)
    await reply.aclose()

    assert 1 == before
    async with asyncio.timeout(1):
        while _connections(aimock):  # noqa: ASYNC110  # another process tells no events
            await asyncio.sleep(0.02)


def _connections(address: str) -> int:
    """How many connections are open on the side of the fake."""
    port = urlsplit(address).port
    return sum(
        connection.laddr.port == port and connection.status == psutil.CONN_ESTABLISHED
        for connection in psutil.net_connections("tcp")
    )
