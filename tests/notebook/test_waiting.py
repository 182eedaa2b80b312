"""wait="nested" in a real kernel: the user's tasks go on, and it is refused where it does harm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gprochat_magic.notebook.waiting import version
from tests.gateways import Served
from tests.kernels import Kernel, kernel

TICKER = """
import asyncio
ticks = 0
async def tick():
    global ticks
    while True:
        await asyncio.sleep(0.02)
        ticks += 1
ticker = asyncio.get_running_loop().create_task(tick())
"""
PATCHED = "hasattr(__import__('asyncio'), '_nest_patched')"


@pytest.fixture
def far(gateway: Served) -> Served:
    """A gateway as if nobody had used it, whose reply takes most of a second."""
    gateway.backend.pieces, gateway.backend.pause = ["text "] * 15, 0.05
    gateway.backend.closed = 0
    gateway.backend.asked.clear()
    return gateway


@pytest.fixture(scope="module")
def one_kernel(gateway: Served) -> Iterator[Kernel]:
    with kernel(**gateway.environment) as started:
        started.run(TICKER)
        yield started


@pytest.fixture
def k(far: Served, one_kernel: Kernel) -> Kernel:
    """A kernel that blocks while it waits; asyncio is patched once a test chose otherwise."""
    one_kernel.run("%gprochat set wait block\n%gprochat reset")
    return one_kernel


@pytest.fixture
def own(far: Served) -> Iterator[Kernel]:
    """A kernel of the test's own, since a foreign patch cannot be taken back."""
    with kernel(**far.environment) as started:
        yield started


def ticks_during(k: Kernel, cell: str) -> float:
    """What share of the ticks of an idle loop came while a cell ran."""
    before = "import time\nstarted, ticks = time.monotonic(), 0\n"
    after = "\nshare = ticks * 0.02 / (time.monotonic() - started)"
    ran = k.run(before + cell + after)
    assert ran.status == "ok", ran.error
    return float(k.value("share"))


CALLS = [
    "%gprochat -n 0 go on",
    "def f():\n    return get_ipython().run_line_magic('gprochat', '-n 0 go on')\nf()",
    "from gprochat_magic import ask\nask('go on', turns=0)",
    "%time get_ipython().run_line_magic('gprochat', '-n 0 go on')",
]


@pytest.mark.parametrize("cell", CALLS)
def test_the_users_tasks_go_on(k: Kernel, cell: str) -> None:
    """A good part of the ticks come during a synchronous call; none when it blocks."""
    assert ticks_during(k, cell) < 0.1
    assert k.run("%gprochat set wait nested").stdout == "wait: 'nested'\n"

    assert ticks_during(k, cell) > 0.3


def test_the_reply_is_the_same(far: Served, k: Kernel) -> None:
    """Text, turns and result are as ever; a second reply works, and a task's own call too."""
    k.run("%gprochat set wait nested")
    for number in (1, 2):
        ran = k.run(f"%gprochat -n 0 go on {number}")
        assert ran.shown[0]["text/plain"] == "text " * 15
        assert k.value("_.turn") == number
    k.run(
        "from gprochat_magic import ask, Chat\n"
        "async def own():\n    return ask('inside', turns=0).text\n"
        "task = asyncio.get_running_loop().create_task(own())\n"
        "%gprochat -q -n 0 -c chat outside"
    )
    assert k.value("(await task) == 'text ' * 15")


def test_an_interrupt_still_ends_it(far: Served, k: Kernel) -> None:
    """The server sees the close, the queued cell is aborted, and the next one runs."""
    far.backend.pieces = ["text "] * 2000
    k.run("%gprochat set wait nested")
    first = k.start("%gprochat go on")
    queued = k.start("ran_anyway = True")
    pressed: list[bool] = []

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data" and not pressed:
            pressed.append(True)
            k.interrupt()

    ran = k.finish(first, watch)
    assert ran.error["ename"] == "ReplyInterrupted"
    assert len(ran.error["traceback"]) == 1
    assert k.finish(queued).status == "aborted"
    assert far.backend.wait_closed(1)
    assert k.value("'ran_anyway' in globals()") is False


def test_the_next_queued_cell_runs(k: Kernel) -> None:
    """A cell that was sent while a reply streamed is not lost."""
    k.run("%gprochat set wait nested")
    first = k.start("%gprochat -q go on")
    second = k.start("print('ran')")

    assert k.finish(first).status == "ok"
    assert k.finish(second).stdout == "ran\n"


def test_nothing_is_patched_until_a_reply_needs_it(far: Served, own: Kernel) -> None:
    """Neither loading, nor the default, nor choosing it patches asyncio; the first reply does."""
    far.backend.pieces = ["ok"]
    own.run("%gprochat -q hi")
    assert own.value(PATCHED) is False
    own.run("%config GPROChatMagics.wait = 'nested'")
    assert own.value(f"{PATCHED}, 'nest_asyncio2' in __import__('sys').modules") == (False, False)
    assert "wait             nested, from the next reply on" in own.run("%gprochat doctor").stdout
    own.run("%gprochat -q hi")
    assert own.value(PATCHED) is True
    said = own.run("%gprochat doctor").stdout

    assert "wait             nested, with nest_asyncio2" in said
    assert "asyncio patched  by nest_asyncio2" in said


def test_the_environment_chooses_it(far: Served) -> None:
    """GPROCHAT_WAIT=nested takes effect with the first reply, without any word of the user's."""
    with kernel(**far.environment, GPROCHAT_WAIT="nested") as k:
        k.run(TICKER)

        assert ticks_during(k, "%gprochat go on") > 0.3


FOREIGN = "import nest_asyncio\nnest_asyncio.apply()"
LOST = "nest_asyncio was applied before, and with it ipykernel 7.1 and later lose the next cell"


loses_cells = pytest.mark.skipif(
    version("ipykernel") < (7, 1), reason="an older ipykernel gets on with the older patch"
)


@loses_cells
def test_a_foreign_patch_is_refused(own: Kernel) -> None:
    """With nest_asyncio 1.6 applied by somebody, ipykernel 7.1 loses cells: it stays with block."""
    own.run(FOREIGN)
    ran = own.run("%gprochat set wait nested")

    assert ran.reply["content"]["ename"] == "UsageError"
    assert f"wait=nested is refused: {LOST}" in ran.stdout
    assert "wait=nested is refused" in own.run("%config GPROChatMagics.wait = 'nested'").stdout
    assert own.value("__import__('gprochat_magic').config.current().wait") == "block"
    assert own.value("'nest_asyncio2' in __import__('sys').modules") is False


@loses_cells
def test_a_configured_choice_that_is_unsafe_blocks_and_says_so(far: Served) -> None:
    """Loading works; the first reply says why it blocks, once, and so does doctor."""
    far.backend.pieces = ["ok"]
    with kernel(**far.environment, GPROCHAT_WAIT="nested") as k:
        k.run(FOREIGN)
        said = [k.run("%gprochat -q hi").stdout for _ in range(2)]
        doctor = k.run("%gprochat doctor").stdout

    assert said[0].startswith(f"wait=nested is not in force, replies block: {LOST}")
    assert said[1] == ""
    assert f"block, although nested was chosen: {LOST}" in doctor
    assert "asyncio patched  by nest_asyncio\n" in doctor


UVLOOP = """
import asyncio, threading, uvloop, os
os.environ.update({environment!r})
from gprochat_magic.notebook import waiting
async def main():
    print(waiting.refusal(), end="")
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


def test_uvloop_is_refused() -> None:
    """A loop that is not asyncio's own cannot be nested."""
    pytest.importorskip("uvloop")
    import subprocess
    import sys

    ran = subprocess.run(
        [sys.executable, "-c", UVLOOP.format(environment={})], capture_output=True, text=True
    )

    assert ran.stdout == "the kernel's loop is a uvloop.Loop, which cannot be nested"


def test_without_a_loop_it_is_refused(k: Kernel) -> None:
    """In a thread of the user's there is nothing to turn: it blocks there, and works."""
    k.run("%gprochat set wait nested")
    k.run(
        "import threading\nfrom gprochat_magic import ask\nheard = []\n"
        "thread = threading.Thread(target=lambda: heard.append(ask('hi', turns=0)))\n"
        "thread.start(); thread.join()"
    )

    assert k.value("heard[0].text") == "text " * 15


def test_both_patches_are_never_mixed(own: Kernel) -> None:
    """After ours, a foreign apply() changes nothing that breaks a reply."""
    own.run("%gprochat set wait nested\n%gprochat -q go on")
    own.run(FOREIGN)

    assert own.run("%gprochat -q go on").status == "ok"
    assert "by nest_asyncio2" in own.run("%gprochat doctor").stdout


@pytest.mark.parametrize(
    ("versions", "python", "expected"),
    [
        ({"nest-asyncio2": "1.7.2"}, (3, 11), "nest-asyncio2 1.7.2 loses the next cell"),
        ({"nest-asyncio2": "1.7.3"}, (3, 11), ""),
        ({"nest-asyncio2": "2.0"}, (3, 14), ""),
        ({}, (3, 11), "nest-asyncio2 is not installed"),
        ({"nest-asyncio": "1.6.0", "ipykernel": "7.0.1"}, (3, 11), ""),
        ({"nest-asyncio": "1.6.0", "ipykernel": "6.29.5"}, (3, 13), ""),
        ({"nest-asyncio": "1.6.0", "ipykernel": "7.1.0"}, (3, 11), "lose the next cell"),
        ({"nest-asyncio": "1.6.0", "ipykernel": "6.29.5"}, (3, 14), "fail on Python 3.14"),
    ],
)
@pytest.mark.asyncio
async def test_the_guard_knows_each_unsafe_pair(
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, str],
    python: tuple[int, ...],
    expected: str,
) -> None:
    """It decides by who patched, the Python, and the releases of ipykernel and nest-asyncio2."""
    import asyncio
    from importlib import metadata

    from gprochat_magic.notebook import waiting

    def version(package: str) -> str:
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(waiting.sys, "version_info", python)
    if "nest-asyncio" in versions:
        monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)
    waiting.version.cache_clear()
    found = waiting.refusal()
    waiting.version.cache_clear()

    assert expected in found
    assert bool(expected) == bool(found)
