"""The few things that must work in every ipykernel, on each of the interpreters that are given.

`GPROCHAT_TEST_KERNEL_PYTHONS` names them, joined by `os.pathsep`; without it, the one that runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import Served, served
from tests.kernels import Kernel, kernel

pytestmark = pytest.mark.soak

PYTHONS = os.environ.get("GPROCHAT_TEST_KERNEL_PYTHONS", sys.executable).split(os.pathsep)


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


@pytest.fixture(scope="module", params=PYTHONS, ids=lambda path: path.split("/")[-3])
def k(request: pytest.FixtureRequest, far: Served) -> Iterator[Kernel]:
    """A kernel of each interpreter, with the extension loaded."""
    with kernel(python=request.param, **far.environment) as started:
        yield started


def streaming(far: Served, pieces: int = 2000) -> None:
    far.backend.pieces, far.backend.pause = ["text "] * pieces, 0.01
    far.backend.closed, far.backend.sent = 0, 0


def interrupted(k: Kernel, cell: str) -> Any:
    pressed: list[bool] = []

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data" and not pressed:
            pressed.append(True)
            k.interrupt()

    return k.run(cell, watch)


def test_text_streams_and_is_one_output(far: Served, k: Kernel) -> None:
    """The first text is there long before the last was sent; at the end there is one output."""
    streaming(far, 50)
    sent: list[int] = []

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data":
            sent.append(far.backend.sent)

    ran = k.run("%%gprochat -n 0\nhello", watch)

    assert ran.status == "ok", ran.outputs
    assert sent[0] < 25
    [output] = ran.outputs
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert output["data"]["text/plain"].strip() == ("text " * 50).strip()


def test_an_interrupt_stops_it(far: Served, k: Kernel) -> None:
    """One line, the text kept, the server told, the next cell and the next reply work."""
    for number in range(3):
        streaming(far)
        ran = interrupted(k, f"%%gprochat -n 0\ngo on {number}")

        assert ran.status == "error"
        assert ran.error["ename"] == "ReplyInterrupted"
        assert len(ran.error["traceback"]) == 1
        assert far.backend.wait_closed(1)
        assert k.run("1 + 1").shown[0]["text/plain"] == "2"
    streaming(far, 3)
    assert k.run("%gprochat -n 0 next").shown[0]["text/plain"].strip() == "text text text"
    states = k.value("[t.state for t in __import__('gprochat_magic').Chat().conversation.line()]")
    assert states[-4:] == ["interrupted"] * 3 + ["complete"]


def test_a_cell_queued_meanwhile_runs(far: Served, k: Kernel) -> None:
    """After the reply, with none of its output."""
    streaming(far, 30)
    first, second = k.start("%gprochat -n 0 hello"), k.start("print('second')")
    one, two = k.finish(first), k.finish(second)

    assert [o["output_type"] for o in one.outputs] == ["display_data"]
    assert [o["output_type"] for o in two.outputs] == ["stream"]
    assert two.stdout == "second\n"


@pytest.mark.parametrize("module", ["", "nest_asyncio"])
def test_two_replies_one_after_another(far: Served, k: Kernel, module: str) -> None:
    """Each in its own cell, also in a kernel whose asyncio somebody patched."""
    if module:
        ran = k.run(
            f"import warnings; warnings.simplefilter('ignore')\nimport {module}; {module}.apply()"
        )
        if ran.status == "error":
            pytest.skip(f"{module} is not there, or not for this loop")
    streaming(far, 5)
    ids = [k.start(f"%gprochat -n 0 {number}") for number in range(3)]
    cells = [k.finish(wanted) for wanted in ids]

    assert [cell.status for cell in cells] == ["ok"] * 3
    assert [len(cell.outputs) for cell in cells] == [1] * 3


def test_awaited_replies(far: Served, k: Kernel) -> None:
    """Top-level await and gathered tasks."""
    streaming(far, 3)
    ran = k.run(
        "import asyncio\nfrom gprochat_magic import Chat\n"
        "a, b = await asyncio.gather(Chat('a').ask('x'), Chat('b').ask('y'))"
    )

    assert ran.status == "ok", ran.outputs
    assert k.value("(str(a), str(b))") == ("text text text ",) * 2


def test_unloading_while_a_task_reads(far: Served, k: Kernel) -> None:
    """The kernel lives, the thread is gone, and it loads again."""
    streaming(far)
    asked = len(far.backend.asked)
    k.run("task = asyncio.create_task(Chat('task').ask('go on'))\nawait asyncio.sleep(0)")
    with far.backend.changed:
        assert far.backend.changed.wait_for(lambda: len(far.backend.asked) > asked, 10)
    assert k.run("%unload_ext gprochat_magic").status == "ok"
    assert far.backend.wait_closed(1)
    threads = k.value("[t.name for t in __import__('threading').enumerate()]")

    assert "gprochat-engine" not in threads
    assert k.run("%load_ext gprochat_magic").status == "ok"
    streaming(far, 2)
    assert k.run("%gprochat -n 0 again").shown[0]["text/plain"].strip() == "text text"
