"""Who answers behind `serve`: which model is asked, with which key, and what a cell says of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.far import Far, far
from tests.backends.scripted import DONE, Scripted, delta, event, head, whole
from tests.gateway.serving import serving
from tests.kernels import kernel

asynchronous = pytest.mark.asyncio


@pytest.fixture(scope="module")
def behind() -> Iterator[Far]:
    with far() as started:
        yield started


@pytest.fixture
def model(behind: Far) -> Scripted:
    """A model's server that answers `ok`, with nothing asked yet."""
    behind.model.script, behind.model.asked = [head(), delta("ok"), DONE], []
    behind.model.lists = [whole("200 OK", b'{"data": [{"id": "its only one"}]}')]
    return behind.model


@asynchronous
@pytest.mark.parametrize(
    ("set_up", "asked", "got"),
    [
        (["--model", "mine"], "", "mine"),
        (["--model", "mine"], "other", "other"),
        ([], "", "its only one"),
    ],
)
async def test_who_chooses_no_model_gets_the_operators(
    model: Scripted, set_up: list[str], asked: str, got: str
) -> None:
    """A client under the wire turns names the protocol's default, which is nobody's choice."""
    with serving("--base-url", model.url, *set_up) as running:
        assert "ok" == await running.ask(wire="turns", model=asked)
        assert got == model.asked[-1].body["model"]
        assert "ok" == await running.ask()


def test_gemini_has_the_default_model() -> None:
    """It is the one that is said to answer where the operator names none."""
    with serving("--backend", "gemini") as running:
        assert running.wait_for("; gemini/gemini-1.5-pro answers")


@pytest.mark.parametrize("wire", ["flat", "turns"])
def test_the_cell_names_who_answered(model: Scripted, wire: str) -> None:
    """The model by its server's word, not the one that would be asked by default."""
    said = {"model": "mine-2", "choices": [{"delta": {"content": "x"}}]}
    model.script = [head(), event(said), DONE]
    with (
        serving("--base-url", model.url, "--model", "mine") as running,
        kernel(
            GPROCHAT_API_ENDPOINT=running.endpoint,
            GPROCHAT_SECRET_KEY=running.secret.reveal(),
            GPROCHAT_WIRE=wire,
        ) as k,
    ):
        ran = k.run("reply = %gprochat hello")

        assert "mine-2 · 127.0.0.1:" in str(ran.shown)
        assert "mine-2" == k.value("reply.model")


@asynchronous
@pytest.mark.parametrize(
    ("arguments", "keys", "sent"),
    [
        (["--backend", "openai"], {"OPENAI_API_KEY": "sk-theirs"}, "Bearer sk-theirs"),
        (
            ["--backend", "openai"],
            {"OPENAI_API_KEY": "sk-theirs", "GPROCHAT_BACKEND_KEY": "mine"},
            "Bearer mine",
        ),
        ([], {"OPENAI_API_KEY": "sk-theirs"}, None),
        (["--backend", "openai"], {}, None),
    ],
)
async def test_which_key_goes_to_a_base_url(
    model: Scripted, arguments: list[str], keys: dict[str, str], sent: str | None
) -> None:
    """OpenAI's goes to what is named to stand in for it, unless it has one of its own."""
    none = {"OPENAI_API_KEY": "", "GPROCHAT_BACKEND_KEY": ""}
    with serving(*arguments, "--base-url", model.url, "--model", "m", **none | keys) as running:
        assert "ok" == await running.ask()
        assert sent == model.asked[-1].headers.get("authorization")
        assert not [line for line in running.said + running.logged if "theirs" in line]
