"""--bg in a real kernel: the cell is over at once, and its own output goes on to the exact text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pexpect
import pytest
from nbclient import NotebookClient

from gprochat_magic.gateway.backends import BackendError
from tests.gateways import Served
from tests.kernels import PATIENCE, Kernel, as_saved, kernel

Message = dict[str, Any]


@pytest.fixture
def far(gateway: Served) -> Served:
    """A gateway as if nobody had used it, whose reply takes about a second."""
    backend = gateway.backend
    backend.pieces, backend.pause = [f"word{n} " for n in range(50)], 0.02
    backend.refusal, backend.closed = None, 0
    backend.asked.clear()
    return gateway


@pytest.fixture(scope="module")
def one_kernel(gateway: Served) -> Iterator[Kernel]:
    with kernel(**gateway.environment) as started:
        started.seen = seen = []  # type: ignore[attr-defined]
        get = started.client.get_iopub_msg

        def noted(**options: Any) -> Message:
            seen.append(get(**options))
            return dict(seen[-1])

        started.client.get_iopub_msg = noted
        yield started


@pytest.fixture
def k(far: Served, one_kernel: Kernel, request: pytest.FixtureRequest) -> Kernel:
    """A kernel with nothing in the background, in a conversation named after the test."""
    one_kernel.run(f"%load_ext gprochat_magic\n%gprochat stop\n%gprochat new {request.node.name}")
    return one_kernel


def outputs(k: Kernel, wanted: str) -> list[Message]:
    """What the cell of that request shows by now."""
    mine = [m for m in k.seen if m["parent_header"].get("msg_id") == wanted]  # type: ignore[attr-defined]
    return as_saved(mine)


def shown(k: Kernel, wanted: str) -> str:
    return "".join(str(output["data"].get("text/plain", "")) for output in outputs(k, wanted))


def ended(k: Kernel, wanted: str) -> bool:
    """Whether the last frame is there: only that one says which model answered."""
    return any("<small>gemini" in str(output["data"]) for output in outputs(k, wanted))


def until(k: Kernel, condition: Callable[[], bool]) -> None:
    """Take messages until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        k.client.get_iopub_msg(timeout=PATIENCE)


def begin(k: Kernel, cell: str, **metadata: str) -> str:
    """Run a cell to its end; returns the id of its request."""
    content = {
        "code": cell, "silent": False, "store_history": True,
        "user_expressions": {}, "allow_stdin": False, "stop_on_error": True,
    }  # fmt: skip
    message = k.client.session.msg("execute_request", content, metadata=metadata)
    k.client.shell_channel.send(message)
    wanted = str(message["header"]["msg_id"])
    assert k.finish(wanted).status == "ok"
    return wanted


def test_other_cells_run_while_it_grows(far: Served, k: Kernel) -> None:
    """The text ends whole in its own cell, one output; nothing of it appears in the others."""
    text = "".join(far.backend.pieces)
    wanted = begin(k, "%%gprochat --bg -o kept\ngo on")
    before = shown(k, wanted)
    others = [k.run(f"import time\ntime.sleep(0.2)\nprint({n})\ndisplay({n})") for n in range(3)]
    until(k, lambda: ended(k, wanted))

    assert text not in before
    assert shown(k, wanted) == text
    for number, ran in enumerate(others):
        assert [o["output_type"] for o in ran.outputs] == ["stream", "display_data"]
        assert ran.shown[0]["text/plain"] == str(number)
    assert len(outputs(k, wanted)) == 1
    assert "word49" in outputs(k, wanted)[0]["data"]["text/html"]
    assert k.value("kept.text, kept.state") == (text, "complete")
    assert k.value("kept in Out.values()")


def test_stop_ends_it(far: Served, k: Kernel) -> None:
    """`stop` says what it stopped; the text is kept, the server sees the end, the output too."""
    far.backend.pieces = ["text "] * 2000
    wanted = begin(k, "%gprochat --bg tell me a very long story about everything")
    until(k, lambda: "text" in shown(k, wanted))
    handle = "repr(__import__('gprochat_magic').config.current().jobs.running[0])"
    assert ", 0 characters" not in k.value(handle)
    said = k.run("%gprochat stop").stdout
    k.run("1")

    assert said.startswith("Stopped: 'tell me a very long story about everythi…' (")
    assert far.backend.wait_closed(1)
    assert ">stopped · " in outputs(k, wanted)[0]["data"]["text/html"]
    states = "[t.state for t in __import__('gprochat_magic').Chat().conversation.line()]"
    assert k.value(states) == ["interrupted"]
    kept = k.value("__import__('gprochat_magic').Chat().conversation.line()[0].reply")
    assert shown(k, wanted) == kept
    assert k.run("%gprochat stop").stdout == "No reply streams in the background.\n"


def test_F134_the_same_cell_again_replaces_it(far: Served, k: Kernel) -> None:
    """The old reply is stopped first and gives its place to the new turn; no text is mixed."""
    far.backend.pieces = ["old "] * 2000
    first = begin(k, "%gprochat --bg go on", cellId="a")
    until(k, lambda: "old" in shown(k, first))
    old = shown(k, first)
    far.backend.pieces = ["new "] * 10
    second = begin(k, "%gprochat --bg go on", cellId="a")
    until(k, lambda: ended(k, second))

    assert far.backend.wait_closed(1)
    assert set(shown(k, first).split()) == {"old"}
    assert old
    chat = "__import__('gprochat_magic').Chat().conversation"
    assert k.value(f"[(t.state, t.reply) for t in {chat}.line()]") == [("complete", "new " * 10)]
    assert k.value(f"[t.state for t in {chat}.turns()]") == ["interrupted", "complete"]


def test_F134_without_cell_ids(far: Served, k: Kernel) -> None:
    """A kernel that knows a cell by its text replaces the newest, even one that still queues."""
    far.backend.pieces = ["text "] * 2000
    first = begin(k, "%gprochat --bg one")
    until(k, lambda: "text" in shown(k, first))
    queued = begin(k, "%gprochat --bg two")
    again = begin(k, "%gprochat --bg two")

    assert ">no reply · " in outputs(k, queued)[0]["data"]["text/html"]
    far.backend.pieces = ["new "]
    k.run("first = __import__('gprochat_magic').config.current().jobs.running[0]\nfirst.stop()")
    until(k, lambda: ended(k, again))
    chat = "__import__('gprochat_magic').Chat().conversation"
    assert k.value(f"[t.prompt for t in {chat}.line()]") == ["one", "two"]
    assert k.value(f"{chat}.line()[1].reply") == "new "
    assert len(far.backend.asked) == 2


def test_an_error_shows_in_the_output(far: Served, k: Kernel) -> None:
    """The two lines of an error stand under the text so far, and -o is not set."""
    k.run("%config GPROChatMagics.api_endpoint = ''")  # the demo breaks off when it is told to
    k.run("job = %gprochat --bg -o never cut")
    ran = k.run("job.wait()")
    k.run(f"%config GPROChatMagics.api_endpoint = {far.gateway.endpoint!r}")
    assert ran.error["ename"] == "StreamInterruptedError"
    assert k.value("'never' in globals()") is False
    far.backend.refusal = BackendError(400, "no such <b>model</b>")
    wanted = begin(k, "%gprochat --bg hi")
    until(k, lambda: "BadRequestError" in shown(k, wanted))

    lines = shown(k, wanted).splitlines()
    assert lines[0].startswith("BadRequestError: ")
    assert lines[1].startswith("  → ")
    assert "<b>" not in outputs(k, wanted)[0]["data"]["text/html"]


def test_a_prompt_of_the_same_conversation_waits_for_it(
    far: Served, k: Kernel, request: pytest.FixtureRequest
) -> None:
    """Turns stay in order; another conversation does not wait."""
    begin(k, "%gprochat --bg first")
    k.run("%gprochat -q --new -c other second")
    order = list(far.backend.prompts)
    k.run(f"%gprochat use {request.node.name}\n%gprochat -q third")

    assert order == ["first", "second"]
    assert "third" in far.backend.prompts[2]
    chat = "__import__('gprochat_magic').Chat().conversation"
    assert k.value(f"[t.prompt for t in {chat}.line()]") == ["first", "third"]


def test_the_handle_waits_and_stops(far: Served, k: Kernel) -> None:
    """An assigned call gives a handle that tells how far it is, waits, and stops."""
    k.run("job = %gprochat --bg go on")
    assert k.value("repr(job)").startswith("<'go on': streams in the background, ")
    assert k.value("job.done") is False
    assert k.run("job.wait(0.01)").error["ename"] == "TimeoutError"
    assert k.value("job.wait().text") == "".join(far.backend.pieces)
    assert k.value("job.done, repr(job)[:16]") == (True, "<'go on': ended,")
    k.run("job = %gprochat --bg more\njob.stop()")
    assert k.value("job.wait().stopped") is True


def test_an_interrupt_does_not_end_it(far: Served, k: Kernel) -> None:
    """Ctrl-C stops the cell that runs, and not the reply in the background."""
    wanted = begin(k, "%gprochat --bg go on")
    slow = k.start("print('up')\nimport time\ntime.sleep(30)")

    def watch(message: Message) -> None:
        if message["msg_type"] == "stream":
            k.interrupt()

    assert k.finish(slow, watch).error["ename"] == "KeyboardInterrupt"
    until(k, lambda: ended(k, wanted))

    assert shown(k, wanted) == "".join(far.backend.pieces)


def test_unload_ends_it(far: Served, k: Kernel) -> None:
    """Unloading stops what streams; no thread of ours is left."""
    far.backend.pieces = ["text "] * 2000
    begin(k, "%gprochat --bg go on")
    k.run("%unload_ext gprochat_magic")

    assert far.backend.wait_closed(1)
    names = k.value("[t.name for t in __import__('threading').enumerate()]")
    assert not [name for name in names if name.startswith("gprochat")]


def test_a_notebook_without_a_screen(far: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under nbclient a later cell that waits for the reply completes its output."""
    for name, value in far.environment.items():
        monkeypatch.setenv(name, value)
    cells = ["%load_ext gprochat_magic", "job = %gprochat --bg go on", "reply = job.wait()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=60).execute()

    assert notebook.cells[1].outputs[0].data["text/plain"] == "".join(far.backend.pieces)
    assert notebook.cells[2].outputs == []


def test_a_terminal_refuses_it() -> None:
    """In terminal IPython --bg is refused by name with the reason, and nothing is sent."""
    import sys

    shell = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        encoding="utf-8",
        timeout=PATIENCE,
    )
    shell.sendline("%load_ext gprochat_magic")
    shell.sendline("%gprochat --bg hi")
    shell.expect("UsageError: --bg needs a notebook: a terminal has no output of its own")
    shell.sendline("%gprochat history")
    shell.expect("No turns yet")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
