"""The panel of plain widgets: what a reader does with each of them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gprochat_magic import ChatPanel, conversations
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.backends import BackendError
from tests.gateways import Served
from tests.panel.conftest import Sent


@pytest.fixture
def basic(sent: Sent, far: Served) -> Iterator[Any]:
    panel: Any = ChatPanel(
        ui="basic", height="20em", placeholder="Well?", suggestions=["help", "<b>"]
    )
    yield panel
    panel.close()


def until(is_so: Callable[[], object]) -> None:
    """Wait for what the engine will show."""
    for _ in range(500):
        if is_so():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not come")


def enter(panel: Any, text: str) -> None:
    """Type and press Enter, which Jupyter tells before the text."""
    panel._prompt._handle_custom_msg({"event": "submit"}, [])
    panel._prompt.set_state({"value": text})


def test_enter_sends_and_leaving_the_line_does_not(basic: Any, far: Served) -> None:
    """A text that is only there is a draft; Enter and Send ask it, and the line is empty."""
    basic._prompt.set_state({"value": "a draft"})
    enter(basic, "hello")
    until(lambda: "ok" in basic._log.value)
    basic._prompt.set_state({"value": "again"})
    basic._send.click()
    until(lambda: "again" in basic._log.value)

    assert ["hello"] == far.backend.prompts[:1]
    assert 2 == len(far.backend.prompts)
    assert "" == basic._prompt.value


def test_stop_and_retry(basic: Any, far: Served) -> None:
    """Stop ends the reply and keeps its text; Retry asks again and there are two."""
    far.backend.pieces, far.backend.pause = ["kept "] * 2_000, 0.01
    enter(basic, "long")
    until(lambda: "kept" in basic._growing.value)
    basic._stop.click()
    until(lambda: "interrupted" in basic._log.value)
    far.backend.pieces, far.backend.pause = ["short"], 0
    basic._retry.click()
    until(lambda: "short" in basic._log.value)

    assert far.backend.wait_closed(1)
    assert "kept" not in basic._log.value
    assert 2 == len(basic._desk.seat.talk.line.conversation)


def test_an_error_is_told(basic: Any, far: Served) -> None:
    """What went wrong and what to do stands below the log."""
    far.backend.refusal = BackendError(400, "bad_request", "no such thing")
    enter(basic, "hello")
    until(lambda: basic._note.value)

    assert basic._log.value.count("hello") == 1


def test_suggestions_and_conversations(basic: Any, far: Served) -> None:
    """A suggestion is asked, New begins a conversation, and the picker goes back."""
    until(lambda: basic._names.options)
    first = basic._names.value
    basic._offers.children[0].click()
    until(lambda: "ok" in basic._log.value)
    basic._new.click()
    until(lambda: basic._names.value != first)
    assert "ok" not in basic._log.value
    basic._names.set_state({"index": basic._names.options.index(first)})
    until(lambda: "ok" in basic._log.value)

    assert ["help"] == far.backend.prompts
    assert first == conversations.shared().current.conversation.name
    assert ("20em", "Well?") == (basic.children[1].layout.max_height, basic._prompt.placeholder)


def test_names_that_are_taken(
    far: Served, sent: Sent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the file calls a conversation is shown once it is kept, and New finds a free name."""
    path = str(tmp_path / "history.sqlite")
    monkeypatch.setenv("GPROCHAT_STORE", path)
    earlier = conversations.Conversations(path)
    for _ in range(2):
        earlier.new()
    earlier.close()
    basic: Any = ChatPanel(ui="basic")
    enter(basic, "hello")
    until(lambda: "chat-3" == basic._names.value)
    until(lambda: "ok" in basic._log.value)
    basic._new.click()
    until(lambda: "chat-4" == basic._names.value)
    basic.close()

    assert ("chat-4", "chat-3", "chat-2", "chat") == basic._names.options


@pytest.mark.parametrize("ui", ["panel", "basic"])
@pytest.mark.parametrize(
    ("option", "why"),
    [
        ({"height": "lots"}, "not 'lots'"),
        ({"height": "12345px"}, "height is a number"),
        ({"height": True}, "height is a number"),
        ({"placeholder": 5}, "placeholder is a text"),
        ({"suggestions": "one"}, "list of prompts"),
        ({"suggestions": [1]}, "list of prompts"),
        ({"suggestions": None}, "list of prompts"),
    ],
)
def test_an_option_that_cannot_be_is_refused(
    sent: Sent, far: Served, ui: str, option: dict[str, Any], why: str
) -> None:
    """It is named before there is a panel, and nothing of one is left."""
    with pytest.raises(ConfigError, match=why):
        ChatPanel(ui=ui, **option)
    gc.collect()

    assert [] == sent.messages()


def test_options_are_taken_or_refused(sent: Sent, far: Served) -> None:
    """A transcript has no height; a `ui` is one of three; a number of pixels is a height."""
    with pytest.raises(ConfigError, match="no height"):
        ChatPanel(ui="static", height="20em")
    with pytest.raises(ConfigError, match="ui is one of"):
        ChatPanel(ui="fancy")
    panel = ChatPanel(ui="panel", height=400, suggestions=("a",))
    panel.close()

    assert ("400px", ["a"]) == (panel.ui["height"], panel.ui["suggestions"])


def test_the_cell_has_the_widget_a_note_and_a_transcript(
    basic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saved outputs tell a reader without widgets what was there, and none of its insides."""
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "gprochat_magic.notebook.sheet.display", lambda data, **options: shown.append(data)
    )
    basic._ipython_display_()

    view = "application/vnd.jupyter.widget-view+json"
    assert {view, "text/plain", "text/html"} == set(shown[0])
    assert shown[0]["text/plain"].startswith("Chat panel: ")
