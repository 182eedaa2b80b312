"""A map that was killed, interrupted or paused goes on where it was, and asks nothing twice."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gprochat_magic import Chat
from gprochat_magic.batch.run import SPARE
from gprochat_magic.errors import AuthError, ConnectError, RateLimitError
from gprochat_magic.gateway.backends import BackendError
from tests.batch.child import CONCURRENCY, ROWS
from tests.batch.scripted import Far
from tests.faults import refusing_port

IN_FLIGHT = CONCURRENCY + CONCURRENCY // SPARE
"""Rows that are being asked, or written, at any time."""
FLAKY = range(3, ROWS, 20)
"""One row in twenty is refused at first: in turn as one too many, and by a fault."""


def flaky(prompt: str, time: int) -> str | BackendError:
    number = int(prompt.split()[-1])
    if number in FLAKY and time == 1:
        return BackendError(429, "slow down", 0.2) if number % 40 == 3 else BackendError(500, "oh")
    return prompt.upper()


def begin(far: Far, path: Path) -> subprocess.Popen[str]:
    """The map in a process of its own, in that file."""
    settings = {**os.environ, **far.environment, "GPROCHAT_STORE": str(path)}
    command = [sys.executable, "-m", "tests.batch.child"]
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)


def said(child: subprocess.Popen[str]) -> Any:
    return json.loads(child.communicate(timeout=60)[0])


def on_disk(path: Path) -> int:
    # Opened as any program would: SQLite itself rolls back what the killed process had begun.
    with closing(sqlite3.connect(path)) as conn:
        return int(conn.execute("SELECT count(*) FROM cache").fetchone()[0])


@pytest.mark.parametrize("kill_at", [50, pytest.param(0, marks=pytest.mark.soak)])
def test_F133_killed_at_row_50(far: Far, path: Path, kill_at: int) -> None:
    """100 rows of which 5 % are refused at first: all in order, none asked again that was kept."""
    far.backend.script, far.backend.seconds = flaky, 0.02
    for at in [kill_at] if kill_at else range(5, 100, 5):
        path.unlink(missing_ok=True)
        far.backend.forget()
        first = begin(far, path)
        assert far.backend.wait_answered(at)
        first.kill()
        first.communicate()
        kept, before = on_disk(path), far.backend.answered.copy()
        again = said(begin(far, path))
        twice = [prompt for prompt, times in far.backend.answered.items() if times > 1]

        assert [f"SAY ROW {number}" for number in range(ROWS)] == again["answers"]
        assert (ROWS - kept, kept) == (again["asked"], again["cached"])
        assert at - IN_FLIGHT <= kept <= before.total()
        # What was on its way at the kill may be answered after it, and counts as well.
        assert len(twice) <= IN_FLIGHT
        assert far.backend.answered.total() == ROWS + len(twice)


def test_F133_a_second_run_asks_nothing(far: Far, path: Path) -> None:
    """A run that ended well is free the second time."""
    said(begin(far, path))
    far.backend.forget()
    again = said(begin(far, path))

    assert (0, ROWS) == (far.backend.asked.total(), again["cached"])


def test_identical_rows_are_asked_once(chat: Chat, far: Far) -> None:
    """Whether they stand together or far apart, and with `cache=False` too."""
    data = ["a", "a", "b", *range(40), *range(40), *range(150), *range(150), "a"]
    for how in ({}, {"cache": False}):
        far.backend.forget()
        answers = chat.map("{item}", data, concurrency=2, progress=False, **how)

        assert [str(each).upper() for each in data] == answers
        assert {1} == set(far.backend.asked.values())
        assert 152 == len(far.backend.asked)


def test_identical_rows_fail_once(chat: Chat, far: Far) -> None:
    """A prompt that failed is not asked again for the next row that has it."""
    far.backend.script = lambda prompt, time: BackendError(400, "no") if prompt == "x" else prompt
    answers = chat.map("{item}", ["x", *range(200), "x", "x"], concurrency=2, progress=False)

    assert [0, 201, 202] == [each.row for each in answers.failed]
    assert 1 == far.backend.asked["x"]


def test_cache_false_asks_anew(chat: Chat, far: Far) -> None:
    """And what comes takes the place of what was kept."""
    chat.map("{item}", ["a"], progress=False)
    far.backend.script = lambda prompt, time: "newer"

    assert ["A"] == chat.map("{item}", ["a"], progress=False)
    assert ["newer"] == chat.map("{item}", ["a"], cache=False, progress=False)
    assert ["newer"] == chat.map("{item}", ["a"], progress=False)


@pytest.mark.parametrize(
    "other", [{"model": "m2"}, {"system": "brief"}, {"parameters": {"seed": 1}}]
)
def test_another_model_is_another_answer(chat: Chat, far: Far, other: dict[str, Any]) -> None:
    """Model, system prompt and options decide beside the row: a resume never mixes them."""
    chat.map("{item}", ["a", "b"], progress=False)
    chat.map("{item}", ["a", "b"], progress=False, **other)

    assert far.backend.asked.total() == 4
    sent = far.backend.options[-1]
    assert sent["model"] == other.get("model", "gemini-1.5-pro")
    assert sent.get("seed") == other.get("parameters", {}).get("seed")


def test_F133_one_poisoned_row_is_an_error_in_its_place(chat: Chat, far: Far) -> None:
    """The others are answered; `retry_failed` asks that one alone."""
    far.backend.script = lambda prompt, t: BackendError(400, "poison") if prompt == "3" else prompt
    answers = chat.map("{item}", range(6), progress=False)

    assert ["0", "1", "2", "4", "5"] == [text for at, text in enumerate(answers) if at != 3]
    assert "poison" == answers[3].message
    assert [3] == [each.row for each in answers.failed]
    far.backend.forget()
    far.backend.script = lambda prompt, time: "mended"
    mended = answers.retry_failed()

    assert (["0", "1", "2", "mended", "4", "5"], []) == (list(mended), mended.failed)
    assert {"3": 1} == dict(far.backend.asked)


def test_raise_on_error_ends_the_run(chat: Chat, far: Far) -> None:
    """The first row that fails ends it, if that is wanted; what was done is kept."""
    far.backend.script = lambda prompt, t: BackendError(400, "poison") if prompt == "3" else prompt

    with pytest.raises(Exception, match="poison"):
        chat.map("{item}", range(6), concurrency=1, raise_on_error=True, progress=False)
    assert {"0": 1, "1": 1, "2": 1, "3": 1} == dict(far.backend.asked)
    far.backend.script = lambda prompt, time: "mended"
    answers = chat.map("{item}", range(6), progress=False)
    assert ["0", "1", "2", "mended", "mended", "mended"] == answers


def test_an_exhausted_quota_pauses_the_run_once(chat: Chat, far: Far) -> None:
    """A wait of an hour ends the run at once; the next one asks only for the rest."""
    far.backend.script = lambda p, t: BackendError(429, "quota", 3600) if int(p) > 9 else p
    with pytest.raises(RateLimitError, match=r"paused after 1?\d of 1,000 rows") as caught:
        chat.map("{item}", range(1000), concurrency=2, progress=False)

    assert far.backend.asked.total() <= 13
    assert "asks only for what is missing" in caught.value.hint
    far.backend.forget()
    far.backend.script = lambda prompt, time: prompt
    answers = chat.map("{item}", range(20), progress=False)
    assert [str(n) for n in range(20)] == answers
    assert not {str(n) for n in range(10)} & set(far.backend.asked)


def test_a_server_that_only_refuses_pauses_the_run_once(chat: Chat, far: Far) -> None:
    """It never says that the quota is used up: after some waits of all together that is clear."""
    far.backend.script = lambda prompt, time: BackendError(429, "quota", 0.01)
    with pytest.raises(RateLimitError, match="paused after 0 of 1,000 rows"):
        chat.map("{item}", range(1000), concurrency=8, progress=False)

    assert far.backend.asked.total() <= 8 + 4 + 2 + 5


@pytest.mark.parametrize(("status", "most"), [(401, 8), (402, 8), (403, 16)])
def test_a_wrong_key_pauses_the_run_once(chat: Chat, far: Far, status: int, most: int) -> None:
    """Not every row fails: no key and no money concern them all."""
    far.backend.script = lambda prompt, time: BackendError(status, "no")
    with pytest.raises(Exception, match="paused after") as caught:
        chat.map("{item}", range(1000), concurrency=4, progress=False)

    assert far.backend.asked.total() <= most
    assert isinstance(caught.value, AuthError) == (status != 402)


def test_one_forbidden_row_is_only_that(chat: Chat, far: Far) -> None:
    """A filter that refuses one prompt with 403 does not stop the others."""
    far.backend.script = lambda prompt, time: BackendError(403, "filter") if prompt == "3" else "ok"
    answers = chat.map("{item}", range(20), concurrency=2, progress=False)

    assert [3] == [each.row for each in answers.failed]


def test_a_server_that_is_gone_pauses_the_run(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there: the rows are not failures of their own."""
    with refusing_port() as port:
        monkeypatch.setenv("GPROCHAT_API_ENDPOINT", f"http://127.0.0.1:{port}/api/generate")
        monkeypatch.setenv("GPROCHAT_RETRIES", "0")
        with pytest.raises(ConnectError, match="paused after 0 of 100 rows"):
            chat.map("{item}", range(100), progress=False)


def test_json_that_is_none_is_asked_again(chat: Chat, far: Far) -> None:
    """A reply without the JSON that was wanted is a failure, and is not kept."""
    far.backend.script = lambda prompt, time: "prose" if time == 1 else '{"a": 1}'
    answers = chat.map("{item}", [1, 2], into="json", progress=False)
    assert [0, 1] == [each.row for each in answers.failed]

    assert [{"a": 1}] * 2 == chat.map("{item}", [1, 2], into="json", progress=False)


def test_a_row_that_is_empty_fails_alone(chat: Chat, far: Far) -> None:
    """Nothing is sent for a prompt without a word."""
    answers = chat.map("{item}", ["a", " ", "b"], progress=False)

    assert ["A", "B"] == [answers[0], answers[2]]
    assert [1] == [each.row for each in answers.failed]
    assert far.backend.asked.total() == 2


@pytest.mark.asyncio
async def test_awaited(chat: Chat, far: Far) -> None:
    """`amap` gives the same on any loop, and asks failed rows again too."""
    far.backend.script = lambda prompt, time: BackendError(400, "no") if time == 1 else prompt
    answers = await chat.amap("{item}", ["a", "b"], progress=False)
    assert len(answers.failed) == 2

    assert ["a", "b"] == await answers.aretry_failed()


def test_no_conversation_is_touched(chat: Chat, far: Far) -> None:
    """Rows carry the system prompt and no earlier turn, and leave no turn."""
    chat.map("{item}", ["a", "b"], system="Be brief", concurrency=1, progress=False)

    assert chat.conversation.turns() == []
    assert [["system", "user"]] * 2 == [
        [message["role"] for message in asked["messages"]] for asked in far.backend.options
    ]


def test_a_trial_says_what_the_rest_would_take(chat: Chat, far: Far) -> None:
    """`limit` asks a few rows and estimates the others; none is asked for that."""
    trial = chat.map("{item}", range(1000), limit=5, progress=False)

    assert (5, 5) == (len(trial), far.backend.asked.total())
    assert trial.estimate.startswith("the other 995 rows would take about")
    assert "~995 tokens sent" in trial.estimate
    assert chat.map("{item}", range(5), progress=False).estimate == ""
