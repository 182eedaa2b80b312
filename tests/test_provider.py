"""GPROChat as g4f's callers use it: its attributes, its requests, and what bad input does."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gprochat_magic import engine, errors, provider, wire
from gprochat_magic.clock import Clock
from gprochat_magic.config import Secret, Settings
from gprochat_magic.messages import Messages
from gprochat_magic.provider import AsyncGeneratorProvider, GPROChat, ProviderModelMixin
from gprochat_magic.target import Target
from tests.conftest import Mocked
from tests.faults import (
    CANARY,
    CHUNKED,
    END,
    Connection,
    assert_no_secret,
    chunk,
    head,
    play,
    refusing_port,
    send,
    serving,
    settle,
    whole,
)

HELLO: Messages = [{"role": "user", "content": "Привет, как дела?"}]
TURNS: Messages = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "Two?"},
]


async def ask(messages: Messages = HELLO, model: str = "", **options: Any) -> list[str]:
    """The pieces of a reply."""
    pieces = GPROChat.create_async_generator(model=model, messages=messages, **options)
    return [piece async for piece in pieces]


def test_attributes() -> None:
    """What a caller of g4f's providers reads off the class."""
    assert GPROChat.label == "GPROChat"
    assert GPROChat.url == "https://gprochat.com"
    assert GPROChat.api_endpoint == "https://gprochat.com/api/generate"
    assert GPROChat.working is False
    assert GPROChat.supports_stream is True
    assert GPROChat.supports_message_history is True
    assert GPROChat.default_model == "gemini-1.5-pro"
    assert issubclass(GPROChat, AsyncGeneratorProvider)
    assert issubclass(GPROChat, ProviderModelMixin)


def test_models() -> None:
    """An empty name is the default model, an alias what it stands for, another itself."""

    class Named(GPROChat):
        model_aliases = {"pro": "gemini-1.5-pro-002"}  # noqa: RUF012  # as g4f's subclasses do

    assert GPROChat.get_model("") == "gemini-1.5-pro"
    assert GPROChat.get_model("other") == "other"
    assert Named.get_model("pro") == "gemini-1.5-pro-002"
    assert GPROChat.get_models() == ["gemini-1.5-pro"]


def test_signature() -> None:
    """The check value of the protocol's description, with the key passed."""
    signature = GPROChat.generate_signature(1700000000000, "Привет, как дела?", "test-secret")

    assert signature == "99b58bd431fa58a03bf85b03b8d6ab37ae7ff33cd4d0ea6ed09512e277b3b3ae"


def test_signature_with_the_configured_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key passed the configured one signs."""
    monkeypatch.setenv("GPROCHAT_SECRET_KEY", "test-secret")

    assert GPROChat.generate_signature(1700000000000, "Привет, как дела?").startswith("99b58bd4")


def test_F58_signature_of_half_a_character() -> None:
    """It is that of the prompt as it is sent."""
    assert GPROChat.generate_signature(5, "a\ud83d", "k") == wire.sign(5, "a\ufffd", "k")


@pytest.mark.parametrize("key", [None, ""])
def test_signature_without_a_key(key: str | None) -> None:
    """Without any key the error says how to set one."""
    with pytest.raises(errors.ConfigError) as caught:
        GPROChat.generate_signature(1, "x", key)

    assert "GPROCHAT_SECRET_KEY" in caught.value.hint


@pytest.mark.asyncio
async def test_request_to_the_letter(mocked: Mocked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Address, headers and body of a request are those of the protocol, byte for byte."""
    monkeypatch.setattr(provider, "clock", Clock(lambda: 1_700_000_000.0))
    headers = {"Content-Length": "4"}
    mocked.post(GPROChat.api_endpoint, body="fine", headers=headers, content_type="text/plain")
    pieces = await ask(secret_key="test-secret")
    [((method, url), [call])] = mocked.requests.items()

    assert (["fine"], "POST", GPROChat.api_endpoint) == (pieces, method, str(url))
    assert call.kwargs["data"].decode() == (
        '{"messages":[{"role":"user","parts":[{"text":"Привет, как дела?"}]}],'
        '"time":1700000000000,"pass":null,'
        '"sign":"99b58bd431fa58a03bf85b03b8d6ab37ae7ff33cd4d0ea6ed09512e277b3b3ae"}'
    )
    sent = dict(call.kwargs["headers"])
    assert len(sent.pop("x-request-id")) == 32
    assert sent.pop("x-gprochat-signature").startswith("v1=")
    assert sent == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "origin": "https://gprochat.com",
        "referer": "https://gprochat.com/",
        "user-agent": wire.USER_AGENT,
        "content-type": "text/plain;charset=UTF-8",
    }
    assert call.kwargs["allow_redirects"] is False
    assert call.kwargs["ssl"] is True
    assert call.kwargs["proxy"] is None


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_headers_on_the_wire() -> None:
    """What reaches a server has the protocol's headers and nothing of this machine."""
    async with serving() as raw:
        await ask(api_endpoint=raw.url, secret_key=CANARY)
        headers = raw.requests[0].headers

    assert set(headers) == {
        "host",
        "accept",
        "accept-encoding",
        "origin",
        "referer",
        "user-agent",
        "content-type",
        "content-length",
        "x-gprochat-signature",
        "x-request-id",
    }
    # Nothing else is asked for, so that a cut body cannot pass for a whole one.
    assert "identity" == headers["accept-encoding"]


async def described(connection: Connection) -> None:
    """A server that knows only the protocol's description: it checks what came, and echoes."""
    request = await connection.request()
    content = json.loads(request.body)
    [message] = content["messages"]
    [part] = message["parts"]
    text = f"{content['time']}:{part['text']}:{CANARY}"
    sound = (
        set(content) == {"messages", "time", "pass", "sign"}
        and message["role"] == "user"
        and content["pass"] is None
        and isinstance(content["time"], int)
        and abs(content["time"] / 1000 - time.time()) < 60
        and content["sign"] == hashlib.sha256(text.encode("utf-8")).hexdigest()
        and request.line.startswith("POST ")
        and request.headers["content-type"] == "text/plain;charset=UTF-8"
    )
    await connection.send(whole(part["text"]) if sound else whole("no", status="401 No"))


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_server_written_from_the_description() -> None:
    """A server that was written from the description alone takes our signature."""
    async with serving(described) as raw:
        one = await ask(api_endpoint=raw.url, secret_key=CANARY)
        several = await ask(TURNS, api_endpoint=raw.url, secret_key=CANARY)

    assert "".join(one) == "Привет, как дела?"
    assert "".join(several) == (
        "System: Be brief.\nUser: One?\nAssistant: 1\nUser: Two?\nAssistant:"
    )


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_one_byte_at_a_time() -> None:
    """A reply served one byte at a time arrives character by character."""
    text = "Привет, как дела?"
    steps = [step for byte in text.encode() for step in (chunk(bytes([byte])), settle)]
    async with serving(play(head(CHUNKED), *steps, END)) as raw:
        pieces = await ask(api_endpoint=raw.url, secret_key=CANARY)

    assert list(text) == pieces


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_turns_on_the_wire() -> None:
    """Asked to, it sends turns with their roles, the model and its options."""
    async with serving() as raw:
        options = {"temperature": 0.5, "seed": 7, "web_search": True, "wire": "turns"}
        await ask(TURNS, "some-model", api_endpoint=raw.url, secret_key=CANARY, **options)
        content = raw.requests[0].content

    assert len(content["messages"]) == 4
    assert content["model"] == "some-model"
    assert content["options"] == {"temperature": 0.5, "seed": 7}


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_session_of_the_caller() -> None:
    """A session that is passed carries the request and is left open."""
    async with serving(play(whole("one")), play(whole("two"))) as raw:
        async with aiohttp.ClientSession(headers={"x-mine": "1"}) as session:
            pieces = await ask(api_endpoint=raw.url, secret_key=CANARY, session=session)

            assert not session.closed
        assert pieces == ["one"]
        assert raw.requests[0].headers["x-mine"] == "1"
        with pytest.raises(errors.ConfigError, match="session"):
            await ask(api_endpoint=raw.url, secret_key=CANARY, session=session)


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_whole_reply() -> None:
    """`create_async` gives the reply in one piece."""
    async with serving(play(head(CHUNKED) + chunk("fi") + chunk("ne") + END)) as raw:
        reply = await GPROChat.create_async("", HELLO, api_endpoint=raw.url, secret_key=CANARY)

    assert reply == "fine"


@pytest.mark.asyncio
async def test_reply_from_synchronous_code() -> None:
    """`create_completion` yields the pieces in a thread without a loop."""
    async with serving() as raw:

        def take() -> list[str]:
            options = {"api_endpoint": raw.url, "secret_key": CANARY}
            return list(GPROChat.create_completion("", HELLO, **options))

        pieces = await asyncio.to_thread(take)
    engine.shared().stop()

    assert pieces == ["fine"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_reader_that_stops() -> None:
    """A reader that closes the generator closes the connection."""
    gone = asyncio.Event()

    async def until_gone(connection: Connection) -> None:
        await connection.reader.read()
        gone.set()

    async with serving(play(head(CHUNKED) + chunk("one"), until_gone)) as raw:
        pieces = GPROChat.create_async_generator("", HELLO, api_endpoint=raw.url, secret_key=CANARY)
        async with contextlib.aclosing(pieces):
            first = await anext(pieces)
        await asyncio.wait_for(gone.wait(), 1)

    assert first == "one"


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_subclass_with_a_service_of_its_own() -> None:
    """A subclass names its own service, and that is where it posts."""
    async with serving() as raw:

        class Mine(GPROChat):
            url = "https://mine.example"
            api_endpoint = raw.url

        pieces = [p async for p in Mine.create_async_generator("", HELLO, secret_key=CANARY)]

    assert pieces == ["fine"]
    assert raw.requests[0].headers["origin"] == "https://mine.example"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:8000/api",
        "ftp://localhost/x",
        "http://",
        "http://localhost:99999/",
        "http://[::1/",
        "http://" + "x" * 70 + ".invalid/",
        "http://" + "я" * 60 + ".invalid/",
        "http://localhost\\api/generate",
        "/api/generate",
    ],
)
async def test_bad_endpoint(endpoint: str) -> None:
    """An address that nobody could post to is refused as a setting."""
    with pytest.raises(errors.ConfigError) as caught:
        await ask(api_endpoint=endpoint, secret_key=CANARY)

    assert_no_secret(caught.value)


@pytest.mark.asyncio
async def test_bad_endpoint_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad address in the environment is told with the variable's name."""
    monkeypatch.setenv("GPROCHAT_API_ENDPOINT", "localhost:8000")
    with pytest.raises(errors.ConfigError, match="GPROCHAT_API_ENDPOINT"):
        await ask(secret_key=CANARY)


@pytest.mark.asyncio
async def test_endpoint_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without a secret is refused before anything is sent, passed or configured."""
    async with serving() as raw:
        with pytest.raises(errors.ConfigError, match="no secret key"):
            await ask(api_endpoint=raw.url)
        monkeypatch.setenv("GPROCHAT_API_ENDPOINT", raw.url)
        with pytest.raises(errors.ConfigError, match="no secret key"):
            await ask()

        assert raw.connections == 0


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_wrong_secret() -> None:
    """A server that knows another secret refuses, and the error says where ours is set."""
    async with serving(described) as raw:
        with pytest.raises(errors.AuthError) as caught:
            await ask(api_endpoint=raw.url.partition("?")[0], secret_key="wrong-" + CANARY)

    assert "GPROCHAT_SECRET_KEY" in caught.value.hint
    assert_no_secret(caught.value)


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_dead_port(waits: list[float]) -> None:
    """A port where nobody listens is an error of connecting that names it."""
    with refusing_port() as port, pytest.raises(errors.ConnectError, match=str(port)) as caught:
        await ask(api_endpoint=f"http://localhost:{port}/x", secret_key=CANARY)

    assert caught.value.attempts == 3
    assert_no_secret(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "first_byte_timeout", "retries"])
@pytest.mark.parametrize("value", ["soon", "5", True, -1, float("nan"), float("inf")])
async def test_limits_that_are_no_numbers(name: str, value: object) -> None:
    """A limit that is no number is refused before anything is sent."""
    async with serving() as raw:
        with pytest.raises(errors.ConfigError, match=name):
            await ask(api_endpoint=raw.url, secret_key=CANARY, **{name: value})

        assert raw.connections == 0


@pytest.mark.asyncio
async def test_limits_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit in the environment that is no number is told with the variable's name."""
    monkeypatch.setenv("GPROCHAT_TIMEOUT", "soon")
    with pytest.raises(errors.ConfigError, match="GPROCHAT_TIMEOUT"):
        await ask(secret_key=CANARY)


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_leaks")
async def test_configured_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured proxy carries the request; an empty one that is passed turns it off."""
    async with serving() as proxy, serving(play(whole("direct"))) as raw:
        monkeypatch.setenv("GPROCHAT_PROXY", f"http://localhost:{proxy.port}")
        through = await ask(api_endpoint="http://host.invalid/x", secret_key=CANARY)
        direct = await ask(api_endpoint=raw.url, secret_key=CANARY, proxy="")

    assert (["fine"], ["direct"]) == (through, direct)


@pytest.mark.asyncio
async def test_unknown_wire() -> None:
    """A wire that there is not is refused."""
    with pytest.raises(errors.ConfigError, match="wire"):
        await ask(secret_key=CANARY, wire="smoke")


@pytest.mark.asyncio
async def test_no_secret_in_what_is_printed() -> None:
    """Neither a target nor a signed request shows what it holds."""
    target = Target("http://user:query-canary@host/x?key=query-canary", Secret(CANARY))
    outgoing = wire.build(HELLO, secret=CANARY, timestamp=1)

    assert repr(target) == "Target(host)"
    assert not [text for text in outgoing.signatures if text in repr(outgoing)]


def test_embedded_gateway_is_renewed_on_the_engine() -> None:
    """An embedded gateway that is started again outlives the loop of the sender that asked."""

    async def renew() -> tuple[Target, Target]:
        target = await provider.target_of(Settings())
        assert target.renew is not None
        return target, await target.renew()

    async def reply_of(target: Target) -> str:
        return (await send(target.endpoint, target=target)).text

    try:
        before, renewed = asyncio.run(renew())
        reply = asyncio.run(reply_of(renewed))
    finally:
        engine.shared().stop()

    assert "hello" in reply
    assert renewed.secret != before.secret
    assert renewed.renew is None


EXAMPLE = """
from gprochat_magic import GPROChat, Messages
import asyncio

async def main():
    messages: Messages = [{"role": "user", "content": "Привет, как дела?"}]
    model = "gemini-1.5-pro"

    async for response in GPROChat.create_async_generator(model=model, messages=messages):
        print(response, end="")

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_example_of_the_description(tmp_path: Path) -> None:
    """The example of the protocol's description runs as a script, without any setting."""
    (tmp_path / "example.py").write_text(EXAMPLE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUTF8": "1"},
        capture_output=True,
        timeout=60,
        encoding="utf-8",
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "Привет, как дела?" in done.stdout
