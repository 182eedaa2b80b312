"""What a page asks for is done, or refused where it shows: nothing is dropped without a sign."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gprochat_magic import Chat, engine
from gprochat_magic.notebook import variables
from tests.gateways import Served
from tests.panel.conftest import Sent
from tests.panel.test_protocol import ask, settled


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The user's variables."""
    shell = SimpleNamespace(user_ns={}, user_ns_hidden={})
    monkeypatch.setattr(variables, "get_ipython", lambda: shell)
    return shell.user_ns


def tell(panel: Any, kind: str, **fields: Any) -> None:
    panel._handle_custom_msg({"t": kind, **fields}, [])


def test_an_edited_prompt_is_filled_once(
    panel: Any, sent: Sent, far: Served, namespace: dict[str, Any]
) -> None:
    """Names in braces that were typed get their value; what a value brought stays as it is."""
    namespace |= {"x": 5, "code": "f'{x}'"}
    ask(panel, "read {code} and {late}")
    sent.wait("done")
    namespace["late"] = "more"
    mid = settled(panel)["messages"][0]["id"]
    text = panel.snapshot["messages"][0]["text"]
    tell(panel, "edit", mid=mid, text=text + " with {code!r}", nonce="e")
    sent.wait("done", 2)

    assert "read f'{x}' and {late}" == text
    assert "read f'{x}' and more with \"f'{x}'\"" == settled(panel)["messages"][0]["text"]


def test_a_retry_while_a_reply_comes_waits_for_it(panel: Any, sent: Sent, far: Served) -> None:
    """Asked for in the middle of a run, it is the next one, beside the turn that was meant."""
    ask(panel, "first")
    sent.wait("done")
    mid = settled(panel)["messages"][1]["id"]
    far.backend.pieces, far.backend.pause = ["x "] * 40, 0.01
    ask(panel, "second", "n2")
    sent.wait("d", 2)
    tell(panel, "retry", mid=mid, nonce="r")
    tell(panel, "retry", mid=mid, nonce="r")
    sent.wait("done", 3)
    shown = settled(panel)["messages"]

    opened = [each["user"]["text"] for each in sent.messages("open")]
    assert ["first", "second", "first"] == opened
    assert [2, 2] == shown[1]["alternative"]
    assert 2 == len([each for each in sent.messages("ack") if each["nonce"] == "r"])


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("retry", {"mid": "unknown.a", "nonce": "n"}),
        ("retry", {"mid": "unknown.a"}),
        ("edit", {"mid": "unknown.u", "text": "x", "nonce": "n"}),
        ("use", {"name": "never heard of"}),
        ("new", {"name": " "}),
    ],
)
def test_what_cannot_be_done_is_refused(
    panel: Any, sent: Sent, far: Served, kind: str, fields: dict[str, Any]
) -> None:
    """An err without a run, with the wish's nonce, a text and a hint; nothing is sent."""
    tell(panel, kind, **fields)
    [error] = sent.wait("err")

    assert (None, fields.get("nonce", "")) == (error["rid"], error["nonce"])
    assert error["text"]
    assert error["hint"]
    assert [] == far.backend.prompts


@pytest.mark.parametrize("kind", ["undo", "alt"])
def test_the_line_is_not_changed_under_a_reply(
    panel: Any, sent: Sent, far: Served, kind: str
) -> None:
    """Undo and another alternative are refused while a reply comes."""
    far.backend.pieces, far.backend.pause = ["x "] * 500, 0.01
    ask(panel)
    rid = sent.wait("d")[0]["rid"]
    tell(panel, kind, mid="any.a", k=1)
    [error] = sent.wait("err")
    tell(panel, "stop", rid=rid)
    sent.wait("done")

    assert "on its way" in error["text"]


class Trap:
    """A value whose own code raises what it likes."""

    def __init__(self, raised: type[BaseException]) -> None:
        self.raised = raised

    def __format__(self, spec: str) -> str:
        raise self.raised


@pytest.mark.parametrize("kind", ["retry", "edit"])
def test_a_prompt_that_was_never_sent_is_asked_again(
    panel: Any, sent: Sent, far: Served, namespace: dict[str, Any], kind: str
) -> None:
    """One that failed before it had a place in the conversation is at hand, values and all."""
    namespace["value"] = Trap(ValueError)
    ask(panel, "see {value}")
    sent.wait("err")
    mid = settled(panel)["messages"][0]["id"]
    namespace["value"] = 5
    tell(panel, kind, mid=mid, text="look at {value}", nonce="e")
    sent.wait("done", 2)

    texts = [each["text"] for each in settled(panel)["messages"]]
    assert ["see 5" if kind == "retry" else "look at 5", "ok"] == texts


def test_a_retry_fills_nothing_twice(
    panel: Any, sent: Sent, far: Served, namespace: dict[str, Any]
) -> None:
    """What a value brought stays as it is, however often it is asked again."""
    namespace |= {"x": 5, "code": "f'{x}'"}
    ask(panel, "read {code}")
    for count in range(1, 4):
        sent.wait("done", count)
        mid = settled(panel)["messages"][0]["id"]
        tell(panel, "retry", mid=mid, nonce=f"r{count}")
    sent.wait("done", 4)

    assert ["read f'{x}'"] * 4 == far.backend.prompts


@pytest.mark.parametrize("raised", [ValueError, RecursionError, SystemExit])
def test_a_value_that_cannot_be_shown_ends_its_run_alone(
    panel: Any, sent: Sent, far: Served, namespace: dict[str, Any], raised: type[BaseException]
) -> None:
    """The prompt is opened, done as failed, and explained; the one behind it is answered."""
    namespace["trap"] = Trap(raised)
    ask(panel, "see {trap}", "one")
    ask(panel, "and this", "two")
    sent.wait("done", 2)
    settled(panel)

    kinds = [each["t"] for each in sent.messages("open", "done", "err")]
    assert ["open", "done", "err", "open", "done"] == kinds
    assert ["failed", "complete"] == [each["message"]["status"] for each in sent.messages("done")]
    assert ["and this"] == far.backend.prompts


def test_a_handler_that_fails_says_so(
    panel: Any, sent: Sent, far: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails on the way, the page gets an err with its nonce."""
    settled(panel)
    monkeypatch.setattr(panel._desk.seat.talk, "add", lambda job: 1 / 0)
    ask(panel)

    assert "n1" == sent.wait("err")[0]["nonce"]


def test_stop_while_a_reply_of_a_cell_is_waited_for(panel: Any, sent: Sent, far: Served) -> None:
    """A prompt that has not its place yet is stopped once, without a request; the cell goes on."""
    far.backend.pieces, far.backend.pause = ["x "] * 100, 0.01
    said: list[str] = []
    cell = threading.Thread(target=lambda: said.append(Chat().ask_blocking("from a cell").text))
    cell.start()
    with far.backend.changed:
        assert far.backend.changed.wait_for(lambda: far.backend.asked, 10)
    ask(panel)
    rid = sent.wait("open")[0]["rid"]
    for _ in range(3):
        tell(panel, "stop", rid=rid)
    [done] = sent.wait("done")
    settled(panel)
    cell.join()

    assert "interrupted" == done["message"]["status"]
    assert 1 == len(sent.messages("done"))
    assert [] == sent.messages("err")
    assert ["x " * 100] == said
    assert ["from a cell"] == far.backend.prompts


def test_times_are_told_without_the_wait_for_a_place(panel: Any, sent: Sent, far: Served) -> None:
    """The first text of a prompt that waited for a cell's reply came within its reply's time."""
    far.backend.pieces, far.backend.pause = ["x "] * 50, 0.01
    cell = threading.Thread(target=lambda: Chat().ask_blocking("from a cell"))
    cell.start()
    with far.backend.changed:
        assert far.backend.changed.wait_for(lambda: far.backend.asked, 10)
    far.backend.pieces = ["ok"]
    ask(panel)
    [done] = sent.wait("done")
    cell.join()

    assert 0 <= done["message"]["meta"]["first"] <= done["message"]["meta"]["elapsed"]


def test_what_waits_when_everything_stops_is_given_back(
    panel: Any, sent: Sent, far: Served
) -> None:
    """The run on its way is done, the prompt behind it refused with its nonce, then all works."""
    far.backend.pieces, far.backend.pause = ["x "] * 500, 0.01
    ask(panel, "one", "one")
    ask(panel, "two", "two")
    sent.wait("d")
    settled(panel)
    engine.shared().stop()

    assert ["interrupted"] == [each["message"]["status"] for each in sent.messages("done")]
    assert ["two"] == [each["nonce"] for each in sent.messages("err")]
    assert "idle" == panel.state
    far.backend.pieces, far.backend.pause = ["fine"], 0
    ask(panel, "three", "three")
    assert "fine" == sent.wait("done", 2)[1]["message"]["text"]


def test_one_panel_is_not_told_twice(make: Callable[..., Any], sent: Sent, far: Served) -> None:
    """A change made as the panel opens does not have it listen twice."""
    panel = make()
    engine.shared().submit(panel._desk.seat.sit()).result(5)
    ask(panel)
    sent.wait("done")

    assert 1 == len(sent.messages("open"))
