"""Stopping a reply in a real kernel: at once, with its text kept, and nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from gprochat_magic.gateway.backends import BackendError
from tests.faults import deaf_port
from tests.gateways import Served, served
from tests.kernels import Kernel, Ran, kernel
from tests.store.histories import report


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def slow_kernel(far: Served) -> Iterator[Kernel]:
    with kernel(**far.environment) as started:
        yield started


def stopped(kernel: Kernel, cell: str, *, presses: int = 1) -> Ran:
    """Run a cell and interrupt it once its first text shows."""
    pressed: list[int] = []

    def watch(message: dict[str, Any]) -> None:
        if "display_data" in message["msg_type"] and not pressed:
            for _ in range(presses):
                pressed.append(1)
                kernel.interrupt()

    return kernel.run(cell, watch)


def engine_threads(kernel: Kernel) -> int:
    return int(
        kernel.value(
            "[t.name for t in __import__('threading').enumerate()].count('gprochat-engine')"
        )
    )


def assert_was_stopped(ran: Ran) -> None:
    assert ran.status == "error"
    assert ran.error["ename"] == "ReplyInterrupted"
    assert len(ran.error["traceback"]) == 1
    assert ran.shown[0]["text/plain"].startswith("text ")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_F60_interrupt_while_streaming(far: Served, slow_kernel: Kernel, times: int) -> None:
    """Each time: idle, the server sees the close, the text is kept, and the next cell works."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    for count in range(1, times + 1):
        ran = stopped(slow_kernel, "%%gprochat -n 0\ngo on")

        assert_was_stopped(ran)
        assert far.backend.wait_closed(count)
        assert slow_kernel.run("1 + 1").shown[0]["text/plain"] == "2"
    states = slow_kernel.value(
        "{t.state for t in __import__('gprochat_magic').Chat().conversation.line()}"
    )
    assert states == {"interrupted"}
    assert engine_threads(slow_kernel) == 1
    report(f"{times} interrupts: 0 stuck, {far.backend.closed} closes seen by the server")


def test_F61_interrupt_while_connecting() -> None:
    """A server that takes no connection: the interrupt ends the cell, also in the first moments of
    a first prompt; no task, thread or socket is left.
    """
    with deaf_port() as port:
        endpoint = f"http://127.0.0.1:{port}/api/generate"
        with kernel(GPROCHAT_API_ENDPOINT=endpoint, GPROCHAT_SECRET_KEY="s" * 32) as k:
            pid = k.value("__import__('os').getpid()")
            cell = k.start("%%gprochat\nat once")
            while psutil.CONN_SYN_SENT not in _connections(pid, port):
                time.sleep(0.01)
            k.interrupt()

            assert k.finish(cell).status == "error"
            assert k.value(TASKS) == 0
            assert _connections(pid, port) == []
            ran = _interrupted_while_waiting(k, "waiting, ")
            assert ran.error["ename"] == "ReplyInterrupted"
            assert k.value(TASKS) == 0
            assert engine_threads(k) == 1
            assert _connections(pid, port) == []
            turns = "__import__('gprochat_magic').Chat().conversation.line()"
            assert k.value(f"[turn.state for turn in {turns}]") == ["failed", "failed"]


TASKS = (
    "len(__import__('asyncio').all_tasks("
    "__import__('gprochat_magic.engine', fromlist=['x']).shared()._loop))"
)


def _connections(pid: int, port: int) -> list[str]:
    """The states of a process's connections to a port."""
    found = psutil.net_connections("tcp")
    return [
        each.status for each in found if each.pid == pid and each.raddr and each.raddr.port == port
    ]


def _interrupted_while_waiting(k: Kernel, told: str = "asking again") -> Ran:
    """Interrupt a cell once it shows that it waits, in these words."""
    pressed: list[bool] = []

    def watch(message: dict[str, Any]) -> None:
        if told in str(message["content"]) and not pressed:
            pressed.append(True)
            k.interrupt()

    return k.run("%%gprochat\ngo on", watch)


def test_F62_interrupt_while_waiting_to_ask_again(slow_kernel: Kernel, far: Served) -> None:
    """The wait ends at once and no further request arrives."""
    before = len(far.backend.asked)
    far.backend.refusal = BackendError(503, "busy", retry_after=30)
    try:
        ran = _interrupted_while_waiting(slow_kernel)
    finally:
        far.backend.refusal = None

    assert ran.error["ename"] == "ReplyInterrupted"
    far.backend.pieces, far.backend.pause = ["ok"], 0
    assert slow_kernel.run("%gprochat -n 0 next").status == "ok"
    assert len(far.backend.asked) == before + 2


def test_F63_three_interrupts_at_once(far: Served, slow_kernel: Kernel) -> None:
    """Pressing again does not break the clean-up: one close at the server, the next cell works."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    started = slow_kernel.start("%%gprochat -n 0\ngo on")
    while True:
        message = slow_kernel.client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "display_data" and "text" in str(message["content"]):
            break
    for _ in range(3):
        slow_kernel.interrupt()

    # A press that finds the cell over already hits the kernel itself, which may then lose the
    # cell's reply, so it is not waited for; a cell sent before the kernel is idle is aborted.
    assert started
    assert far.backend.wait_closed(1)
    assert "ok" in (slow_kernel.run("1 + 1").status for _ in range(20))
    assert engine_threads(slow_kernel) == 1


HANDLER = """
import signal
def mine(*a): raise KeyboardInterrupt("mine")
usual = signal.signal(signal.SIGINT, mine)
try:
    get_ipython().run_line_magic("gprochat", {line!r})
except BaseException as error:
    ended = type(error).__name__
else:
    ended = ""
put_back = signal.getsignal(signal.SIGINT) is mine
signal.signal(signal.SIGINT, usual)
"""


@pytest.mark.parametrize(
    ("pieces", "line", "expected"),
    [
        (["ok"], "-n 0 hi", ""),
        (["text "] * 2000, "-n 0 go on", "ReplyInterrupted"),
        ([], "-n 0 hi", "EmptyReplyError"),
    ],
)
def test_the_interrupt_handler_is_put_back(
    slow_kernel: Kernel, far: Served, pieces: list[str], line: str, expected: str
) -> None:
    """After a normal end, an interrupt and an error the user's own SIGINT handler is in place."""
    far.backend.pieces, far.backend.pause = pieces, 0.01
    cell = HANDLER.format(line=line)
    ran = stopped(slow_kernel, cell) if len(pieces) > 1 else slow_kernel.run(cell)

    assert ran.status == "ok"
    assert slow_kernel.value("ended, put_back") == (expected, True)


def test_queued_cells_are_aborted_by_an_interrupt(far: Served, slow_kernel: Kernel) -> None:
    """Run all stops where the user stopped it."""
    far.backend.pieces, far.backend.pause = ["text "] * 2000, 0.01
    first = slow_kernel.start("%%gprochat -n 0\ngo on")
    second = slow_kernel.start("ran_anyway = True")

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data":
            slow_kernel.interrupt()

    assert slow_kernel.finish(first, watch).status == "error"
    assert slow_kernel.finish(second).status == "aborted"
    assert slow_kernel.value("'ran_anyway' in globals()") is False


def test_an_interrupt_inside_a_loop_of_calls(far: Served, slow_kernel: Kernel) -> None:
    """A loop over the magic ends as a whole."""
    far.backend.pieces, far.backend.pause = ["text "] * 2000, 0.01
    ran = stopped(slow_kernel, "for i in range(3):\n    %gprochat -n 0 go on")

    assert ran.status == "error"
    assert slow_kernel.value("i") == 0


def test_F70_cells_work_whatever_was_done_to_asyncio(far: Served) -> None:
    """nest_asyncio applied before or after first use, or a running loop: streams and Stop work."""
    far.backend.pieces, far.backend.pause = ["text "] * 3, 0
    with kernel(**far.environment) as k:
        assert k.run("%gprochat one").status == "ok"
        k.run("import nest_asyncio; nest_asyncio.apply()")
        for cell in ("%gprochat two", "import asyncio\nawait asyncio.sleep(0)\n%gprochat three"):
            assert k.run(cell).shown[0]["text/plain"] == "text text text "
        far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
        assert_was_stopped(stopped(k, "%%gprochat -n 0\ngo on"))
        assert far.backend.wait_closed(1)


def test_nothing_of_asyncio_is_patched_by_us(k_plain: Kernel) -> None:
    """After loading and a reply asyncio is as it was."""
    k_plain.run("%gprochat json")

    assert k_plain.value(
        "__import__('asyncio').Task is __import__('_asyncio').Task"
        " and not hasattr(__import__('asyncio'), '_nest_patched')"
    )


@pytest.fixture
def k_plain() -> Iterator[Kernel]:
    with kernel() as started:
        yield started


def test_F77_exit_while_streaming(far: Served) -> None:
    """A kernel told to shut down in the middle of a reply goes, and the server sees it."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    with kernel(**far.environment) as k:
        wanted = k.start("%%gprochat\ngo on")
        while k.client.get_iopub_msg(timeout=30)["msg_type"] != "display_data":
            pass
        k.manager.shutdown_kernel()

        assert not k.manager.is_alive()
        assert wanted
    assert far.backend.wait_closed(1)
