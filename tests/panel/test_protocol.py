"""What goes over a panel's comm, whatever a page, a thread or a server does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gprochat_magic import Chat, conversations, engine
from gprochat_magic.gateway.backends import BackendError
from tests.gateways import Served
from tests.panel.conftest import Sent


def ask(panel: Any, text: str = "a question", nonce: str = "n1") -> None:
    panel._handle_custom_msg({"t": "send", "nonce": nonce, "text": text}, [])


def settled(panel: Any) -> dict[str, Any]:
    """The snapshot once all that was posted has been done."""

    async def nothing() -> None:
        pass

    for _ in range(3):
        engine.shared().submit(nothing()).result(5)
    return dict(panel.snapshot)


def told(sent: Sent, panel: Any) -> str:
    """The reply as the deltas have it, in HTML."""
    deltas = sent.messages("d", of=panel)
    return "".join(each["frozen"] for each in deltas) + deltas[-1]["tail"]


def test_a_run_is_opened_streamed_and_done_once(panel: Any, sent: Sent, far: Served) -> None:
    """ack, open, deltas numbered from 0, done with the next number and the exact text."""
    far.backend.pieces, far.backend.pause = [f"w{n} " for n in range(60)], 0.005
    ask(panel)
    [done] = sent.wait("done")

    [opened] = sent.messages("open")
    deltas = sent.messages("d")
    assert [{"t": "ack", "nonce": "n1"}] == sent.messages("ack")
    assert list(range(len(deltas))) == [each["seq"] for each in deltas]
    assert len(deltas) == done["seq"]
    assert {opened["rid"]} == {each["rid"] for each in [*deltas, done]}
    assert "".join(far.backend.pieces) == done["message"]["text"]
    assert "complete" == done["message"]["status"]
    assert opened["mid"] == done["message"]["id"]
    snapshot = settled(panel)
    assert [opened["user"]["id"], opened["mid"]] == [each["id"] for each in snapshot["messages"]]
    assert None is snapshot["run"]
    assert "idle" == panel.state


def test_a_turn_sends_the_conversation_twice(panel: Any, sent: Sent, far: Served) -> None:
    """Once with its prompt and once with its reply: a long talk is a long message."""
    ask(panel)
    sent.wait("done")
    settled(panel)
    before = len(sent.all)
    far.backend.pieces, far.backend.pause = ["x "] * 20, 0.01
    ask(panel, nonce="n2")
    sent.wait("done", 2)
    settled(panel)

    states = [data["state"] for _, data in sent.all[before:] if data.get("method") == "update"]
    runs = [state["snapshot"]["run"] for state in states if "snapshot" in state]
    assert [sent.messages("open")[1]["rid"], None] == runs
    assert ["waiting", "streaming", "idle"] == list(
        dict.fromkeys(state["state"] for state in states if "state" in state)
    )


def test_deltas_are_few(panel: Any, sent: Sent, far: Served) -> None:
    """A burst of 5,000 pieces is a handful of messages and its text is exact."""
    far.backend.pieces = ["word "] * 5_000
    ask(panel)
    [done] = sent.wait("done")

    assert "word " * 5_000 == done["message"]["text"]
    assert len(sent.messages("d")) <= 2 + 25 * max(1.0, done["message"]["meta"]["elapsed"])


def test_sync_gives_all_that_was_sent(panel: Any, sent: Sent, far: Served) -> None:
    """A page that missed deltas gets frozen and tail as of the last one; an old run gets none."""
    far.backend.pieces, far.backend.pause = ["para\n\n"] * 100, 0.01
    ask(panel)
    rid = sent.wait("d", 3)[0]["rid"]
    panel._handle_custom_msg({"t": "sync", "rid": rid, "have": -1}, [])
    panel._handle_custom_msg({"t": "sync", "rid": "old", "have": 3}, [])
    [full] = sent.wait("full")
    panel._handle_custom_msg({"t": "stop", "rid": rid}, [])
    sent.wait("done")

    before = sent.messages("d")[: full["seq"] + 1]
    assert "".join(each["frozen"] for each in before) == full["frozen"]
    assert before[-1]["tail"] == full["tail"]
    assert 1 == len(sent.messages("full"))


def test_a_page_that_lost_the_end_gets_a_snapshot(panel: Any, sent: Sent, far: Served) -> None:
    """Asked for a run that is over, the panel sends the conversation as it is."""
    ask(panel)
    rid = sent.wait("done")[0]["rid"]
    settled(panel)
    before = len(sent.all)
    panel._handle_custom_msg({"t": "sync", "rid": rid, "have": 0}, [])
    settled(panel)

    assert [] == sent.messages("full")
    [(_, told)] = sent.all[before:]
    assert "ok" == told["state"]["snapshot"]["messages"][-1]["text"]
    assert (None, "idle") == (told["state"]["snapshot"]["run"], told["state"]["state"])


def test_F64_stop_keeps_the_text(panel: Any, sent: Sent, far: Served) -> None:
    """Stopped twice and once more afterwards, a run ends once, interrupted, without an error."""
    far.backend.pieces, far.backend.pause = ["kept "] * 2_000, 0.01
    ask(panel)
    rid = sent.wait("d")[0]["rid"]
    for _ in range(2):
        panel._handle_custom_msg({"t": "stop", "rid": rid}, [])
    [done] = sent.wait("done")
    panel._handle_custom_msg({"t": "stop", "rid": rid}, [])
    snapshot = settled(panel)

    assert far.backend.wait_closed(1)
    assert "interrupted" == done["message"]["status"]
    assert done["message"]["text"].startswith("kept")
    assert [] == sent.messages("err")
    assert "interrupted" == snapshot["messages"][-1]["status"]
    assert "idle" == panel.state


def test_stop_before_the_first_text(panel: Any, sent: Sent, far: Served) -> None:
    """A run that has no text yet ends as well, and the next one works."""
    far.backend.pieces, far.backend.pause = [" ", "late"], 30
    ask(panel)
    panel._handle_custom_msg({"t": "stop", "rid": sent.wait("open")[0]["rid"]}, [])
    sent.wait("done")
    far.backend.pieces, far.backend.pause = ["fine"], 0
    ask(panel, nonce="n2")

    assert "fine" == sent.wait("done", 2)[1]["message"]["text"]


def test_an_error_follows_the_end(panel: Any, sent: Sent, far: Served) -> None:
    """A refusal is done, failed, and then an err with text and hint; the prompt stays in view."""
    far.backend.refusal = BackendError(400, "bad_request", "no such thing")
    ask(panel)
    [error] = sent.wait("err")
    snapshot = settled(panel)

    [done] = sent.messages("done")
    assert (done["rid"], done["seq"] + 1) == (error["rid"], error["seq"])
    assert "failed" == done["message"]["status"] == snapshot["messages"][-1]["status"]
    assert error["text"]
    assert error["hint"]
    assert "idle" == panel.state


def test_prompts_wait_for_one_another(panel: Any, sent: Sent, far: Served) -> None:
    """Two prompts sent at once are answered in order; one nonce is asked once."""
    far.backend.pause = 0.05
    for nonce, text in [("a", "one"), ("b", "two"), ("a", "one")]:
        ask(panel, text, nonce)
    sent.wait("done", 2)
    settled(panel)

    kinds = [each["t"] for each in sent.messages("open", "done")]
    assert ["open", "done", "open", "done"] == kinds
    assert ["one", "two"] == [each["user"]["text"] for each in sent.messages("open")]
    assert 3 == len(sent.messages("ack"))


def test_too_many_prompts_are_refused_visibly(panel: Any, sent: Sent, far: Served) -> None:
    """Beyond those that may wait, a prompt comes back as an error with its nonce."""
    far.backend.pieces, far.backend.pause = ["x"] * 1_000, 0.05
    for n in range(12):
        ask(panel, "again", str(n))
    refused = sent.wait("err")

    assert refused[-1]["rid"] is None
    assert "11" == sent.wait("err", len(refused))[-1]["nonce"] or refused[-1]["nonce"].isdigit()


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"t": 3},
        {"t": "nonsense"},
        {"t": "send", "text": "x"},
        {"t": "send", "text": 1, "nonce": "n"},
        {"t": "send", "text": "x", "nonce": "n" * 201},
        {"t": "stop", "rid": {}},
        {"t": "alt", "mid": "x", "k": True},
        {"t": "alt", "mid": "x", "k": 1 << 60},
        {"t": "__class__"},
        {"t": "alt", "mid": "unknown", "k": 1},
    ],
)
def test_malformed_messages_do_nothing(
    panel: Any, sent: Sent, far: Served, content: object
) -> None:
    """What a page must not send is dropped without a sign."""
    panel._handle_custom_msg(content, [])
    settled(panel)

    assert [] == sent.messages("open", "err")
    assert "idle" == panel.state


def test_a_huge_prompt_is_refused(panel: Any, sent: Sent, far: Served) -> None:
    """More than 1 MB is not sent, and the page hears why."""
    ask(panel, "я" * 600_000)
    [error] = sent.wait("err")

    assert "1 MB" in error["text"]
    assert [] == far.backend.prompts


def test_a_page_cannot_set_the_state(panel: Any) -> None:
    """An update of traits from a page is not taken."""
    before = settled(panel)
    panel.set_state({"snapshot": {"messages": ["forged"]}, "state": "streaming", "_esm": "evil"})

    assert before == panel.snapshot
    assert "idle" == panel.state


@pytest.mark.parametrize("place", ["thread", "engine"])
def test_handlers_work_on_any_thread(panel: Any, sent: Sent, far: Served, place: str) -> None:
    """As in ipykernels that call handlers on a subshell's thread, or on one of ours."""

    async def there() -> None:
        ask(panel)

    if place == "engine":
        engine.shared().submit(there()).result(5)
    else:
        other = threading.Thread(target=ask, args=[panel])
        other.start()
        other.join()

    assert "ok" == sent.wait("done")[0]["message"]["text"]


def test_an_interrupt_of_the_kernel_leaves_the_panel_idle(
    panel: Any, sent: Sent, far: Served
) -> None:
    """Ctrl-C in the main thread while a panel streams costs the panel nothing."""
    far.backend.pieces, far.backend.pause = ["x "] * 30, 0.01
    ask(panel)
    sent.wait("d")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    [done] = sent.wait("done")
    settled(panel)

    assert "x " * 30 == done["message"]["text"]
    assert "idle" == panel.state


def test_two_panels_show_one_run(make: Callable[..., Any], sent: Sent, far: Served) -> None:
    """Both panels on a conversation hear the same deltas and end alike; either can stop it."""
    one, other = make(), make()
    far.backend.pieces, far.backend.pause = ["x "] * 2_000, 0.01
    ask(one)
    rid = sent.wait("d", 2, of=other)[0]["rid"]
    other._handle_custom_msg({"t": "stop", "rid": rid}, [])
    sent.wait("done", 1, of=one)
    sent.wait("done", 1, of=other)

    assert sent.messages("d", of=one) == sent.messages("d", of=other)
    assert settled(one)["messages"] == settled(other)["messages"]


def test_F79_a_panel_closed_midway_costs_no_text(panel: Any, sent: Sent, far: Served) -> None:
    """The run of a panel that is gone goes on into the conversation."""
    far.backend.pieces, far.backend.pause = ["x "] * 50, 0.01
    ask(panel)
    sent.wait("d")
    panel.close()
    turn = Chat().conversation.line()[-1]
    while turn.state == "pending":
        threading.Event().wait(0.02)

    assert ("complete", "x " * 50) == (turn.state, turn.reply)


def test_F78_a_broken_comm_costs_no_text(
    make: Callable[..., Any], sent: Sent, far: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A panel that cannot send is left out and reported once; another one is not left out."""
    broken, sound = make(), make()
    settled(sound)
    for name in ("post", "show", "keep"):
        setattr(broken, name, lambda *args: 1 / 0)
    ask(sound)
    sent.wait("done", of=sound)
    Chat().ask_blocking("from a cell")
    settled(sound)

    assert ["ok"] * 2 == [turn.reply for turn in Chat().conversation.line()]
    assert 1 == len([each for each in caplog.records if "could not be updated" in each.message])


def test_a_turn_made_elsewhere_is_shown(panel: Any, sent: Sent, far: Served) -> None:
    """What Python asks in the conversation appears in the panel."""
    Chat().ask_blocking("from a cell")

    texts = [each["text"] for each in settled(panel)["messages"]]
    assert ["from a cell", "ok"] == texts


def test_retry_edit_and_alternatives(panel: Any, sent: Sent, far: Served) -> None:
    """Retry and edit put a turn beside the old one, and both can be brought back."""
    ask(panel, "first")
    sent.wait("done")
    mid = settled(panel)["messages"][1]["id"]
    panel._handle_custom_msg({"t": "retry", "mid": mid}, [])
    sent.wait("done", 2)
    assert [2, 2] == settled(panel)["messages"][1]["alternative"]

    panel._handle_custom_msg({"t": "edit", "mid": mid, "text": "second", "nonce": "e"}, [])
    sent.wait("done", 3)
    assert "second" == settled(panel)["messages"][0]["text"]

    current = panel.snapshot["messages"][1]["id"]
    panel._handle_custom_msg({"t": "alt", "mid": current, "k": 1}, [])
    settled(panel)
    assert (mid, [1, 3]) == tuple(
        settled(panel)["messages"][1][name] for name in ("id", "alternative")
    )


def test_the_panel_follows_the_conversation_in_use(panel: Any, sent: Sent, far: Served) -> None:
    """`new` in a panel is `new` for the magics, and `use` of the magics is shown in the panel."""
    panel._handle_custom_msg({"t": "new", "name": "review"}, [])
    ask(panel, "there")
    sent.wait("done")

    assert "review" == conversations.shared().current.conversation.name
    assert "review" == settled(panel)["conversation"]


def test_a_panel_with_its_own_conversation_leaves_the_one_in_use(
    make: Callable[..., Any], sent: Sent, far: Served
) -> None:
    """What is begun or picked in it is shown there, and the magics stay where they are."""
    panel = make("review")
    in_use = conversations.shared().current
    for count, (kind, name) in enumerate([("new", "other"), ("use", "review")], 1):
        panel._handle_custom_msg({"t": kind, "name": name}, [])
        ask(panel, "there", name)
        sent.wait("done", count)

        assert name == settled(panel)["conversation"]
        assert in_use is conversations.shared().current


def test_nothing_secret_is_in_the_state(panel: Any, sent: Sent, far: Served) -> None:
    """Neither the key nor the endpoint is anywhere in what the panel sends."""
    ask(panel)
    sent.wait("done")
    settled(panel)

    assert far.environment["GPROCHAT_SECRET_KEY"] not in repr(sent.all)
    assert far.environment["GPROCHAT_API_ENDPOINT"] not in repr(sent.all)


def test_the_bundle_keeps_the_widgets_metadata(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colab finds its widget manager by the metadata; the transcript is beside the widget."""
    import anywidget

    about = {"application/vnd.jupyter.widget-view+json": {"colab": {"custom": True}}}
    monkeypatch.setattr(
        anywidget.AnyWidget, "_repr_mimebundle_", lambda self, **kwargs: ({"x": 1}, about)
    )
    data, metadata = panel._repr_mimebundle_()

    assert about == metadata
    assert {"x", "text/html", "text/plain"} == set(data)
