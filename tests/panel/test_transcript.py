"""The static transcript of a panel: in runs without a screen, and where no page answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from gprochat_magic import Chat, engine
from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.notebook import panel as panels
from gprochat_magic.notebook import shown
from gprochat_magic.notebook.sheet import HINT
from tests.gateways import Served
from tests.panel.conftest import Sent

CELLS = [
    "%load_ext gprochat_magic",
    "%%gprochat -q\nhelp",
    "%gprochat panel",
    "from gprochat_magic import ChatPanel\nChatPanel()",
]


def test_a_run_without_a_screen_keeps_the_transcript_alone() -> None:
    """The run does not hang, and its file has no widget, no module and readable HTML."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]  # type: ignore[no-untyped-call]
    notebook: Any = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)

    for cell in notebook.cells[2:]:
        [output] = cell.outputs
        assert {"text/html", "text/plain"} == set(output.data)
        assert "You: help" in output.data["text/plain"]
    assert "widgets" not in notebook.metadata
    assert "export default" not in json.dumps(notebook)
    assert "<strong>You</strong>" in page


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
