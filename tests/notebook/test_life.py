"""Loading, unloading and loading again: what is there, what it costs, and what is left behind."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateways import Served, served
from tests.kernels import Kernel, kernel

HEAVY = (
    "aiohttp",
    "anywidget",
    "executing",
    "gprochat_magic.engine",
    "gprochat_magic.notebook.commands",
    "ipywidgets",
    "markdown_it",
    "nest_asyncio",
    "nest_asyncio2",
)

WITNESS = """
import gc, glob, os, sys, tempfile, threading
def witness():
    "Everything of the shell and the process that an extension could leave something in."
    ip = get_ipython()
    gc.collect()
    tm = ip.input_transformer_manager
    return {
        "threads": sorted(t.name for t in threading.enumerate() if t.is_alive()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "sockets": sorted(d for d in glob.glob(tempfile.gettempdir() + "/gprochat-*")),
        "events": {name: [repr(c) for c in called] for name, called in ip.events.callbacks.items()},
        "transformers": [
            [repr(t) for t in there]
            for there in (tm.cleanup_transforms, tm.line_transforms, tm.token_transformers)
        ],
        "ast": [repr(t) for t in ip.ast_transformers],
        "matchers": [repr(m) for m in ip.Completer.matchers],
        "custom": [repr(m) for m in ip.Completer.custom_matchers],
        "hooks": {name: repr(hook) for name, hook in ip.hooks.items()},
        "magics": {kind: sorted(names) for kind, names in ip.magics_manager.magics.items()},
        "registry": sorted(ip.magics_manager.registry),
        "configurables": [type(c).__name__ for c in ip.configurables],
        "formatters": {
            name: sorted(map(repr, [*f.type_printers, *f.deferred_printers]))
            for name, f in ip.display_formatter.formatters.items()
        },
        "custom_exceptions": repr(ip.custom_exceptions),
        "excepthook": repr(sys.excepthook),
        "names": sorted(n for n in ip.user_ns if not n.startswith("_")),
    }
"""


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel without the extension, with a folder of its own for sockets."""
    with kernel(load=False, XDG_RUNTIME_DIR="", TMPDIR=str(tmp_path)) as started:
        yield started


def seen(k: Kernel) -> dict[str, Any]:
    ran = k.run("print(witness())")
    assert ran.status == "ok", ran.outputs
    found: dict[str, Any] = ast.literal_eval(ran.stdout)
    return found


def test_loading_is_light(bare: Kernel) -> None:
    """`%load_ext` brings in neither client nor panel nor renderer, and starts nothing."""
    bare.run("import sys, threading")
    before = bare.value("[t.name for t in threading.enumerate()]")
    bare.run("%load_ext gprochat_magic")

    assert bare.value(f"[m for m in {HEAVY} if m in sys.modules]") == []
    assert bare.value("[t.name for t in threading.enumerate()]") == before


def test_loading_is_light_in_a_terminal_shell() -> None:
    """The same without a kernel."""
    code = (
        "import sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell()\n"
        "shell.run_line_magic('load_ext', 'gprochat_magic')\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_F76_load_use_unload_50_times(bare: Kernel) -> None:
    """No thread, socket, descriptor, hook, matcher, magic, transformer, setting is left behind."""
    once = (
        "ip = get_ipython()\n"
        "for count in range({}):\n"
        "    ip.run_line_magic('load_ext', 'gprochat_magic')\n"
        "    reply = ip.run_line_magic('gprochat', '-q json')\n"
        "    assert reply.state == 'complete'\n"
        "    ip.run_line_magic('reload_ext', 'gprochat_magic')\n"
        "    ip.run_line_magic('unload_ext', 'gprochat_magic')\n"
        "del ip, count, reply"
    )
    bare.run(WITNESS)
    # What the first use brings into the process for good, such as modules' own descriptors.
    assert bare.run(once.format(1)).status == "ok"
    before = seen(bare)
    ran = bare.run(once.format(49))
    after = seen(bare)

    assert ran.status == "ok", ran.outputs
    # A kernel opens and closes some of its own.
    assert after.pop("descriptors") - before.pop("descriptors") < 5
    assert after == before
    assert before["sockets"] == []
    assert "gprochat-engine" not in before["threads"]


def test_unloading_leaves_the_shell_as_it_was_before_the_first_load(bare: Kernel) -> None:
    """Whatever a shell had, it has: everything but the process's own descriptors is equal."""
    bare.run(WITNESS)
    bare.run("%unload_ext nothing")  # IPython brings in its extension magics when they are used
    before = seen(bare)
    bare.run("%load_ext gprochat_magic\n%gprochat -q json")
    loaded = seen(bare)
    bare.run("%unload_ext gprochat_magic")
    after = seen(bare)
    for found in (before, loaded, after):
        del found["descriptors"]

    assert "gprochat" in loaded["magics"]["line"]
    assert "GPROChatMagics" in loaded["configurables"]
    assert after == before


def test_loading_twice_is_loading_once(bare: Kernel) -> None:
    """Neither two engines nor two hooks; settings that were made stay."""
    bare.run(WITNESS)
    bare.run("%load_ext gprochat_magic\n%gprochat -q json")
    bare.run("%config GPROChatMagics.turns = 7")
    once = seen(bare)
    ran = bare.run(
        "%load_ext gprochat_magic\nimport gprochat_magic\n"
        "gprochat_magic.load_ipython_extension(get_ipython())\ndel gprochat_magic"
    )
    bare.run("%gprochat -q json")

    assert ran.status == "ok"
    again = seen(bare)
    assert again.pop("descriptors") - once.pop("descriptors") < 5
    assert again == once
    assert once["threads"].count("gprochat-engine") == 1
    assert "turns         7" in bare.run("%gprochat").stdout


def test_reloading_keeps_the_conversation(bare: Kernel) -> None:
    """The turns belong to the kernel, not to the extension."""
    bare.run("%load_ext gprochat_magic\n%gprochat -q hello")
    bare.run("%reload_ext gprochat_magic")
    ran = bare.run("%gprochat hello")

    assert "You sent 2 " in ran.shown[0]["text/plain"]


def test_unloading_twice_or_without_loading(bare: Kernel) -> None:
    """Is IPython's own message, not a traceback of ours."""
    said = bare.run("%unload_ext gprochat_magic").stdout
    bare.run("%load_ext gprochat_magic\n%unload_ext gprochat_magic")
    again = bare.run("%unload_ext gprochat_magic").stdout

    assert "not loaded" in said
    assert "not loaded" in again


def test_after_unloading_the_magic_is_gone_and_the_api_works(bare: Kernel) -> None:
    """Python's own door needs no magics."""
    bare.run("%load_ext gprochat_magic\n%unload_ext gprochat_magic")

    assert "not found" in bare.run("%gprochat hello").stdout
    ran = bare.run("from gprochat_magic import ask\nprint(ask('json').state)")
    assert ran.stdout == "complete\n"


def test_exception_handlers_of_others_stay(bare: Kernel) -> None:
    """Another extension's set_custom_exc works while ours is loaded, fails, and is gone."""
    bare.run(
        "def mine(shell, kind, error, trace, tb_offset=None):\n"
        "    print('handled', kind.__name__)\n"
        "get_ipython().set_custom_exc((ZeroDivisionError,), mine)"
    )
    said = []
    for cell in ("%load_ext gprochat_magic", "%gprochat cut", "%unload_ext gprochat_magic"):
        bare.run(cell)
        said.append(bare.run("1 / 0").stdout)

    assert said == ["handled ZeroDivisionError\n"] * 3


def test_hooks_of_others_that_came_later_stay(bare: Kernel) -> None:
    """Unloading takes away what is ours and nothing else."""
    bare.run(
        "%load_ext gprochat_magic\n"
        "from IPython.core.inputtransformer2 import MagicAssign\n"
        "def later(*args): pass\n"
        "ip = get_ipython()\n"
        "ip.events.register('post_run_cell', later)\n"
        "ip.input_transformer_manager.token_transformers.append(MagicAssign)\n"
        "count = ip.input_transformer_manager.token_transformers.count(MagicAssign)"
    )
    bare.run("%unload_ext gprochat_magic")

    assert bare.value("later in ip.events.callbacks['post_run_cell']")
    assert (
        bare.value("ip.input_transformer_manager.token_transformers.count(MagicAssign) - count")
        == 0
    )


READERS = {
    "a thread that waits": (
        "import threading\n"
        "from gprochat_magic import ask\n"
        "def read():\n"
        "    try: ask('go on')\n"
        "    except Exception as error: ended.append(type(error).__name__)\n"
        "thread = threading.Thread(target=read)\n"
        "thread.start()"
    ),
    "a task on the kernel's loop": (
        "import asyncio\n"
        "from gprochat_magic import Chat\n"
        "async def read():\n"
        "    try: await Chat().ask('go on')\n"
        "    except Exception as error: ended.append(type(error).__name__)\n"
        "task = asyncio.create_task(read())"
    ),
    "a task that catches nothing": (
        "import asyncio\n"
        "from gprochat_magic import Chat\n"
        "task = asyncio.create_task(Chat().ask('go on'))\n"
        "task.add_done_callback(lambda t: ended.append(type(t.exception()).__name__))"
    ),
}


@pytest.mark.parametrize(
    ("reader", "command"),
    [*((reader, "unload_ext") for reader in READERS), ("a thread that waits", "reload_ext")],
)
def test_F76_unloading_while_a_reply_streams(far: Served, reader: str, command: str) -> None:
    """It is stopped, its text kept; the kernel lives, and loading works again."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    asked = len(far.backend.asked)
    with kernel(**far.environment) as k:
        k.run(f"ended = []\n{READERS[reader]}")
        k.run("import asyncio\nawait asyncio.sleep(0)")
        with far.backend.changed:
            assert far.backend.changed.wait_for(lambda: len(far.backend.asked) > asked, 10)
        while not k.value("__import__('gprochat_magic').Chat().conversation.line() != []"):
            pass
        assert k.run(f"%{command} gprochat_magic").status == "ok"
        assert far.backend.wait_closed(1)
        k.run("for _ in range(100):\n    if ended: break\n    await asyncio.sleep(0.05)")

        assert k.value("ended") == ["StreamInterruptedError"]
        assert (
            k.value(
                "[t.name for t in __import__('threading').enumerate()].count('gprochat-engine')"
            )
            == 0
        )
        assert k.value("__import__('gprochat_magic').Chat().conversation.line()[0].state") in (
            "interrupted",
            "failed",
        )
        far.backend.pieces, far.backend.pause = ["ok"], 0
        k.run("%load_ext gprochat_magic")
        assert k.run("%gprochat -n 0 again").shown[0]["text/plain"] == "ok"


def test_a_bad_setting_fails_the_load_and_leaves_nothing(tmp_path: Path) -> None:
    """Two lines at `%load_ext`; once it is mended the extension loads."""
    with kernel(load=False, GPROCHAT_TURNS="many") as k:
        k.run(WITNESS)
        before = seen(k)
        ran = k.run("%load_ext gprochat_magic")
        if ran.status == "ok":  # traits are read when they are needed
            ran = k.run("%gprochat hello")
        k.run("%unload_ext gprochat_magic")

        assert ran.error["ename"] == "ConfigError"
        assert "GPROCHAT_TURNS" in ran.error["traceback"][0]
        assert len(ran.error["traceback"]) == 2
        assert seen(k)["magics"] == before["magics"]


def test_the_socket_of_the_gateway_goes_with_the_kernel(tmp_path: Path) -> None:
    """A kernel that is shut down in order leaves no file behind."""
    with kernel(XDG_RUNTIME_DIR="", TMPDIR=str(tmp_path)) as k:
        k.run("%gprochat -q json")
        [directory] = tmp_path.glob("gprochat-*")
        mode = directory.stat().st_mode & 0o777
        k.manager.shutdown_kernel()

    assert mode == 0o700
    assert list(tmp_path.glob("gprochat-*")) == []


def test_restarting_in_the_middle_of_a_reply(far: Served) -> None:
    """The server sees the close, the new kernel is fresh, nothing is said on stderr."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2000, 0.01, 0
    with kernel(**far.environment) as k:
        k.start("%%gprochat\ngo on")
        while k.client.get_iopub_msg(timeout=30)["msg_type"] != "display_data":
            pass
        k.manager.restart_kernel()
        k.client.wait_for_ready(timeout=60)

        assert far.backend.wait_closed(1)
        far.backend.pieces, far.backend.pause = ["ok"], 0
        k.run("%load_ext gprochat_magic")
        assert k.run("%gprochat hello").shown[0]["text/plain"] == "ok"
        assert k.value("len(__import__('gprochat_magic').Chat().conversation.line())") == 1
