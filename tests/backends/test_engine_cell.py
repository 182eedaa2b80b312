"""The real engine behind the embedded gateway, asked from real cells."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernels import Kernel, kernel

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def k(engine: str) -> Iterator[Kernel]:
    """A kernel in front of the engine; a model of it goes on for seconds unless it is stopped."""
    with kernel(GPROCHAT_MAX_TOKENS="16000", GPROCHAT_TEMPERATURE="0") as started:
        said = started.run(f"%gprochat backend {engine}/v1").stdout
        assert said.endswith("/v1 answers from the next prompt on.\n")
        yield started


def busy(engine: str) -> int:
    """How many of the engine's slots are at work."""
    with urllib.request.urlopen(f"{engine}/slots") as answer:
        return sum(slot["is_processing"] for slot in json.load(answer))


def test_a_cell_shows_what_the_engine_counted(k: Kernel) -> None:
    """A reply streams through gateway and cell, and its tokens are the engine's."""
    ran = k.run("reply = %gprochat --max-tokens 20 hello")
    usage, estimated = k.value("(tuple(reply.usage), reply.usage.estimated)")

    assert (20, False) == (usage[1], estimated)
    assert " · 20 tokens" in str(ran.shown)
    assert ran.shown[0]["text/plain"].split()[0] in ("The", "A", "In", "So")


def test_an_interrupted_cell_frees_the_slot_within_a_second(engine: str, k: Kernel) -> None:
    """Stop ends the engine's work, and the next prompt is answered."""
    seen: list[int] = []

    def watch(message: dict[str, Any]) -> None:
        if not seen and message["msg_type"] in ("display_data", "update_display_data"):
            seen.append(busy(engine))
            k.interrupt()

    ran = k.run("%gprochat go on", watch)
    until = time.monotonic() + 1
    while (left := busy(engine)) and time.monotonic() < until:
        time.sleep(0.01)  # another process tells no events

    assert ran.error["ename"] == "ReplyInterrupted"
    assert seen == [1]
    assert left == 0
    assert k.run("%gprochat --max-tokens 5 and now?").status == "ok"


def test_150_replies_one_after_the_other(k: Kernel) -> None:
    """None fails, although the engine announces connections that it then closes."""
    k.run(
        "from gprochat_magic import ask\n"
        "given = [{'seed': n, 'max_tokens': 12, 'temperature': 1} for n in range(150)]\n"
        "replies = [ask('hello', history=False, parameters=each) for each in given]"
    )

    assert k.value("(len(replies), all(replies), max(each.usage[1] for each in replies))") == (
        150,
        True,
        12,
    )


def test_its_own_words_reach_the_cell(k: Kernel) -> None:
    """A prompt that is too long for it is one clear error."""
    k.run("words = 'river ' * 20_000")
    told, hint = k.run("%gprochat --no-history {words}").error["traceback"]

    assert told.startswith("BadRequestError: 127.0.0.1:")
    assert "context" in told
    assert "%gprochat backend" in hint
