"""All who ask wait together, and no more ask than the server stands."""

from __future__ import annotations

import asyncio
import time

import pytest

from gprochat_magic import Chat
from gprochat_magic.batch.pace import Pace
from gprochat_magic.gateway.backends import BackendError
from tests.batch.scripted import Far, at_most


def test_no_more_run_than_given(chat: Chat, far: Far) -> None:
    """The server never sees more requests at a time."""
    far.backend.seconds = 0.02
    chat.map("{item}", range(60), concurrency=7, progress=False)

    assert far.backend.most == 7


def test_F133_a_429_makes_all_workers_wait(chat: Chat, far: Far) -> None:
    """After one refusal nobody asks until the server's Retry-After is over."""
    pause = 1.0
    far.backend.seconds = 0.01
    refused: list[float] = []

    def script(prompt: str, nth: int) -> str | BackendError:
        if prompt == "30" and nth == 1:
            refused.append(time.monotonic())
            return BackendError(429, "slow down", pause)
        return prompt

    far.backend.script = script
    answers = chat.map("{item}", range(100), concurrency=8, progress=False)
    [at] = refused
    early = [moment for moment in far.backend.times if at < moment < at + pause]

    assert [str(n) for n in range(100)] == answers
    assert 101 == far.backend.asked.total()
    # Only what was on its way already.
    assert len(early) < 8


def test_a_limit_of_the_server_fails_no_row(chat: Chat, far: Far) -> None:
    """A server that admits five in half a second refuses the others; all are answered at last."""
    far.backend.script = at_most(5, 0.5)
    answers = chat.map("{item}", range(30), concurrency=10, progress=False)

    assert [str(n) for n in range(30)] == answers
    assert answers.failed == []


def test_a_row_that_alone_is_refused_fails_alone(
    chat: Chat, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 that one prompt always gets does not hold up the run for ever."""
    far.backend.script = lambda p, t: BackendError(429, "never", 0.01) if p == "3" else p
    answers = chat.map("{item}", range(20), concurrency=2, progress=False)

    assert [3] == [each.row for each in answers.failed]
    assert far.backend.asked["3"] == 8


def test_requests_a_minute(chat: Chat, far: Far) -> None:
    """Requests begin evenly, never faster than said, retries among them."""
    far.backend.script = lambda p, t: BackendError(500, "oh") if p == "2" and t == 1 else p
    chat.map("{item}", range(8), concurrency=8, per_minute=600, progress=False)
    times = sorted(far.backend.times)

    assert len(times) == 9
    assert times[7] - times[0] > 0.6


@pytest.mark.asyncio
async def test_the_width_halves_once_for_one_piece_of_news() -> None:
    """Ten refusals of requests that were under way together count once; replies widen it again."""
    pace = Pace(16)
    async with asyncio.timeout(30):
        turns = [pace.turn() for _ in range(10)]
        begun = [await turn.__aenter__() for turn in turns]
        await asyncio.sleep(0.01)
        for began in begun:
            pace.refused(began, 0.01)
        halved = pace.width
        for turn in turns:
            await turn.__aexit__(None, None, None)
        for _ in range(200):
            pace.answered()

        assert (8, 16) == (halved, pace.width)
        async with pace.turn() as later:
            pace.refused(later, 0.01)
        assert pace.width == 8


@pytest.mark.asyncio
async def test_a_place_that_is_given_up_goes_to_the_next() -> None:
    """Whoever is cancelled as it is offered one takes nobody's."""
    pace = Pace(1)
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with pace.turn():
            entered.append(number)

    async with pace.turn():
        waiting = [asyncio.create_task(enter(number)) for number in range(3)]
        await asyncio.sleep(0.01)
    waiting[0].cancel()  # the place was offered to it, and it has not taken it yet
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting, return_exceptions=True)

    assert entered == [1, 2]
