"""Subcommands typed into a panel: run there, shown there, never sent to a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gprochat_magic import notebook
from gprochat_magic.notebook import asides
from tests.gateways import Served
from tests.panel.conftest import Sent


@pytest.fixture
def loaded(far: Served) -> Iterator[None]:
    """The extension in a shell of its own, without a history file."""
    shell = InteractiveShell()
    notebook.load(shell)
    yield
    notebook.unload(shell)


def answered(panel: Any, sent: Sent, text: str) -> str:
    """What the panel shows below a line that is typed into it."""
    before = len(sent.messages("done"))
    panel._handle_custom_msg({"t": "send", "nonce": f"n{before}", "text": text}, [])
    done = sent.wait("done", before + 1)[-1]
    assert done["message"]["status"] == "complete"
    return str(done["message"]["text"])


def test_a_subcommand_answers_in_the_panel(
    loaded: None, panel: Any, sent: Sent, far: Served
) -> None:
    """What it says is shown, and no model is asked."""
    assert "No aliases" in answered(panel, sent, "/alias")
    assert "%gprochat history [N]" in answered(panel, sent, "/help")
    assert "there is no conversation" in answered(panel, sent, "/use nowhere")
    assert far.backend.asked == []


@pytest.mark.parametrize("line", ["/fix", "/explain 3", "/insert", "/key", "/retry", "/panel"])
def test_what_needs_a_cell_says_so(
    loaded: None, panel: Any, sent: Sent, far: Served, line: str
) -> None:
    """It is neither run in a thread that has no cell, nor sent as a prompt, nor offered."""
    said = answered(panel, sent, line)

    assert said == f"{line[1:].split()[0]} needs a cell: %gprochat {line[1:]}"
    assert line[1:].split()[0] not in [name for name, _ in asides.offered()]
    assert far.backend.asked == []


def test_prose_behind_a_slash_is_a_prompt(
    loaded: None, panel: Any, sent: Sent, far: Served
) -> None:
    """As behind the magic."""
    answered(panel, sent, "/history of Rome")

    assert far.backend.prompts == ["/history of Rome"]


def test_a_slip_is_not_sent(loaded: None, panel: Any, sent: Sent, far: Served) -> None:
    """One word that is nearly a subcommand is refused, with the one that was meant."""
    panel._handle_custom_msg({"t": "send", "nonce": "n", "text": "/modles"}, [])
    [error] = sent.wait("err")

    assert "n" == error["nonce"]
    assert "models" in error["text"]
    assert [] == far.backend.asked


def test_a_panel_with_its_own_conversation_refuses_them(
    loaded: None, make: Callable[..., Any], sent: Sent, far: Served
) -> None:
    """They are about the conversation in use; what was typed goes back, and no model is asked."""
    panel = make("review")
    panel._handle_custom_msg({"t": "send", "nonce": "n", "text": "/history"}, [])
    [error] = sent.wait("err")

    assert ("n", "Run it in a cell: %gprochat history") == (error["nonce"], error["hint"])
    assert [] == panel.snapshot["commands"]
    assert [] == far.backend.asked
