"""Chat completions: what is sent, the dialects that come back, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from multidict import CIMultiDict

from gprochat_magic import body
from gprochat_magic.gateway.backends import BackendError, Speaker, Usage
from gprochat_magic.gateway.backends.openai_compatible import (
    OpenAICompatible,
    Provider,
    by_name,
    by_url,
)
from gprochat_magic.gateway.backends.upstream import Patience
from gprochat_magic.messages import Messages
from tests.backends.scripted import (
    DONE,
    HOLD,
    Scripted,
    delta,
    event,
    head,
    hear,
    hear_to,
    whole,
)
from tests.conftest import Mocked

pytestmark = pytest.mark.asyncio

USAGE = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
STOP = event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
MODELS = [whole("200 OK", json.dumps({"data": [{"id": "one"}]}).encode())]


async def fails(backend: OpenAICompatible, **options: Any) -> BackendError:
    """The error that a reply ends with."""
    with pytest.raises(BackendError) as caught:
        await hear(backend, **options)
    return caught.value


async def test_a_reply_streams_with_its_usage(server: Scripted, backend: OpenAICompatible) -> None:
    """Piece by piece, as the server sent it."""
    server.script = [head(), delta("Hel"), delta("lo"), STOP, USAGE, DONE]
    heard = await hear(backend)

    assert ["Hel", "lo"] == heard.pieces
    assert heard.usage is not None
    assert (5, 2) == (heard.usage.sent, heard.usage.received)


async def test_turns_options_and_system_prompt_are_sent(
    server: Scripted, backend: OpenAICompatible
) -> None:
    """Each turn keeps its role, and each option its value; those that are None are left out."""
    server.script = [head(), delta("yes"), DONE]
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"text": "one "}, {"text": "two"}]},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "three"},
    ]
    options = {"temperature": 0, "max_tokens": 9, "top_p": 0.5, "stop": "END", "seed": None}
    await hear_to(turns, backend, options)
    sent = server.asked[0].body

    assert "POST /v1/chat/completions HTTP/1.1" == server.asked[0].line
    assert "authorization" not in server.asked[0].headers
    assert [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "three"},
    ] == sent.pop("messages")
    assert {
        "model": "m",
        "temperature": 0,
        "max_tokens": 9,
        "top_p": 0.5,
        "stop": ["END"],
        "stream": True,
        "stream_options": {"include_usage": True},
    } == sent


async def test_images_are_sent_as_parts(server: Scripted, backend: OpenAICompatible) -> None:
    """Inline data becomes a data URL beside the text."""
    server.script = [head(), delta("a cat"), DONE]
    image = {"inline_data": {"mime_type": "image/png", "data": "aGk="}}
    await hear_to([{"role": "user", "content": [{"text": "what?"}, image]}], backend)

    assert [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ] == server.asked[0].body["messages"][0]["content"]


async def test_a_large_request_arrives_whole(server: Scripted, backend: OpenAICompatible) -> None:
    """Several megabytes, as an image has them."""
    server.script = [head(), delta("seen"), DONE]
    await hear(backend, "ж" * 2_000_000)

    assert "ж" * 2_000_000 == server.asked[0].body["messages"][0]["content"]


def adds(**given: Any) -> bytes:
    """An event whose delta holds just this."""
    return event({"choices": [{"delta": given}]})


DIALECTS = {
    "null first": [delta(None, finish_reason=None), delta("fine"), STOP, DONE],
    "delta without content": [
        adds(role="assistant"),
        delta("fine"),
        DONE,
    ],
    "usage without choices": [delta("fine"), STOP, USAGE, DONE],
    "never done": [delta("fine"), STOP],
    "comments": [b": keepalive\n\n", delta("fi"), b":\n\n", delta("ne"), DONE],
    "parts": [
        adds(content=[{"type": "text", "text": "fine"}]),
        DONE,
    ],
    "CRLF": [delta("fine").replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")],
    "no last blank line": [delta("fine"), STOP.rstrip(b"\n")],
    "halves of an emoji": [delta("\ud83d"), delta("\ude00"), DONE],
    "unknown keys": [
        adds(content="fine", x={}),
        DONE,
    ],
    "byte by byte": [bytes([byte]) for byte in delta("fine") + DONE],
    "thoughts beside": [
        adds(reasoning_content="hm"),
        delta("fine"),
        DONE,
    ],
    "refused in words": [adds(refusal="fine"), STOP, DONE],
    "error that is null": [
        event({"choices": [{"delta": {"content": "fine"}}], "error": None}),
        DONE,
    ],
}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_dialects(dialect: str, server: Scripted, backend: OpenAICompatible) -> None:
    """Servers differ, and all of these are a reply."""
    server.script = [head(), *DIALECTS[dialect]]

    assert (await hear(backend)).text in ("fine", "😀")


async def test_a_reply_that_is_not_streamed(server: Scripted, backend: OpenAICompatible) -> None:
    """Some proxies answer in one piece, whatever was asked."""
    answer = {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]}
    server.script = [whole("200 OK", json.dumps(answer).encode())]

    assert "fine" == (await hear(backend)).text


async def test_the_end_of_a_framed_body_is_an_end(
    server: Scripted, backend: OpenAICompatible
) -> None:
    """Its length proves it, where the server says neither why nor that it ended."""
    server.script = [head(Content_Length=len(delta("fine"))), delta("fine")]

    assert "fine" == (await hear(backend)).text


BROKEN = {
    "no end": ([head(), delta("part")], "broke off"),
    "cut inside a chunk": (
        [head(Transfer_Encoding="chunked"), b"ff\r\n" + delta("part")],
        "broke off",
    ),
    "chunks without the last": (
        [head(Transfer_Encoding="chunked"), b"%x\r\n%s\r\n" % (len(delta("part")), delta("part"))],
        "broke off",
    ),
    "half an event": ([head(), delta("part"), b'data: {"choices": [{"del'], "not JSON"),
    "no object": ([head(), delta("part"), b"data: [1, 2]\n\n"], "no part of a reply"),
    "an error": (
        [head(), delta("part"), event({"error": {"message": "out of memory", "code": 500}})],
        "failed: out of memory",
    ),
    "an error in words": ([head(), delta("part"), event({"error": "gone"})], "failed: gone"),
    "a filter": (
        [head(), delta("part"), event({"choices": [{"finish_reason": "content_filter"}]}), DONE],
        "content filter",
    ),
}


@pytest.mark.parametrize("way", BROKEN)
async def test_a_reply_that_breaks_off_keeps_what_came(
    way: str, server: Scripted, backend: OpenAICompatible
) -> None:
    """The text before it is given, and then one clear error."""
    server.script, words = BROKEN[way]
    reply = backend.reply([{"role": "user", "content": "x"}], {"model": "m"})

    assert "part" == await anext(reply)
    with pytest.raises(BackendError, match=words):
        await anext(reply)


NO_REPLY = {
    "a page": (whole("200 OK", b"<title>Welcome</title>", "text/html"), "web page.*Welcome"),
    "a greeting": (whole("200 OK", b"Ollama is running", "text/plain"), "Ollama is running"),
    "an empty answer": (whole("200 OK", b"", "text/plain"), "no event of a reply"),
    "an error": (whole("200 OK", b'{"error": {"message": "no credit"}}'), "no credit"),
    "half an object": (whole("200 OK", b'{"choices": ['), "not JSON"),
    "elsewhere": (head("302 Found", Location="http://x.invalid/"), "points elsewhere"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer as HTTP says"),
    "nothing": (b"", "hung up"),
    "no words left": (
        head() + event({"choices": [{"delta": {}, "finish_reason": "length"}]}) + DONE,
        "max_tokens",
    ),
}


@pytest.mark.parametrize("way", NO_REPLY)
async def test_an_answer_that_is_no_reply(
    way: str, server: Scripted, backend: OpenAICompatible
) -> None:
    """One error says what came instead."""
    answer, words = NO_REPLY[way]
    server.script = [answer]
    with pytest.raises(BackendError, match=words):
        await hear(backend)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("400 Bad", 400),
        ("401 No", 401),
        ("404 None", 404),
        ("429 Slow", 429),
        ("503 Busy", 503),
        ("409 Conflict", 502),
        ("407 Proxy", 502),
        ("999 Odd", 502),
    ],
)
async def test_a_status_is_told_with_the_servers_words(
    given: str, told: int, server: Scripted, backend: OpenAICompatible
) -> None:
    """Its own, but for those that a client would take for its gateway's."""
    words = json.dumps({"error": {"message": "because of the weather"}}).encode()
    server.script = [whole(given, words, Retry_After="7")]
    error = await fails(backend)

    assert (told, 7.0) == (error.status, error.retry_after)
    assert f"answered {given[:3]}: because of the weather" in error.message


FINAL = {
    "a key": whole("401 No", b""),
    "a model": whole("404 None", b""),
    "a conflict": whole("409 Conflict", b""),
    "elsewhere": head("302 Found", Location="http://x.invalid/"),
    "no credit": whole("429 Slow", b'{"error": {"code": "insufficient_quota"}}'),
    "as it says": whole("503 Busy", b"", x_should_retry="false"),
    "a page": whole("200 OK", b"<title>x</title>", "text/html"),
    "an error": whole("200 OK", b'{"error": {"type": "invalid_request_error"}}'),
}
PASSING = {
    "a limit": whole("429 Slow", b'{"error": {"code": "rate_limit_exceeded"}}'),
    "busy": whole("503 Busy", b""),
    "nothing": b"",
    "an error": whole("200 OK", b'{"error": {"message": "overloaded"}}'),
}


@pytest.mark.parametrize("way", [*FINAL.values(), *PASSING.values()], ids=[*FINAL, *PASSING])
async def test_what_asking_again_cannot_mend_is_final(
    way: bytes, server: Scripted, backend: OpenAICompatible
) -> None:
    """By status, by the server's own header, and by what it calls the error."""
    server.script = [way]

    assert (way in FINAL.values()) == (await fails(backend)).final


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b'{"object": "error", "message": "no such model"}', "no such model"),
        (b'{"error": "model \'x\' not found"}', "model 'x' not found"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'[{"error": {"message": "in a list"}}]', "in a list"),
        (b"<html><title>404 nginx</title></html>", "404 nginx"),
        (b"\xff\xfe", "answered 404"),
        (b"", "answered 404"),
    ],
)
async def test_words_are_found_wherever_servers_put_them(
    given: bytes, words: str, server: Scripted, backend: OpenAICompatible
) -> None:
    """Ollama, vLLM, FastAPI, Google and nginx each have a place of their own."""
    server.script = [whole("404 Not Found", given)]

    assert words in (await fails(backend)).message


async def test_the_key_comes_from_the_environment_and_is_never_told(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the server repeats it."""
    monkeypatch.setenv("GPROCHAT_BACKEND_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-this-server")
    words = json.dumps({"error": {"message": "wrong key sk-very-secret"}}).encode()
    server.script = [whole("401 Unauthorized", words)]
    error = await fails(by_url(server.url))

    assert "Bearer sk-very-secret" == server.asked[0].headers["authorization"]
    assert "wrong key ****; is GPROCHAT_BACKEND_KEY right?" in error.message
    assert "very-secret" not in repr(error)


async def test_a_missing_key_is_said_before_anything_is_sent(server: Scripted) -> None:
    """A provider that answers nobody without one need not be asked."""
    provider = Provider(server.url, "OPENAI_API_KEY", needs_key=True)
    error = await fails(OpenAICompatible(provider))

    assert 401 == error.status
    assert "wants a key; none is in OPENAI_API_KEY" in error.message
    assert [] == server.asked


async def test_nobody_there(server: Scripted) -> None:
    """A server that does not run is told by its host and port."""
    backend = by_url("http://127.0.0.1:1/v1")
    error = await fails(backend)

    assert "no connection to 127.0.0.1:1; is it running?" == error.message
    assert 502 == error.status


async def test_no_such_name() -> None:
    """A name that nobody knows is told as such."""
    error = await fails(by_url("http://models.invalid/v1"))

    assert "no address is known for models.invalid; is its name right?" == error.message


async def test_tls_to_a_server_without_it() -> None:
    """The usual slip of one letter is named."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole("400 Bad Request", b""))
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        error = await fails(by_url(f"https://127.0.0.1:{port}/v1"))

    assert error.message.endswith("; is it http, not https?")
    assert error.final


@pytest.mark.parametrize(
    "script",
    [[HOLD], [head(), HOLD], [head(), delta("x"), HOLD], [head("500 No"), HOLD]],
    ids=["nothing", "a head", "a piece", "an error without words"],
)
async def test_a_silent_server_is_given_up(
    script: list[bytes], server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it falls silent, and its connection is closed."""
    monkeypatch.setattr(body, "GATHERING", 0.1)
    server.script = script
    patience = Patience(first=0.1, idle=0.1)
    backend = OpenAICompatible(Provider(server.url, "NO_KEY"), patience=patience)
    error = await fails(backend)
    await asyncio.wait_for(server.closed.wait(), 5)

    assert error.status in (500, 504)


async def test_a_malformed_chunk_is_given_up(server: Scripted) -> None:
    """A bad chunk size, on which some reads wait for ever."""
    server.script = [head(Transfer_Encoding="chunked"), b"zz\r\n" + delta("x"), HOLD]
    patience = Patience(first=0.2, idle=0.2)
    error = await fails(OpenAICompatible(Provider(server.url, "NO_KEY"), patience=patience))

    assert error.status in (502, 504)


@pytest.mark.parametrize("way", ["close", "cancel", "drop in first wait"])
async def test_F114_a_reader_that_leaves_closes_the_connection(
    way: str, server: Scripted, backend: OpenAICompatible, no_leaks: None
) -> None:
    """The server sees it at once, whether the reply is closed or its task cancelled."""
    server.script = [head(), *([] if way == "drop in first wait" else [delta("x")]), HOLD]
    reply = backend.reply([{"role": "user", "content": "x"}], {"model": "m"})
    if way == "close":
        await anext(reply)
        await reply.aclose()
    else:
        task = asyncio.create_task(hear(backend))
        await server.arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await asyncio.wait_for(server.closed.wait(), 1)


@pytest.mark.parametrize(
    "script",
    [
        [head(), delta("x"), DONE, HOLD],
        [head(), event({"error": "no"}), HOLD],
        [whole("200 OK", b"<p>", "text/html"), HOLD],
        [whole("500 No", b"words"), HOLD],
    ],
    ids=["done", "error", "page", "status"],
)
async def test_every_end_closes_the_connection(
    script: list[bytes], server: Scripted, backend: OpenAICompatible, no_leaks: None
) -> None:
    """Nothing is pooled, and nothing is left open for a server that does not close."""
    server.script = script
    await asyncio.gather(hear(backend), return_exceptions=True)

    await asyncio.wait_for(server.closed.wait(), 1)


async def test_models_are_those_that_the_server_names(
    server: Scripted, backend: OpenAICompatible
) -> None:
    """Whatever else stands in the list."""
    listed = {"data": [{"id": "one"}, {"no": "id"}, 3, {"id": "two"}]}
    server.lists = [whole("200 OK", json.dumps(listed).encode())]

    assert ["one", "two"] == await backend.models()
    assert "GET /v1/models HTTP/1.1" == server.asked[0].line


async def test_no_list_of_models(server: Scripted, backend: OpenAICompatible) -> None:
    """An object of another kind is told as such."""
    server.lists = [whole("200 OK", b"{}")]
    with pytest.raises(BackendError, match="lists no models"):
        await backend.models()


async def test_the_only_model_need_not_be_named(
    server: Scripted, backend: OpenAICompatible
) -> None:
    """A server of one file answers with that."""
    server.lists, server.script = MODELS, [head(), delta("fine"), DONE]
    heard = await hear(backend, model="")

    assert "fine" == heard.text
    assert "one" == server.asked[1].body["model"]


async def test_a_choice_of_models_is_shown(server: Scripted, backend: OpenAICompatible) -> None:
    """Where several could answer, the error lists them."""
    listed = {"data": [{"id": f"m{number}"} for number in range(12)]}
    server.lists = [whole("200 OK", json.dumps(listed).encode())]
    error = await fails(backend, model="")

    assert 400 == error.status
    assert error.message.endswith("has m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, …")


async def test_the_model_in_the_name_answers_unless_another_is_asked_for(
    server: Scripted,
) -> None:
    """A request's own model wins."""
    server.script = [head(), delta("fine"), DONE]
    backend = by_url(f"{server.url}#mine")
    await hear(backend, model="")
    await hear(backend, model="yours")

    assert ["mine", "yours"] == [asked.body["model"] for asked in server.asked]


async def test_options_of_its_own_reach_a_server(
    server: Scripted, backend: OpenAICompatible
) -> None:
    """What not every backend knows is sent as it was given."""
    server.script = [head(), delta("ok"), DONE]
    await hear(backend, top_k=3, response_format={"type": "json_object"}, max_tokens=9)

    body = server.asked[0].body
    assert (3, {"type": "json_object"}, 9) == tuple(
        body[name] for name in ("top_k", "response_format", "max_tokens")
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "no option 'temprature'; did you mean temperature?"),
        ({"stream": False}, "'stream' is not for a prompt to choose"),
        ({"n": 5}, "'n' is not for a prompt to choose"),
        ({"temperature": "hot"}, "'temperature' cannot be 'hot'"),
        ({"seed": True}, "'seed' cannot be True"),
        ({"max_tokens": 1.5}, "'max_tokens' cannot be 1.5"),
        ({"stop": [1]}, "'stop' is a text"),
        ({"model": ["m"]}, "'model' must be text"),
    ],
)
async def test_options_that_make_no_sense(
    options: dict[str, Any], words: str, server: Scripted, backend: OpenAICompatible
) -> None:
    """They are refused by name, and nothing is sent."""
    error = await fails(backend, **options)

    assert 400 == error.status
    assert words in error.message
    assert [] == server.asked


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": "x"},
        {"role": "user", "content": []},
        {"role": "user", "content": 3},
        {"role": "user", "content": [{"file": "x"}]},
        {"role": "user", "content": [{"inline_data": {"mime_type": "a,b", "data": "x"}}]},
        {"role": "user", "content": [{"inline_data": {"mime_type": "audio/wav", "data": "x"}}]},
    ],
)
async def test_messages_that_make_no_sense(
    message: dict[str, Any], server: Scripted, backend: OpenAICompatible
) -> None:
    """They are refused, and nothing is sent."""
    with pytest.raises(BackendError) as caught:
        await hear_to([message], backend)

    assert 400 == caught.value.status
    assert [] == server.asked


async def test_openai_is_asked_in_its_own_dialect(
    mocked: Mocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its address, with its key, and with its name for the longest reply."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine\n")
    url = "https://api.openai.com/v1/chat/completions"
    mocked.post(
        url, body=delta("fine") + DONE, headers=CIMultiDict({"Content-Type": "text/event-stream"})
    )
    heard = await hear(by_name("openai", "gpt"), model="", max_tokens=3)
    (call,) = next(iter(mocked.requests.values()))
    sent = json.loads(call.kwargs["data"].getvalue())

    assert "fine" == heard.text
    assert "Bearer sk-mine" == call.kwargs["headers"]["Authorization"]
    assert ("gpt", 3) == (sent["model"], sent["max_completion_tokens"])


async def test_who_speaks_is_told_once_before_the_first_text(
    server: Scripted, backend: OpenAICompatible
) -> None:
    """By the name that the server itself gives, whatever it was asked for."""
    said = event({"model": "m-2", "choices": [{"delta": {"content": "a"}}]})
    server.script = [head(), event({"model": "m-2", "choices": []}), said, said, DONE]
    hello: Messages = [{"role": "user", "content": "hello"}]
    pieces = [piece async for piece in backend.reply(hello, {"model": "m"})]

    assert ["", "a", "a"] == pieces
    assert "Speaker('m-2')" == repr(pieces[0])


async def test_what_is_told_beside_the_text_has_no_length() -> None:
    """Whoever joins the pieces gets the text alone."""
    assert "ab" == "".join([Speaker("m"), "a", Usage(1, 2), "b"])
    assert "Usage(sent=1, received=2)" == repr(Usage(1, 2))
