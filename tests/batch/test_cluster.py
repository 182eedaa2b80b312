"""A map over a Dask cluster of two worker processes: the same answers, whatever happens to them."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gprochat_magic import Chat
from gprochat_magic.batch import cluster
from gprochat_magic.errors import ConfigError, ConnectError
from gprochat_magic.gateway.backends import BackendError
from tests.batch.scripted import Far, at_most
from tests.batch.test_resume import flaky

if not os.environ.get("CI"):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
from distributed import Client, LocalCluster

ROWS = [f"Say row {number}" for number in range(300)]


def workers() -> LocalCluster:
    return LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0", silence_logs=50
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A cluster of two worker processes."""
    with workers() as started, Client(started) as connected:
        yield connected


@pytest.fixture(scope="module")
def doomed() -> Iterator[tuple[LocalCluster, Client]]:
    """A cluster to be stopped. Started before the guard against connections that leave the machine,
    since Dask asks for a route to the world to learn its own address.
    """
    with workers() as started, Client(started) as connected:
        yield started, connected


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Begin work in a thread; the result waits for it."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001  # it is the caller's to look at
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(60)
        assert found
        return found[0]

    return result


def test_the_same_as_in_one_process(chat: Chat, far: Far, client: Client) -> None:
    """Same answers and order, kept alike, failures in their places, what is refused asked again."""

    def script(prompt: str, nth: int) -> str | BackendError:
        return BackendError(400, "no") if prompt.endswith(" 77") else flaky(prompt, nth)

    far.backend.script = script
    over = chat.map("{item}", [*ROWS, ROWS[0]], client=client, concurrency=8, progress=False)
    here = chat.map("{item}", [*ROWS, ROWS[0]], cache=False, concurrency=8, progress=False)

    assert [str(each) for each in here] == [str(each) for each in over]
    assert ([77], [77]) == ([f.row for f in over.failed], [f.row for f in here.failed])
    far.backend.forget()
    again = chat.map("{item}", ROWS, client=client, progress=False)
    assert {ROWS[77]: 1} == dict(far.backend.asked)
    assert again.counts.cached == 299


def test_F133_a_worker_is_killed(
    chat: Chat, far: Far, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and at most one chunk is asked twice; that needs no retries."""
    monkeypatch.setenv("GPROCHAT_RETRIES", "0")
    far.backend.seconds = 0.02
    pids = client.run(os.getpid)
    running = in_thread(
        lambda: chat.map("{item}!", ROWS, client=client, concurrency=8, progress=False)
    )
    assert far.backend.wait_answered(60)
    os.kill(min(pids.values()), signal.SIGKILL)
    answers = running()
    client.wait_for_workers(2, timeout=30)

    assert [f"{row}!".upper() for row in ROWS] == answers
    twice = [prompt for prompt, times in far.backend.asked.items() if times > 1]
    assert len(twice) <= cluster.CHUNK
    assert far.backend.asked.total() - len(ROWS) <= cluster.CHUNK


@pytest.mark.asyncio
async def test_a_stopped_map_stops_its_workers(chat: Chat, far: Far, client: Client) -> None:
    """Of the chunks that the workers have, nothing more is sent; what was answered is kept."""
    far.backend.seconds = 0.1
    task = asyncio.create_task(
        chat.amap("{item},", ROWS[:100], client=client, concurrency=4, progress=False)
    )
    assert await asyncio.to_thread(far.backend.wait_answered, 12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    asked = far.backend.asked.total()
    await asyncio.sleep(2)  # the time in which the workers would have sent all the others

    assert far.backend.asked.total() <= asked + 20 < 100


def test_the_rate_limit_holds_across_workers(chat: Chat, far: Far, client: Client) -> None:
    """One limit, held by the gateway: all slow down, each row is answered, few are refused."""
    far.backend.script = at_most(20, 0.5)
    answers = chat.map("{item}?", ROWS[:100], client=client, concurrency=8, progress=False)

    assert [f"{row}?" for row in ROWS[:100]] == answers
    assert far.backend.asked.total() - 100 < 100


def test_requests_a_minute_hold_across_workers(chat: Chat, far: Far, client: Client) -> None:
    """The spacing is shared out among the workers."""
    chat.map("{item}.", ROWS[:60], client=client, concurrency=60, per_minute=3000, progress=False)
    times = sorted(far.backend.times)

    assert times[-1] - times[0] > 0.9


def _specs(dask_scheduler: Any) -> bytes:
    return b"".join(pickle.dumps(task.run_spec) for task in dask_scheduler.tasks.values())


def test_no_secret_reaches_the_cluster(chat: Chat, far: Far, client: Client) -> None:
    """The scheduler holds prompts and signatures of single requests, never what signs them."""
    far.backend.seconds = 0.2
    running = in_thread(
        lambda: chat.map("{item}#", ROWS[:40], client=client, concurrency=8, progress=False)
    )
    assert far.backend.wait_answered(1)
    held = client.run_on_scheduler(_specs)
    running()

    secret = far.environment["GPROCHAT_SECRET_KEY"].encode()
    assert b"Say row 7#" in held
    assert secret not in held
    assert not any(
        secret in str(dict(env)).encode() for env in client.run(lambda: os.environ).values()
    )


def test_the_embedded_gateway_serves_workers_on_this_machine(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an endpoint, the workers reach the gateway inside this process."""
    monkeypatch.setenv("GPROCHAT_STORE", ":memory:")
    answers = Chat().map("{item}", ["help", "json"], client=client, progress=False)

    assert answers[0].startswith("# What the demo obeys")
    assert answers.failed == []


def test_a_scheduler_that_dies_pauses_the_run(
    chat: Chat, far: Far, doomed: tuple[LocalCluster, Client]
) -> None:
    """Midway, what was done is kept; from then on it is said before anything is sent."""
    started, connected = doomed
    far.backend.seconds = 0.02
    running = in_thread(
        lambda: chat.map("{item}", ROWS, client=connected, concurrency=8, progress=False)
    )
    assert far.backend.wait_answered(150)
    started.close()
    error = running()

    assert isinstance(error, ConnectError)
    assert "paused after" in error.message
    far.backend.forget()
    with pytest.raises(ConfigError, match="scheduler cannot be reached"):
        chat.map("{item}", ROWS, client=connected, progress=False)
    assert far.backend.asked.total() == 0
    far.backend.seconds = 0.0
    answers = chat.map("{item}", ROWS, progress=False)
    assert [row.upper() for row in ROWS] == answers
    assert answers.counts.cached > 0


def test_an_address_with_a_password_stays_here(
    chat: Chat, far: Far, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only this process should know is refused, not sent to a scheduler."""
    monkeypatch.setenv("GPROCHAT_PROXY", "http://user:word@localhost:1")
    with pytest.raises(ConfigError, match="what a cluster should not see"):
        chat.map("{item}", ROWS, client=client)

    assert far.backend.asked.total() == 0
