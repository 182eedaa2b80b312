"""any-llm, the real one, in front of a scripted server."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from typing import Any

import pytest

from gprochat_magic.config import Secret
from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.gateway.backends.anyllm import AnyLLM
from tests.backends.scripted import DONE, HOLD, Scripted, event, head, hear, whole

pytestmark = pytest.mark.asyncio

needed = pytest.mark.skipif(
    importlib.util.find_spec("any_llm") is None, reason="any-llm-sdk is not installed"
)


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    """A chunk with every key that the library insists on."""
    keys = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**keys, "choices": choices, **more})


def says(text: str) -> bytes:
    """A chunk that adds a text."""
    return chunk({"index": 0, "delta": {"content": text}, "finish_reason": None})


USAGE = chunk(usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7})


@pytest.fixture
def backend(server: Scripted) -> AnyLLM:
    """The server as any-llm sees it: one that speaks as OpenAI does."""
    return AnyLLM("openai", "m", key=Secret("sk-secret"), base_url=server.url)


@needed
async def test_a_reply(server: Scripted, backend: AnyLLM) -> None:
    """Piece by piece, with its usage."""
    server.script = [head(), says("Hel"), says("lo"), USAGE, DONE]
    heard = await hear(backend, model="", max_tokens=3)

    assert ["Hel", "lo"] == heard.pieces
    assert heard.usage is not None
    assert (5, 2) == (heard.usage.sent, heard.usage.received)
    assert "m" == server.asked[0].body["model"]


@needed
async def test_an_error_keeps_its_status_and_words(server: Scripted, backend: AnyLLM) -> None:
    """Without the key."""
    words = json.dumps({"error": {"message": "no model for sk-secret"}}).encode()
    server.script = [whole("404 Not Found", words)]
    with pytest.raises(BackendError, match=r"no model for \*\*\*\*") as caught:
        await hear(backend)

    assert 404 == caught.value.status


@needed
async def test_a_limit_is_told_and_not_waited_for(server: Scripted, backend: AnyLLM) -> None:
    """The client asks again, where it is worth it; the library does not do so on its own."""
    server.script = [whole("429 Slow", b'{"error": {"message": "slow down"}}', Retry_After="7")]
    with pytest.raises(BackendError, match="slow down") as caught:
        await hear(backend)

    assert (429, 7.0) == (caught.value.status, caught.value.retry_after)
    assert 1 == len(server.asked)


@needed
async def test_F114_a_reader_that_leaves_closes_the_connection(
    server: Scripted, backend: AnyLLM
) -> None:
    """Although an abandoned stream of the library would go on."""
    server.script = [head(), says("x"), HOLD]
    reply = backend.reply([{"role": "user", "content": "x"}], {})
    await anext(reply)
    await reply.aclose()

    await asyncio.wait_for(server.closed.wait(), 1)


async def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, and the error says how to get it."""
    monkeypatch.setitem(sys.modules, "any_llm", None)
    with pytest.raises(BackendError, match=r"gprochat-magic\[any-llm\]"):
        await hear(AnyLLM("anthropic", "claude"))


async def test_a_model_is_needed() -> None:
    """Said before anything is imported."""
    with pytest.raises(BackendError, match="name a model of anthropic"):
        await hear(AnyLLM("anthropic"), model="")
