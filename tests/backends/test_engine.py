"""A real engine: llama.cpp on loopback, with a model file that is written here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gprochat_magic import gateway
from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.gateway.backends.openai_compatible import OpenAICompatible, by_url
from gprochat_magic.provider import GPROChat
from tests.backends.conftest import Slots
from tests.backends.scripted import hear

pytestmark = [pytest.mark.engine, pytest.mark.asyncio]

ENDLESS = {"temperature": 0, "max_tokens": 16_000}
"""Without chance the model goes on for ever; this many tokens take it seconds."""


@pytest.fixture
def backend(engine: str) -> OpenAICompatible:
    """The backend in front of the engine, which has one model only."""
    return by_url(f"{engine}/v1")


async def test_a_reply_is_made_of_words_of_the_model(backend: OpenAICompatible) -> None:
    """It ends by itself or at its limit, and is counted."""
    heard = await hear(backend, model="", seed=3, max_tokens=40)

    assert set(heard.text.replace(".", " .").split()) & {"The", "A", "In", "So"}
    assert len(heard.pieces) > 1
    assert heard.usage is not None
    assert 0 < heard.usage.received <= 40


async def test_four_at_once(backend: OpenAICompatible) -> None:
    """Each gets a whole reply of its own."""
    asked = [hear(backend, model="words", seed=n, max_tokens=100) for n in range(4)]
    heard = await asyncio.gather(*asked)

    assert 4 == len({one.text for one in heard})
    assert all(one.usage is not None and one.usage.received > 1 for one in heard)


async def test_a_seed_repeats_its_reply(backend: OpenAICompatible) -> None:
    """And another one gives another."""
    texts = [(await hear(backend, model="w", seed=n, max_tokens=60)).text for n in (7, 7, 8)]

    assert texts[0] == texts[1] != texts[2]


async def test_options_reach_the_engine(backend: OpenAICompatible) -> None:
    """A text to stop at is left out, as is all behind it."""
    greedy = await hear(backend, model="w", temperature=0, max_tokens=30)
    word = greedy.text.split()[3]
    stopped = await hear(backend, model="w", temperature=0, max_tokens=30, stop=word)

    assert greedy.text.startswith(stopped.text)
    assert word not in stopped.text


async def test_models_are_those_of_the_engine(backend: OpenAICompatible) -> None:
    """It has the one file that it was started with."""
    (only,) = await backend.models()

    assert only.endswith("words.gguf")


@pytest.mark.parametrize("way", ["close", "cancel"])
async def test_F114_leaving_frees_the_slot(
    way: str, backend: OpenAICompatible, slots: Slots
) -> None:
    """Within a second of a reader that closes the reply, or whose task is cancelled."""
    reply = backend.reply([{"role": "user", "content": "go on"}], {"model": "w", **ENDLESS})
    await anext(reply)
    busy = await slots.busy()
    if way == "close":
        await reply.aclose()
    else:
        task = asyncio.create_task(_rest(reply))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert 1 == busy
    assert await slots.all_free(within := 1), within


async def test_F114_a_client_of_the_gateway_that_leaves_frees_the_slot(
    backend: OpenAICompatible, slots: Slots
) -> None:
    """From the client through the gateway to the engine."""
    served = await gateway.start(backend=backend, unix=False)
    try:
        reply = GPROChat.create_async_generator(
            "words",
            [{"role": "user", "content": "go on"}],
            api_endpoint=served.endpoint,
            secret_key=served.secret.reveal(),
            wire="turns",
            **ENDLESS,
        )
        first = await anext(reply)
        busy = await slots.busy()
        await reply.aclose()

        assert first
        assert 1 == busy
        assert await slots.all_free(within := 1), within
    finally:
        await served.close()


async def test_the_engines_own_words_are_told(backend: OpenAICompatible) -> None:
    """It refuses a prompt that is longer than its context, and says so."""
    with pytest.raises(BackendError, match="context") as caught:
        await hear(backend, "river " * 20_000, model="w")

    assert 400 == caught.value.status


async def _rest(reply: Any) -> None:
    async for _ in reply:
        pass
