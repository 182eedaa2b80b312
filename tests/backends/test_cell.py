"""A model of the user's own behind the embedded gateway, asked from a real cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends.far import Far, far
from tests.backends.scripted import DONE, HOLD, Scripted, delta, event, head, whole
from tests.kernels import Kernel, Ran, kernel


@pytest.fixture(scope="module")
def running() -> Iterator[Far]:
    with far() as started:
        yield started


@pytest.fixture
def model(running: Far) -> Scripted:
    """The server, with nothing asked yet."""
    running.model.script, running.model.lists, running.model.asked = [], [], []
    return running.model


@pytest.fixture(scope="module")
def shared_kernel() -> Iterator[Kernel]:
    with kernel() as started:
        yield started


@pytest.fixture
def k(shared_kernel: Kernel, model: Scripted) -> Kernel:
    """A kernel whose gateway asks the server for the model `mine`."""
    shared_kernel.run("%gprochat reset")
    shared_kernel.run("%gprochat set retries 2")
    assert "127.0.0.1" in shared_kernel.run(f"%gprochat backend {model.url}#mine").stdout
    model.asked.clear()
    return shared_kernel


def told_once(ran: Ran) -> tuple[str, str]:
    """The two lines of the one error that a cell shows."""
    assert [o["output_type"] for o in ran.outputs].count("error") == 1
    assert "Traceback" not in str(ran.outputs)
    told, hint = ran.error["traceback"]
    return told, hint


def test_one_line_switches_to_a_model_of_ones_own(model: Scripted, k: Kernel) -> None:
    """The named model is asked, with turns and options, and its reply is in the cell."""
    model.script = [head(), delta("from "), delta("the model"), DONE]
    k.run("%gprochat -q first")
    ran = k.run("%gprochat -t 0.5 -s brief -p top_k=3 second")

    assert ran.shown[0]["text/plain"] == "from the model"
    body = model.asked[-1].body
    assert body["model"] == "mine"
    assert (body["temperature"], body["top_k"]) == (0.5, 3)
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_what_the_server_counts_is_shown_as_counted(model: Scripted, k: Kernel) -> None:
    """In the reply, below it, and in the sums; what nobody counted is marked as estimated."""
    counts = event({"choices": [], "usage": {"prompt_tokens": 1234, "completion_tokens": 56}})
    model.script = [head(), delta("ok"), counts, DONE]
    k.run("%gprochat new counted")
    ran = k.run("reply = %gprochat hello")
    here = k.run("%gprochat usage").stdout.splitlines()[0]
    counted = k.value("(*reply.usage, reply.usage.estimated)")
    model.script = [head(), delta("ok"), DONE]
    guessed = k.run("%gprochat hello")
    later, session_later, _ = k.run("%gprochat usage").stdout.splitlines()

    assert " · 56 tokens" in str(ran.shown)
    assert counted == (1234, 56, False)
    assert here.endswith(" 56 of replies")
    assert " · ~1 tokens" in str(guessed.shown)
    assert later.endswith(" ~57 of replies")
    assert "~" in session_later


def test_m_still_names_the_model(model: Scripted, k: Kernel) -> None:
    """-m asks for another model of the same server."""
    model.script = [head(), delta("ok"), DONE]

    assert k.run("%gprochat -m other hello").status == "ok"
    assert model.asked[-1].body["model"] == "other"


def test_an_interrupt_frees_the_server(running: Far, model: Scripted, k: Kernel) -> None:
    """Stopping the cell closes the connection to the model's server."""
    model.script = [head(), delta("some text"), HOLD]
    pressed: list[bool] = []

    def watch(message: dict[str, Any]) -> None:
        if "some text" in str(message["content"]) and not pressed:
            pressed.append(True)
            k.interrupt()

    assert k.run("%gprochat go on", watch).error["ename"] == "ReplyInterrupted"
    assert running.left()


def refusal(status: str, words: str, **headers: str) -> bytes:
    return whole(status, json.dumps({"error": {"message": words}}).encode(), **headers)


QUOTA = json.dumps({"error": {"message": "no credit left", "code": "insufficient_quota"}}).encode()
SAID = "%gprochat backend"
BAD_INPUT: dict[str, tuple[list[bytes], str, str, str, int]] = {
    "no such model": (
        [refusal("404 Not Found", "no model called mine")],
        "BadRequestError",
        "no model called mine; is there such a model, and the address right?",
        SAID,
        1,
    ),
    "a wrong key": (
        [refusal("401 Unauthorized", "invalid key")],
        "AuthError",
        "invalid key; it may want a key in GPROCHAT_BACKEND_KEY",
        "%gprochat key",
        1,
    ),
    "no credit": ([whole("429 No", QUOTA)], "RateLimitError", "no credit left", SAID, 1),
    "an hour's wait": (
        [refusal("429 Slow", "enough for now", Retry_After="3600")],
        "RateLimitError",
        "enough for now",
        "Wait 3600 s",
        1,
    ),
    "a web page": (
        [whole("200 OK", b"<title>Welcome</title>", "text/html")],
        "ServerError",
        "sent a web page in place of a reply: Welcome; is its address right?",
        SAID,
        1,
    ),
    "elsewhere": (
        [head("302 Found", Location="http://x.invalid/", Content_Length=0)],
        "ServerError",
        "points elsewhere",
        SAID,
        1,
    ),
    "half a JSON event": (
        [head(), b'data: {"choices": [{"del\n\n'],
        "ServerError",
        "sent what is not JSON",
        SAID,
        1,
    ),
    "half a JSON event amid text": (
        [head(), delta("so far"), b'data: {"choices": [{"del\n\n'],
        "StreamInterruptedError",
        "sent what is not JSON",
        "Run it again",
        1,
    ),
    "an error amid text": (
        [head(), delta("so far"), event({"error": {"message": "out of memory"}})],
        "StreamInterruptedError",
        "failed: out of memory",
        "Run it again",
        1,
    ),
    "what may pass": (
        [refusal("503 Busy", "loading the model", Retry_After="0.01")],
        "ServerError",
        "answered 503: loading the model",
        SAID,
        3,
    ),
}


@pytest.mark.parametrize("way", BAD_INPUT)
def test_bad_input_is_one_clear_error(way: str, model: Scripted, k: Kernel) -> None:
    """The server's own words, what to do, and no second request where none can help."""
    model.script, kind, words, hint, requests = BAD_INPUT[way]
    ran = k.run("%gprochat hello")
    told, advice = told_once(ran)

    assert told.startswith(f"{kind}: ")
    assert words in told
    assert "the server answered" not in told
    assert hint in advice
    assert "GPROCHAT_SECRET_KEY" not in advice
    assert len(model.asked) == requests
    assert ("so far" in str(ran.shown)) == ("amid text" in way)


def test_options_that_look_like_a_slip(model: Scripted, k: Kernel) -> None:
    """They are refused by name, and nothing is sent."""
    told, _ = told_once(k.run("%gprochat -p temprature=1 hello"))

    assert "there is no option 'temprature'; did you mean temperature?" in told
    assert not model.asked


def test_nobody_answers_at_an_address(k: Kernel) -> None:
    """It is told by its host and port, with the question whether it runs."""
    k.run("%gprochat set retries 0")
    k.run("%gprochat backend http://127.0.0.1:1/v1#m")
    told, _ = told_once(k.run("%gprochat hello"))

    assert "no connection to 127.0.0.1:1; is it running?" in told


def test_no_such_backend(model: Scripted, k: Kernel) -> None:
    """The one in force stays, and those that there are are named."""
    told, hint = told_once(k.run("%gprochat backend Olama/llama3.2"))
    _, bare = told_once(k.run("%gprochat backend localhost:8080/v1"))
    model.script = [head(), delta("still here"), DONE]

    assert "there is no backend 'Olama/llama3.2'" in told
    assert "Did you mean ollama?" in hint
    assert "begins with http://" in bare
    assert k.run("%gprochat hello").shown[0]["text/plain"] == "still here"
