"""A model of the user's own behind the embedded gateway, asked from a real cell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends.scripted import DONE, HOLD, Scripted, delta, head, serving, whole
from tests.kernels import Kernel, kernel


@pytest.fixture
def far() -> Iterator[tuple[Scripted, asyncio.AbstractEventLoop]]:
    """A scripted server on a loop in a thread of its own, for a kernel is driven in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = serving(Scripted())
    yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10), loop
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def model(far: tuple[Scripted, asyncio.AbstractEventLoop]) -> Scripted:
    return far[0]


@pytest.fixture
def k(model: Scripted) -> Iterator[Kernel]:
    """A kernel whose gateway asks the server for the model `mine`."""
    with kernel() as started:
        assert "127.0.0.1" in started.run(f"%gprochat backend {model.url}#mine").stdout
        yield started


def test_one_line_switches_to_a_model_of_ones_own(model: Scripted, k: Kernel) -> None:
    """The named model is asked, with turns and options, and its reply is in the cell."""
    model.script = [head(), delta("from "), delta("the model"), DONE]
    k.run("%gprochat -q first")
    ran = k.run("%gprochat -t 0.5 -s brief second")

    assert ran.shown[0]["text/plain"] == "from the model"
    body = model.asked[-1].body
    assert body["model"] == "mine"
    assert body["temperature"] == 0.5
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_m_still_names_the_model(model: Scripted, k: Kernel) -> None:
    """-m asks for another model of the same server."""
    model.script = [head(), delta("ok"), DONE]

    assert k.run("%gprochat -m other hello").status == "ok"
    assert model.asked[-1].body["model"] == "other"


def test_an_interrupt_frees_the_server(
    far: tuple[Scripted, asyncio.AbstractEventLoop], k: Kernel
) -> None:
    """Stopping the cell closes the connection to the model's server."""
    model, loop = far
    model.script = [head(), delta("some text"), HOLD]
    pressed: list[bool] = []

    def watch(message: dict[str, Any]) -> None:
        if "some text" in str(message["content"]) and not pressed:
            pressed.append(True)
            k.interrupt()

    assert k.run("%gprochat go on", watch).error["ename"] == "ReplyInterrupted"
    assert asyncio.run_coroutine_threadsafe(model.closed.wait(), loop).result(5)


def test_the_servers_words_reach_the_cell(model: Scripted, k: Kernel) -> None:
    """A model that does not exist is one clear error with the server's own words."""
    model.script = [whole("404 Not Found", b'{"error": {"message": "no model called mine"}}')]
    told, hint = k.run("%gprochat hello").error["traceback"]

    assert told.startswith("BadRequestError")
    assert "no model called mine" in told
    assert "the server answered" not in told
    assert "%gprochat backend" in hint


def test_a_refused_key_is_the_backends_affair(model: Scripted, k: Kernel) -> None:
    """A wrong key of the model's server does not point at the secret of the gateway."""
    model.script = [whole("401 Unauthorized", b'{"error": {"message": "invalid key"}}')]
    told, hint = k.run("%gprochat hello").error["traceback"]

    assert told.startswith("AuthError")
    assert "invalid key" in told
    assert "GPROCHAT_SECRET_KEY" not in hint
