"""The static transcript of a panel: in runs without a screen, and where no page answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from gprochat_magic import Chat, engine
from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.notebook import panel as panels
from gprochat_magic.notebook import shown
from gprochat_magic.notebook.sheet import HINT
from tests.gateways import Served
from tests.kernels import Kernel, kernel
from tests.panel.conftest import Sent

CELLS = [
    "%load_ext gprochat_magic",
    "%%gprochat -q\nhelp",
    "%gprochat panel",
    "from gprochat_magic import ChatPanel\nChatPanel('review', height='20em')",
]
VIEW = "application/vnd.jupyter.widget-view+json"
EXAMPLE = Path(__file__).parents[2] / "notebooks" / "03_panel.ipynb"


def test_F130_a_run_without_a_screen_keeps_the_transcript_alone(
    tmp_path: Path, far: Served
) -> None:
    """`nbconvert --execute` does not hang; its HTML has the transcript, and neither a widget, nor
    its module, nor the secret.
    """
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]  # type: ignore[no-untyped-call]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "run.ipynb")  # type: ignore[no-untyped-call]
    far.backend.pieces = ["*for* ", "you"]
    command = ["nbconvert", "--execute", "--to=html", "--template=basic", "run.ipynb"]
    own = {"IPYTHONDIR": str(tmp_path), "GPROCHAT_STORE": ":memory:"}
    environment = {**os.environ, **far.environment, **own}
    subprocess.run(
        [sys.executable, "-m", "jupyter", *command],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    page = (tmp_path / "run.html").read_text()

    assert "<strong>You</strong>" in page
    assert "<em>for</em> you" in page
    assert "review: 0 turns" in page
    for unwanted in ("export default", "widget-view", "widget-state", "_esm"):
        assert unwanted not in page
    assert far.environment["GPROCHAT_SECRET_KEY"] not in page


def test_the_example_runs_without_a_screen(tmp_path: Path) -> None:
    """The notebook about the panel runs to its end and holds no state of widgets."""
    notebook: Any = nbformat.read(EXAMPLE, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": tmp_path}})
    client.execute()

    assert "widgets" not in notebook.metadata
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type == "error"]
    assert any("What can you show me?" in json.dumps(output) for output in shown)
    assert "export default" not in json.dumps(notebook)


COLAB = """
import sys, types
asked, output = [], types.ModuleType("google.colab.output")
output.enable_custom_widget_manager = lambda *given: asked.append(given)
output._widgets = types.SimpleNamespace(_installed_url="https://widgets.invalid/")
colab = types.ModuleType("google.colab")
colab.output = output
sys.modules |= {"google": types.ModuleType("google"), "google.colab": colab}
sys.modules["google.colab.output"] = output
"""


def test_in_colab_the_widget_manager_is_asked_for(far: Served) -> None:
    """Where that module is, other people's widgets are enabled and the output says by which."""
    with kernel(**far.environment, COLAB_RELEASE_TAG="release") as k:
        ran = k.run(COLAB + "%gprochat panel")
        enabled = k.value("asked")

    [panel] = [output for output in ran.outputs if VIEW in output.get("data", {})]
    assert [()] == enabled
    assert "https://widgets.invalid/" in json.dumps(panel["metadata"][VIEW])
    assert "Chat panel" in panel["data"]["text/plain"]


def run_in(k: Kernel, cell: str, code: str) -> list[dict[str, Any]]:
    """Run a cell that the front end names, with a page to show it; what it displays."""
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    message = k.client.session.msg("execute_request", content, metadata={"cellId": cell})
    k.client.shell_channel.send(message)
    return k.finish(message["header"]["msg_id"]).shown


def test_a_panel_lives_as_long_as_the_run_of_the_cell_that_made_it(far: Served) -> None:
    """Shown by another cell, however often, it is the same; made anew, the old one is closed."""
    with kernel(**far.environment) as k:
        run_in(k, "makes", "from gprochat_magic import ChatPanel\nold = p = ChatPanel()")
        models = {run_in(k, "shows", "p")[0][VIEW]["model_id"] for _ in range(3)}
        assert k.value("p.comm is not None")
        run_in(k, "makes", "p = ChatPanel(); p")
        assert k.value("(p.comm is not None, old.comm is None)") == (True, True)
        [still] = run_in(k, "shows", "old")

    assert 1 == len(models)
    assert "0 turns" in still["text/plain"]


async def nothing() -> None:
    pass


def test_a_panel_that_no_page_answers_says_what_may_be_missing(
    sent: Sent, far: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a hello the transcript gets a hint; with one, the hint goes."""
    said: list[dict[str, str]] = []
    monkeypatch.setattr(panels, "PATIENCE", 0.0)
    panel = panels.ChatPanel()
    monkeypatch.setattr(panel._sheet, "renew", lambda bundle: said.append(dict(bundle)))
    engine.shared().submit(panel._look_for_page()).result(5)
    assert HINT in said[-1]["text/plain"]

    panel._handle_custom_msg({"t": "hello"}, [])
    while HINT in said[-1]["text/plain"]:
        engine.shared().submit(nothing()).result(5)
    panel.close()


def test_the_transcript_is_renewed_at_the_end_of_a_turn(
    make: Callable[..., Any], sent: Sent, far: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a reply grows the transcript stays; at its end it has the whole turn."""
    panel = make()
    engine.shared().submit(nothing()).result(5)
    said: list[str] = []
    monkeypatch.setattr(panel._sheet, "renew", lambda bundle: said.append(bundle["text/plain"]))
    far.backend.pieces, far.backend.pause = ["x "] * 30, 0.01
    Chat().ask_blocking("question")
    for _ in range(3):
        engine.shared().submit(nothing()).result(5)

    assert 1 == len({each for each in said if "x x" in each})
    assert said[-1].rstrip().endswith("x " * 29 + "x")


def test_hostile_text_is_text_in_the_transcript() -> None:
    """Neither prompt nor reply nor name brings an element of its own."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    conversation = Conversation(evil)
    conversation.append(Turn(evil, reply=evil, model=evil, state="failed", error=evil))
    html = shown.transcript(conversation, shown.Rendering())["text/html"]

    assert "<script" not in html
    assert "<img" not in html


def test_a_transcript_has_no_headings() -> None:
    """Those of the replies are not in the front end's table of contents a second time."""
    conversation = Conversation("talk")
    conversation.append(Turn("q", reply="# One *x*\n\ntwo\nlines\n---\n\n`<h2>`", state="complete"))
    html = shown.transcript(conversation, shown.Rendering())["text/html"]

    assert not re.search("<h[1-6]", html)
    assert "<strong>One <em>x</em></strong>" in html
    assert "<strong>two\nlines</strong>" in html
    assert "<code>&lt;h2&gt;</code>" in html
