"""Every kind of front end, and every kind of place in a cell, shows a reply as it comes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pexpect
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from tests.gateways import Served, served
from tests.kernels import Kernel, Ran, as_saved, kernel

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


@pytest.fixture
def endless(far: Served) -> Served:
    """A gateway whose reply goes on for 5 s."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 500, 0.01, 0
    return far


@pytest.fixture
def short(far: Served) -> Served:
    """A gateway that answers at once."""
    far.backend.pieces, far.backend.pause = ["text ", "text."], 0
    return far


@pytest.fixture(scope="module")
def far_kernel(far: Served) -> Iterator[Kernel]:
    with kernel(**far.environment) as started:
        yield started


@contextlib.contextmanager
def terminal(command: list[str], tmp_path: Path, far: Served) -> Iterator[Any]:
    """A command in a terminal of its own, ended with the test."""
    environment = {
        **os.environ,
        **far.environment,
        "IPYTHONDIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
        "TERM": "dumb",
        "PYTHONUNBUFFERED": "1",
    }
    child = pexpect.spawn(
        sys.executable, command, env=environment, encoding="utf-8", timeout=30, dimensions=(50, 200)
    )
    try:
        yield child
    finally:
        child.close(force=True)


@pytest.fixture
def ipython(tmp_path: Path, far: Served) -> Iterator[Any]:
    """Terminal IPython with the extension loaded."""
    flags = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
    with terminal(flags, tmp_path, far) as child:
        child.expect(r"In \[1\]: ")
        child.sendline("%load_ext gprochat_magic")
        child.expect(r"In \[2\]: ")
        yield child


class TestTerminal:
    """`ipython` in a terminal."""

    def test_plain_text_without_an_object_or_a_second_output(
        self, ipython: Any, short: Served
    ) -> None:
        """The text, a footer, the next prompt; no Out[], no representation of an object."""
        ipython.sendline("%gprochat hello")
        ipython.expect(r"In \[3\]: ")

        said = ipython.before.replace("\r\n", "\n")
        assert "text text.\n[gemini-1.5-pro" in said
        assert "Out[" not in said
        assert not re.search(r"<[\w.]+ ?(object|Markdown)", said)
        ipython.sendline("print(type(_).__name__, _.text)")
        ipython.expect("Reply text text.")

    def test_text_comes_while_the_reply_is_on_its_way(self, ipython: Any, endless: Served) -> None:
        """And Ctrl-C stops it: one line, the text kept, the server told, the prompt back."""
        endless.backend.sent = 0
        ipython.sendline("%gprochat go on")
        ipython.expect("text text ")
        assert endless.backend.sent < 1000
        ipython.sendintr()
        ipython.expect("Stopped. The text so far is kept")
        ipython.expect(r"In \[3\]: ")

        assert "Traceback" not in ipython.before
        assert endless.backend.wait_closed(1)
        ipython.sendline("%gprochat history 1")
        ipython.expect(r"1\s+\[interrupted\]\s+> go on\s+text text")

    def test_F56_control_sequences_are_not_passed_on(self, ipython: Any, far: Served) -> None:
        """Neither titles, clipboards, links, colours nor a carriage return reach the terminal."""
        evil = (
            "a\x1b]52;c;AAAA\x07b\x1b]8;;http://x\x1b\\c\x1b[2J\x1b[31md\x9b31me\x00f\x08g\rh\x7fi"
        )
        far.backend.pieces, far.backend.pause = [evil[:7], evil[7:20], evil[20:]], 0.01
        ipython.sendline("%gprochat hello")
        ipython.expect(r"In \[3\]: ")

        said = ipython.before.replace("\r\n", "\n").partition("%gprochat hello\n")[2]
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)
        assert [c for c in "abcdefghi" if c not in said] == []

    def test_an_error_is_two_lines(self, ipython: Any, far: Served) -> None:
        """No traceback of ours."""
        ipython.sendline("%config GPROChatMagics.api_endpoint = 'http://127.0.0.1:9/x'")
        ipython.expect(r"In \[3\]: ")
        ipython.sendline("%config GPROChatMagics.retries = 0")
        ipython.expect(r"In \[4\]: ")
        ipython.sendline("%gprochat hello")
        ipython.expect(r"In \[5\]: ")

        said = [line for line in ipython.before.splitlines() if line.strip()][1:]
        assert said[0].startswith("ConnectError: ")
        assert said[1].startswith("  → ")
        assert len(said) == 2

    def test_leaving_while_nothing_streams(self, ipython: Any, short: Served) -> None:
        """`exit` after use is quick and silent."""
        ipython.sendline("%gprochat -q hello")
        ipython.expect(r"In \[3\]: ")
        ipython.sendline("exit")
        ipython.expect(pexpect.EOF, timeout=10)

        assert "rror" not in ipython.before
        assert "Traceback" not in ipython.before


def test_jupyter_console_shows_text_as_it_streams(tmp_path: Path, endless: Served) -> None:
    """It shows no updates of displays, so there the text is written; Ctrl-C stops it."""
    command = ["-m", "jupyter_console", "--simple-prompt", "--ZMQTerminalInteractiveShell.banner="]
    endless.backend.sent = 0
    with terminal(command, tmp_path, endless) as child:
        child.expect(r"In ?\[1\]: ", timeout=60)
        child.sendline("%load_ext gprochat_magic")
        child.expect(r"In ?\[2\]: ")
        child.sendline("%gprochat go on")
        child.expect("text text ")
        assert endless.backend.sent < 1000
        child.sendintr()
        child.expect("Stopped. The text so far is kept")
        assert endless.backend.wait_closed(1)
        child.expect(r"In ?\[3\]: ")
        child.sendline("print(6 * 7)")
        child.expect("42")


def test_nbclient_saves_one_output_with_the_whole_text(tmp_path: Path, far: Served) -> None:
    """Executed without a screen: one output, both formats, no widget; an error fails the run."""
    far.backend.pieces, far.backend.pause = ["text "] * 40, 0.01
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("%load_ext gprochat_magic"),
            nbformat.v4.new_code_cell("%%gprochat\nhello"),
        ]
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in far.environment.items():
            patch.setenv(name, value)
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()

    [output] = notebook.cells[1].outputs
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/html", "text/plain"}
    assert output.data["text/plain"].strip() == ("text " * 40).strip()
    assert "widgets" not in notebook.metadata


def test_the_first_notebook_runs_headless(tmp_path: Path) -> None:
    """`jupyter execute` with nothing configured: the demo's reply is in the notebook."""
    for name in ("01_first_prompt.ipynb",):
        target = tmp_path / name
        # All of it but the wait for the reply that is slow on purpose.
        source = (NOTEBOOKS / name).read_text(encoding="utf-8")
        target.write_text(source.replace('"slow"', '"code"'), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "jupyter", "execute", "--inplace", str(target)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        ran = nbformat.read(target, as_version=4)

        assert done.returncode == 0, done.stderr
        shown = [o for c in ran.cells for o in c.get("outputs", []) if "data" in o]
        assert any("demo" in output["data"].get("text/plain", "") for output in shown)
        assert not [o for c in ran.cells for o in c.get("outputs", []) if o.output_type == "error"]


def test_the_first_notebook_is_stored_without_outputs() -> None:
    """Outputs belong to whoever runs it."""
    notebook = nbformat.read(NOTEBOOKS / "01_first_prompt.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert [cell for cell in code if cell.outputs or cell.execution_count] == []


def test_a_plain_script(far: Served, short: Served) -> None:
    """`ask` without IPython, which is not even imported."""
    code = (
        "import sys; from gprochat_magic import ask\n"
        "print(ask('hi')); print('IPython' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **far.environment},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("text text.\nFalse\n", "")


PLACES = {
    "cell magic": "%%gprochat -n 0\nhello",
    "line magic": "%gprochat -n 0 hello",
    "async cell": "import asyncio\nawait asyncio.sleep(0)\n%gprochat -n 0 hello",
    "function": "def f():\n    get_ipython().run_line_magic('gprochat', '-n 0 hello')\nf()",
    "coroutine": "async def f(ip):\n    ip.run_line_magic('gprochat', 'x')\nawait f(get_ipython())",
    "run_cell": "_ = get_ipython().run_cell('%gprochat -n 0 hello')",
    "time": "%%time\n%gprochat -n 0 hello",
    "time of the cell magic": "%time get_ipython().run_cell_magic('gprochat', '-n 0', 'hello');",
    "prun": "%prun -q get_ipython().run_line_magic('gprochat', '-n 0 hello')",
    "conditional": "if True:\n    %gprochat -n 0 hello",
    "try": "try:\n    %gprochat -n 0 hello\nfinally:\n    pass",
}


@pytest.mark.parametrize("place", PLACES)
def test_places_in_a_cell(short: Served, far_kernel: Kernel, place: str) -> None:
    """One output with the whole text, wherever in a cell the magic is called."""
    ran = far_kernel.run(PLACES[place])

    assert ran.status == "ok", ran.outputs
    shown = [data for data in ran.shown if "text/html" in data]
    assert [data["text/plain"] for data in shown] == ["text text."]


PYTHON = {
    "ask": "r = str(ask('hello'))",
    "ask in an async cell": "await asyncio.sleep(0)\nr = str(ask('hello'))",
    "await": "r = str(await Chat().ask('hello'))",
    "async for": "r = ''\nasync for p in Chat().stream('hello'):\n    r += p",
    "gathered": "r = str((await asyncio.gather(Chat('a').ask('x'), Chat('b').ask('x')))[1])",
    "task": "r = str(await asyncio.create_task(Chat().ask('hello')))",
    "user thread": "r = str(await asyncio.to_thread(ask, 'hello'))",
    "asyncio.run in a user thread": (
        "def f(): return str(asyncio.run(Chat().ask('hello')))\nr = await asyncio.to_thread(f)"
    ),
    "provider": "r = await GPROChat.create_async('', [{'role': 'user', 'content': 'x'}])",
    "completion": "r = ''.join(GPROChat.create_completion('', [{'role': 'user', 'content': 'x'}]))",
    "comprehension": "r = [str(ask(x)) for x in 'ab'][1]",
}


def test_a_timed_reply_can_be_kept(short: Served, far_kernel: Kernel) -> None:
    """`x = %time ...` has the reply, shown once."""
    ran = far_kernel.run("x = %time get_ipython().run_line_magic('gprochat', '-n 0 hello')")

    assert [data["text/plain"] for data in ran.shown] == ["text text."]
    assert far_kernel.value("str(x)") == "text text."


@pytest.mark.parametrize("place", PYTHON)
def test_places_in_python(short: Served, far_kernel: Kernel, place: str) -> None:
    """The same through Python, in the kernel's running loop and beside it; nothing is displayed."""
    far_kernel.run("import asyncio\nfrom gprochat_magic import ask, Chat, GPROChat")
    ran = far_kernel.run(PYTHON[place])

    assert ran.status == "ok", ran.outputs
    assert ran.outputs == []
    assert far_kernel.value("r") == "text text."


@pytest.mark.parametrize(
    "setting", [("%autoawait off", "%autoawait on"), ("%gui asyncio", "%gui")], ids=lambda s: s[0]
)
def test_settings_of_the_loop(short: Served, far_kernel: Kernel, setting: tuple[str, str]) -> None:
    """However IPython runs cells."""
    far_kernel.run(setting[0])
    try:
        ran = far_kernel.run("%gprochat -n 0 hello")
    finally:
        far_kernel.run(setting[1])

    assert ran.status == "ok", ran.outputs
    assert ran.shown[0]["text/plain"] == "text text."


def test_captured_output_is_captured(short: Served, far_kernel: Kernel) -> None:
    """%%capture takes the reply; nothing of it shows, and it can be shown later."""
    ran = far_kernel.run("%%capture cap\n%gprochat -n 0 hello")

    assert ran.outputs == []
    assert far_kernel.run("cap.show()").shown[0]["text/plain"] == "text text."


def test_an_awaited_reply_is_interrupted_in_silence_too(far: Served, far_kernel: Kernel) -> None:
    """The kernel's loop notices the interrupt while nothing arrives; the text is kept."""
    far.backend.pieces, far.backend.pause, far.backend.closed = ["text "] * 2, 30, 0
    pressed: list[bool] = []

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and not pressed:
            pressed.append(True)
            far_kernel.interrupt()

    ran = far_kernel.run(
        "from gprochat_magic import Chat\n"
        "async for p in Chat('quiet').stream('x'): print(p, flush=True)",
        watch,
    )

    assert ran.status == "error"
    assert ran.error["ename"] in ("CancelledError", "KeyboardInterrupt")
    assert far.backend.wait_closed(1, 2)
    assert far_kernel.value("Chat('quiet').conversation.line()[0].state") == "interrupted"
    assert far_kernel.run("1 + 1").status == "ok"


def press_stop(k: Kernel, far: Served) -> None:
    """Interrupt until the server sees a reply left.

    Its request is there a moment before the kernel waits for it, and until it does, one whose loop
    runs ignores SIGINT.
    """
    for _ in range(50):
        k.interrupt()
        if far.backend.wait_closed(1, 0.2):
            return


def test_an_interrupt_of_a_background_task_does_not_end_the_kernel(
    endless: Served, far_kernel: Kernel
) -> None:
    """A task that blocks the loop with a synchronous ask, between cells, can be stopped as well."""
    asked = len(endless.backend.asked)
    far_kernel.run(
        "import asyncio\nfrom gprochat_magic import ask\n"
        "async def blocking():\n"
        "    await asyncio.sleep(0.3)  # when the cell is over\n"
        "    ask('go on', history=False)\n"
        "task = asyncio.get_running_loop().create_task(blocking())"
    )
    with endless.backend.changed:
        endless.backend.changed.wait_for(lambda: len(endless.backend.asked) > asked, 10)
    press_stop(far_kernel, endless)

    assert endless.backend.closed == 1
    assert far_kernel.value("type(task.exception()).__name__") == "StreamInterruptedError"
    assert far_kernel.manager.is_alive()


BLOCKING = {
    "in a task": "async def f(): return ask('x', history=False)\nawait asyncio.gather(f(), f())",
    "in the cell": "await asyncio.sleep(0.01)\n%gprochat --no-history x\nwent_on = True",
}


@pytest.mark.parametrize("place", BLOCKING)
def test_an_interrupt_of_a_cell_that_awaits(
    endless: Served, far_kernel: Kernel, place: str
) -> None:
    """A synchronous ask inside an asynchronous cell is stopped, and the kernel lives."""
    asked = len(endless.backend.asked)
    far_kernel.run("import asyncio\nfrom gprochat_magic import ask")
    cell = far_kernel.start(BLOCKING[place])
    with endless.backend.changed:
        endless.backend.changed.wait_for(lambda: len(endless.backend.asked) > asked, 10)
    press_stop(far_kernel, endless)
    ran = far_kernel.finish(cell)

    assert ran.status == "error"
    assert endless.backend.wait_closed(1)
    assert far_kernel.value("'went_on' in globals()") is False


def test_F78_a_display_that_fails_costs_nothing(short: Served, far_kernel: Kernel) -> None:
    """It is reported once, and the reply is in the conversation and in the variable."""
    far_kernel.run(
        "pub = type(get_ipython().display_pub)\nusual = pub.publish\n"
        "def broken(self, *a, **k): raise OSError('comm gone')\n"
        "pub.publish = broken"
    )
    try:
        ran = far_kernel.run("%gprochat -n 0 -o kept hello")
    finally:
        far_kernel.run("pub.publish = usual")

    assert ran.status == "ok"
    assert ran.stdout.count("comm gone") == 1
    assert far_kernel.value("(str(kept), kept.state)") == ("text text.", "complete")


def test_a_kernel_on_uvloop(endless: Served) -> None:
    """Streams, is stopped, and streams again."""
    manager = KernelManager(kernel_name="python3")
    boot = (
        "import uvloop, asyncio; asyncio.set_event_loop_policy(uvloop.EventLoopPolicy());"
        "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
    )
    manager.kernel_spec.argv = [sys.executable, "-c", boot, "-f", "{connection_file}"]
    manager.start_kernel(env={**os.environ, **endless.environment})
    k = Kernel(manager)
    try:
        k.run("%load_ext gprochat_magic\nimport asyncio")
        assert "uvloop" in k.run("print(type(asyncio.get_running_loop()))").stdout
        ran = k.run("%gprochat -n 0 go on", lambda m: _press(k, m))
        assert ran.error["ename"] == "ReplyInterrupted"
        assert endless.backend.wait_closed(1)
        endless.backend.pieces = ["ok"]
        assert k.run("%gprochat -n 0 hello").shown[0]["text/plain"] == "ok"
    finally:
        k.close()


def _press(k: Kernel, message: dict[str, Any]) -> None:
    if message["msg_type"] == "display_data":
        k.interrupt()


def subshell(k: Kernel) -> str:
    """A new subshell of a kernel; skips where the kernel has none."""
    info = k.client.kernel_info(reply=True, timeout=30)["content"]
    if "kernel subshells" not in info.get("supported_features", []):
        pytest.skip("this ipykernel has no subshells")
    message = k.client.session.msg("create_subshell_request", {})
    k.client.control_channel.send(message)
    while True:
        reply = k.client.get_control_msg(timeout=30)
        if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
            return str(reply["content"]["subshell_id"])


def start_in(k: Kernel, shell: str | None, code: str) -> str:
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    message = k.client.session.msg("execute_request", {**content, "user_expressions": {}})
    message["header"]["subshell_id"] = shell
    k.client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def test_two_streams_at_once_in_two_shells(far: Served, far_kernel: Kernel) -> None:
    """Main shell and subshell each show their own reply, whole, in their own cell."""
    far.backend.pieces, far.backend.pause = [f"w{n} " for n in range(40)], 0.02
    other = subshell(far_kernel)
    wanted = [
        start_in(far_kernel, None, "%gprochat --no-history one"),
        start_in(far_kernel, other, "%gprochat --no-history two"),
    ]
    messages: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    idle: set[str] = set()
    while len(idle) < 2:
        message = far_kernel.client.get_iopub_msg(timeout=60)
        parent = message["parent_header"].get("msg_id")
        if parent in messages:
            messages[parent].append(message)
            if message["content"].get("execution_state") == "idle":
                idle.add(parent)
    for _ in wanted:
        assert far_kernel.client.get_shell_msg(timeout=30)["content"]["status"] == "ok"

    expected = "".join(far.backend.pieces).strip()
    for name in wanted:
        [output] = [o for o in as_saved(messages[name]) if "data" in o]
        assert output["data"]["text/plain"].strip() == expected


def test_a_cell_queued_while_a_reply_streams_runs_after_it(far: Served, far_kernel: Kernel) -> None:
    """And shows nothing of the reply."""
    far.backend.pieces, far.backend.pause = ["text "] * 30, 0.01
    first = far_kernel.start("%gprochat -n 0 hello")
    second = far_kernel.start("print('second')")
    one: Ran = far_kernel.finish(first)
    two: Ran = far_kernel.finish(second)

    assert one.shown[0]["text/plain"].strip() == ("text " * 30).strip()
    assert [o["output_type"] for o in two.outputs] == ["stream"]
    assert two.stdout == "second\n"
