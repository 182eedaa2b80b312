"""Google's streaming API: what is sent, what comes back, and what its filters say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.gateway.backends.gemini import BASE_URL, Gemini, by_name
from tests.backends.scripted import HOLD, Scripted, event, head, hear, hear_to, whole
from tests.conftest import Mocked

pytestmark = pytest.mark.asyncio


@pytest.fixture
def backend(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> Gemini:
    """The backend in front of the scripted server, with a key."""
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-secret")
    return Gemini(base_url=server.url)


def says(text: str | None = None, **more: Any) -> bytes:
    """An event whose candidate says this."""
    content = {"content": {"role": "model", "parts": [{"text": text}]}} if text else {}
    return event({"candidates": [{**content, **more}]})


END = says(finishReason="STOP")


async def fails(backend: Gemini, **options: Any) -> BackendError:
    """The error that a reply ends with."""
    with pytest.raises(BackendError) as caught:
        await hear(backend, **options)
    return caught.value


async def test_a_reply_streams_with_its_usage(server: Scripted, backend: Gemini) -> None:
    """Piece by piece; the last count is the whole one, and thoughts are paid for too."""
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 1}
    last = counts | {"candidatesTokenCount": 4, "thoughtsTokenCount": 3}
    server.script = [head(), says("Hel"), event({"usageMetadata": counts}), says("lo")]
    server.script += [event({"usageMetadata": last}), END]
    heard = await hear(backend)

    assert ["Hel", "lo"] == heard.pieces
    assert heard.usage is not None
    assert (5, 7) == (heard.usage.sent, heard.usage.received)


async def test_it_says_which_model_speaks(server: Scripted, backend: Gemini) -> None:
    """By the version that answers, which a name without one leaves open."""
    said = {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "modelVersion": "m-002"}
    server.script = [head(), event(said), END]

    assert "m-002" == (await hear(backend)).speaker


async def test_turns_options_and_images_are_sent(server: Scripted, backend: Gemini) -> None:
    """In Google's own words, with the key in a header and nowhere else."""
    server.script = [head(), says("ok"), END]
    image = {"inline_data": {"mime_type": "image/png", "data": "aGk="}}
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"text": "what?"}, image]},
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": "sure?"},
    ]
    options = {"temperature": 0.5, "max_tokens": 9, "top_p": 1, "stop": ["END"], "seed": 3}
    await hear_to(turns, backend, options | {"model": "gemini-1.5-pro"})
    asked = server.asked[0]

    path = "/v1/models/gemini-1.5-pro:streamGenerateContent?alt=sse"
    assert f"POST {path} HTTP/1.1" == asked.line
    assert "AIza-secret" == asked.headers["x-goog-api-key"]
    assert {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "what?"},
                    {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
                ],
            },
            {"role": "model", "parts": [{"text": "a cat"}]},
            {"role": "user", "parts": [{"text": "sure?"}]},
        ],
        "generationConfig": {
            "temperature": 0.5,
            "maxOutputTokens": 9,
            "topP": 1,
            "stopSequences": ["END"],
            "seed": 3,
        },
    } == asked.body


async def test_thoughts_are_no_part_of_a_reply(server: Scripted, backend: Gemini) -> None:
    """Nor are parts without text."""
    parts = [{"text": "hm", "thought": True}, {"functionCall": {}}, {"text": "fine"}]
    server.script = [head(), event({"candidates": [{"content": {"parts": parts}}]}), END]

    assert "fine" == (await hear(backend)).text


REFUSALS = {
    "the prompt": (
        [
            event(
                {
                    "promptFeedback": {
                        "blockReason": "SAFETY",
                        "safetyRatings": [
                            {"category": "HARM_CATEGORY_HATE_SPEECH", "blocked": True},
                            {"category": "HARM_CATEGORY_HARASSMENT"},
                        ],
                    }
                }
            )
        ],
        r"refused the prompt: SAFETY \(hate speech\)",
    ),
    "the reply": (
        [says("par"), says("t", finishReason="SAFETY")],
        "stopped the reply: SAFETY",
    ),
    "with words": (
        [says(finishReason="RECITATION", finishMessage="from a book")],
        r"stopped the reply: RECITATION \(from a book\)",
    ),
    "nonsense": ([says(finishReason=["STOP"])], r"stopped the reply: \['STOP'\]"),
    "no words left": ([says(finishReason="MAX_TOKENS")], "max_tokens"),
}


@pytest.mark.parametrize("way", REFUSALS)
async def test_a_refusal_says_why(way: str, server: Scripted, backend: Gemini) -> None:
    """Google's reason, and the categories that it was blocked for."""
    events, words = REFUSALS[way]
    server.script = [head(), *events]
    with pytest.raises(BackendError, match=words) as caught:
        await hear(backend)

    assert 422 == caught.value.status


async def test_a_reply_that_breaks_off(server: Scripted, backend: Gemini) -> None:
    """Without a reason to finish the end of a connection is no end."""
    server.script = [head(), says("part")]

    assert "broke off" in (await fails(backend)).message


async def test_a_limit_tells_when_to_come_again(server: Scripted, backend: Gemini) -> None:
    """Google puts the wait into the details of an error, which may be a list's."""
    details = [{"@type": "x/QuotaFailure"}, {"@type": "x/RetryInfo", "retryDelay": "34.5s"}]
    error = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}
    server.script = [whole("429 Slow", json.dumps([{"error": error}]).encode())]
    caught = await fails(backend)

    assert (429, 34.5) == (caught.status, caught.retry_after)
    assert "quota" in caught.message


async def test_an_error_amid_a_stream_keeps_its_code(server: Scripted, backend: Gemini) -> None:
    """What Google calls unavailable is 503 for us too."""
    server.script = [head(), event({"error": {"code": 503, "message": "overloaded"}})]
    caught = await fails(backend)

    assert (503, "overloaded") == (caught.status, caught.message.rpartition(": ")[2])


@pytest.mark.parametrize("model", ["../files", "a/b", "x?key=1", "x:y", "мир", "m%2f"])
async def test_a_model_cannot_lead_elsewhere(model: str, server: Scripted, backend: Gemini) -> None:
    """It is part of a path, so only names of models are taken."""
    caught = await fails(backend, model=model)

    assert 400 == caught.status
    assert [] == server.asked


async def test_no_model_at_all(backend: Gemini) -> None:
    """There are too many to choose one."""
    assert "name a model" in (await fails(backend, model="")).message


async def test_a_missing_key_is_said_before_anything_is_sent(server: Scripted) -> None:
    """With the variable that it is looked for in."""
    caught = await fails(Gemini(base_url=server.url))

    assert 401 == caught.status
    assert "wants a key; none is in GEMINI_API_KEY" in caught.message
    assert [] == server.asked


async def test_models_are_those_that_answer_prompts(server: Scripted, backend: Gemini) -> None:
    """Without those that only embed."""
    listed = {
        "models": [
            {"name": "models/a", "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/b", "supportedGenerationMethods": ["embedContent"]},
            {"name": "models/c", "supportedGenerationMethods": 1},
        ]
    }
    server.lists = [whole("200 OK", json.dumps(listed).encode())]

    assert ["a"] == await backend.models()


async def test_F114_a_reader_that_leaves_closes_the_connection(
    server: Scripted, backend: Gemini, no_leaks: None
) -> None:
    """At once, so that nothing more is generated or paid for."""
    server.script = [head(), says("x"), HOLD]
    reply = backend.reply([{"role": "user", "content": "x"}], {"model": "m"})
    await anext(reply)
    await reply.aclose()

    await server.closed.wait()


async def test_google_is_asked_at_its_address(
    mocked: Mocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the other variable's key where the first is not set."""
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-other")
    url = f"{BASE_URL}/models/gemini-x:streamGenerateContent?alt=sse"
    mocked.post(url, body=says("fine") + END, content_type="text/event-stream")
    heard = await hear(by_name("gemini", "gemini-x"), model="")
    (call,) = next(iter(mocked.requests.values()))

    assert "fine" == heard.text
    assert "AIza-other" == call.kwargs["headers"]["x-goog-api-key"]
