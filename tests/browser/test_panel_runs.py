"""The runs that the panel shows: deltas, ends, stops and errors, and what the kernel may do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.mounted import NOTEBOOK, Mounted, message, mounted, snapshot

pytestmark = pytest.mark.browser

# Which timers are to come, and which listeners the page as a whole has.
ALIVE = """
window.alive = new Set();
const { setTimeout: set, clearTimeout: clear } = window;
window.setTimeout = (then, ms) => {
  const id = set(() => { alive.delete(id); then(); }, ms);
  alive.add(id);
  return id;
};
window.clearTimeout = (id) => { alive.delete(id); clear(id); };
window.setInterval = () => { throw new Error('not used'); };
for (const place of [window, document])
  place.addEventListener = (kind, then, options) => {
    alive.add(kind);
    options.signal.addEventListener('abort', () => alive.delete(kind));
  };
"""


@pytest.fixture
def panel(browser: Browser) -> Iterator[Mounted]:
    with mounted(browser, permissions=["clipboard-read", "clipboard-write"]) as one:
        yield one


def test_a_reply_grows_and_ends(panel: Mounted) -> None:
    """Frozen HTML is added to, the tail replaced; the end puts the whole reply in their place."""
    panel.open().ask()
    expect(panel.at("log")).to_have_attribute("aria-busy", "true")
    panel.emit("d", rid="r1", seq=0, frozen="", tail="<p>On</p>")
    panel.emit("d", rid="r1", seq=1, frozen="<p>One</p>", tail="<p>Tw</p>")
    panel.frame()
    assert panel.replies() == ["One\n\nTw"]
    panel.end("One\n\nTwo", seq=2)

    assert panel.replies() == ["One\n\nTwo"]
    expect(panel.at("log")).to_have_attribute("aria-busy", "false")
    expect(panel.at("status")).to_have_text("Reply complete")
    expect(panel.at("send")).to_be_visible()


def test_a_gap_asks_once_for_all(panel: Mounted) -> None:
    """Deltas after a gap are not shown; one sync brings everything, and it goes on from there."""
    panel.open().ask()
    panel.emit("d", rid="r1", seq=0, frozen="<p>a</p>", tail="")
    for seq in (2, 3, 4):
        panel.emit("d", rid="r1", seq=seq, frozen="<p>x</p>", tail="")
    assert panel.sent("sync") == [{"t": "sync", "rid": "r1", "have": 0}]
    panel.emit("full", rid="r1", seq=3, frozen="<p>a</p><p>b</p>", tail="")
    panel.emit("d", rid="r1", seq=4, frozen="<p>c</p>", tail="<p>d</p>")
    panel.frame()

    assert panel.replies() == ["a\n\nb\n\nc\n\nd"]


def test_late_doubled_and_foreign_messages_change_nothing(panel: Mounted) -> None:
    """What was had, what is of another run, and what is of one that is over, is not shown."""
    panel.open().ask()
    panel.emit("d", rid="r1", seq=0, frozen="<p>a</p>", tail="")
    panel.emit("d", rid="r1", seq=1, frozen="<p>b</p>", tail="")
    panel.frame()
    panel.page.evaluate("() => { window.first = document.querySelector('.gp-frozen p'); }")
    for rid, seq in (("r1", 1), ("r1", 0), ("other", 2), ("other", 0)):
        panel.emit("d", rid=rid, seq=seq, frozen="<p>x</p>", tail="<p>x</p>")
    for rid in ("r1", "other"):
        panel.emit("full", rid=rid, seq=1, frozen="<p>x</p>", tail="")
    panel.emit("done", rid="other", seq=3, message=message("o.a", "assistant", "x"), notes=[])
    panel.emit("wait", rid="other", seconds=5, reason="x")
    panel.frame()
    assert panel.replies() == ["a\n\nb"]
    assert panel.page.evaluate("first.isConnected")  # a selection in it is not lost
    panel.end("a\n\nb")
    panel.emit("d", rid="r1", seq=3, frozen="<p>x</p>", tail="")
    panel.emit("open", rid="r1", mid="r1.a", user=message("r1.u", "user", "hi"))
    panel.end("x")
    panel.frame()

    assert panel.replies() == ["a\n\nb"]
    assert panel.sent("sync") == []
    expect(panel.at("send")).to_be_visible()


def test_silence_asks_for_what_was_lost(panel: Mounted) -> None:
    """Two seconds without a delta ask for all there is, later ones less and less often."""
    panel.stop_clock()
    panel.open().ask()
    panel.emit("d", rid="r1", seq=0, frozen="<p>a</p>", tail="")
    panel.pass_time(1900)
    assert panel.sent("sync") == []
    panel.pass_time(200)
    assert panel.sent("sync") == [{"t": "sync", "rid": "r1", "have": 0}]
    panel.pass_time(10_000)

    assert len(panel.sent("sync")) == 2


def test_a_lost_end_is_asked_for(panel: Mounted) -> None:
    """When the end of a run is lost, the answer to the question after it ends the run."""
    panel.stop_clock()
    panel.open().ask()
    panel.emit("d", rid="r1", seq=0, frozen="<p>whole</p>", tail="")
    panel.pass_time(2100)
    assert len(panel.sent("sync")) == 1
    panel.turn(snapshot(message("r1.u", "user", "hi"), message("r1.a", "assistant", "whole")))
    panel.pass_time(60_000)

    assert panel.replies() == ["whole"]
    assert len(panel.sent("sync")) == 1
    expect(panel.at("send")).to_be_visible()


def test_a_lost_opening_and_a_lost_end_heal(panel: Mounted) -> None:
    """A delta of an unknown run is followed; a snapshot with the whole reply ends a run."""
    panel.open()
    panel.emit("d", rid="r9", seq=4, frozen="<p>b</p>", tail="")
    assert panel.sent("sync")[0]["rid"] == "r9"
    panel.turn(snapshot(message("t.u", "user", "q"), message("t.a", "assistant", "whole")))
    panel.emit("done", rid="r9", seq=5, message=message("t.a", "assistant", "whole"), notes=[])
    panel.emit("done", rid="r9", seq=5, message=message("t.a", "assistant", "twice"), notes=[])

    assert panel.replies() == ["whole"]
    expect(panel.at("send")).to_be_visible()


def test_a_page_loaded_while_a_reply_streams_follows_it(panel: Mounted) -> None:
    """A view of a conversation with a run on its way asks for what was said so far."""
    pending = message("1.a", "assistant", "", status="pending")
    panel.open(snapshot(message("1.u", "user", "q"), pending, run="r1"))
    panel.emit("full", rid="r1", seq=6, frozen="<p>so far</p>", tail="")
    panel.frame()

    assert panel.sent("sync") == [{"t": "sync", "rid": "r1", "have": -1}]
    assert panel.replies() == ["so far"]
    expect(panel.at("stop")).to_be_visible()


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_F64_stop_from_the_first_moment(panel: Mounted, way: str) -> None:
    """Stop is there before Python has answered, and is told as soon as there is a run."""
    panel.open().box.fill("hi")
    panel.box.press("Enter")
    panel.at("stop").click() if way == "button" else panel.box.press("Escape")
    panel.emit("open", rid="r1", mid="1.a", user=message("1.u", "user", "hi"))

    assert panel.sent("stop") == [{"t": "stop", "rid": "r1"}]


@pytest.mark.parametrize("moment", ["asked", "stopped"])
def test_F65_a_busy_kernel_is_offered_an_interrupt(panel: Mounted, moment: str) -> None:
    """Without an answer, to a prompt or to Stop, the panel offers to interrupt the kernel."""
    panel.stop_clock()
    panel.open(manager=NOTEBOOK)
    if moment == "asked":
        panel.box.fill("hi")
        panel.box.press("Enter")
    else:
        panel.ask()
        panel.at("stop").click()
    panel.pass_time(600)
    expect(panel.at("interrupt")).to_have_count(0)
    panel.pass_time(200)
    expect(panel.at("interrupt")).to_have_text("Interrupt the kernel")
    panel.at("interrupt").click()

    assert panel.page.evaluate("window.interrupted")
    expect(panel.at("interrupt")).to_have_count(0)


def test_F65_the_offer_goes_when_python_answers(panel: Mounted) -> None:
    """A late answer takes the notice away, before there is a run."""
    panel.stop_clock()
    panel.open(manager=NOTEBOOK).box.fill("hi")
    panel.box.press("Enter")
    panel.pass_time(800)
    expect(panel.at("interrupt")).to_be_visible()
    panel.emit("ack", nonce=panel.sent("send")[0]["nonce"])

    expect(panel.at("interrupt")).to_have_count(0)
    assert panel.page.evaluate("window.interrupted") is None


def test_F65_without_the_means_it_says_where_to_interrupt(panel: Mounted) -> None:
    """In a front end that gives no access to its kernel the menu is named."""
    panel.stop_clock()
    panel.open().box.fill("hi")
    panel.box.press("Enter")
    panel.pass_time(800)

    expect(panel.at("notice")).to_have_text(
        "The kernel is busy with a cell. Interrupt it in the Kernel menu."
    )
    expect(panel.at("interrupt")).to_have_count(0)


def test_an_answered_prompt_offers_no_interrupt(panel: Mounted) -> None:
    """An interrupt hits whatever runs, so nothing offers it once Python has answered."""
    panel.stop_clock()
    panel.open(manager=NOTEBOOK).ask()
    panel.pass_time(1000)
    expect(panel.at("interrupt")).to_have_count(0)
    panel.at("stop").click()
    panel.page.evaluate("model.set('state', 'stopping')")
    panel.pass_time(1000)

    expect(panel.at("interrupt")).to_have_count(0)


def test_stop_twice_gives_up_what_was_never_taken(panel: Mounted) -> None:
    """A prompt that Python does not answer can be had back; if it runs after all, it is stopped."""
    panel.open().box.fill("precious")
    panel.box.press("Enter")
    panel.at("stop").click()
    panel.at("stop").click()
    expect(panel.box).to_have_value("precious")
    expect(panel.at("send")).to_be_visible()
    panel.emit("open", rid="r1", mid="r1.a", user=message("r1.u", "user", "precious"))

    assert panel.sent("stop") == [{"t": "stop", "rid": "r1"}]


def test_another_conversation_does_not_show_this_ones_run(panel: Mounted) -> None:
    """A run goes on out of sight, and is followed again when one comes back."""
    first = message("1.u", "user", "first")
    panel.open(snapshot(first)).ask("secret")
    panel.turn(snapshot(message("2.u", "user", "second"), conversation="thesis"))
    expect(panel.at("log")).not_to_contain_text("secret")
    expect(panel.at("send")).to_be_visible()
    half = message("r1.a", "assistant", "", status="pending")
    panel.turn(snapshot(first, message("r1.u", "user", "secret"), half, run="r1"))
    panel.emit("full", rid="r1", seq=3, frozen="<p>so far</p>", tail="")
    panel.frame()

    assert panel.sent("sync") == [{"t": "sync", "rid": "r1", "have": -1}]
    assert panel.replies() == ["so far"]
    expect(panel.at("msg")).to_have_count(3)


def test_an_error_is_where_the_reply_would_be(panel: Mounted) -> None:
    """A failed run shows why and what to do; Retry counts down first, and the prompt stays."""
    panel.stop_clock()
    panel.open().ask("precious")
    panel.end("", status="failed", error="Too many requests")
    panel.emit(
        "err",
        rid="r1",
        seq=10,
        text="Too many requests",
        hint="Wait a little.",
        retryable=True,
        retry_after=2,
    )
    retry = panel.at("error").locator('[data-gp="retry"]')

    expect(panel.at("error")).to_contain_text("Too many requests")
    expect(panel.at("error")).to_contain_text("Wait a little.")
    expect(retry).to_have_text("Retry in 2s")
    retry.dispatch_event("click")
    assert panel.sent("retry") == []
    panel.pass_time(2100)
    expect(retry).to_have_text("Retry")
    retry.click()
    assert [m["mid"] for m in panel.sent("retry")] == ["r1.a"]
    assert "precious" in panel.at("log").inner_text()


@pytest.mark.parametrize("way", ["composer", "editor"])
def test_what_is_refused_before_it_began_goes_back_into_the_box(panel: Mounted, way: str) -> None:
    """An error without a run is shown as a notice, and the prompt can be sent again."""
    panel.open(snapshot(message("1.u", "user", "first")))
    if way == "editor":
        panel.at("edit").click()
    panel.at(way).fill("precious")
    panel.at(way).press("Enter")
    nonce = panel.sent()[-1]["nonce"]
    said = {"text": "Too long", "hint": "", "retryable": False, "retry_after": None}
    panel.emit("err", rid=None, nonce=nonce, seq=0, **said)

    expect(panel.page.get_by_role("alert")).to_contain_text("Too long")
    expect(panel.at("notice")).to_contain_text("Too long")
    expect(panel.box).to_have_value("precious")
    expect(panel.at("send")).to_be_visible()


def test_a_refusal_does_not_end_a_reply_on_its_way(panel: Mounted) -> None:
    """An error without a run is a notice; what streams goes on. Another view's is not shown."""
    panel.open().ask()
    panel.emit("err", rid=None, seq=0, nonce="other", text="Not yours", hint="", retryable=False)
    panel.emit("err", rid=None, seq=0, nonce="", text="No such name", hint="", retryable=False)
    panel.emit("d", rid="r1", seq=0, frozen="<p>goes on</p>", tail="")
    panel.frame()

    expect(panel.page.get_by_role("alert")).to_have_text("No such name")
    assert panel.replies() == ["goes on"]


def test_waiting_for_another_attempt_is_said(panel: Mounted) -> None:
    """While a run waits to try again it says why and how long."""
    panel.stop_clock()
    panel.open().ask()
    panel.emit("wait", rid="r1", seconds=5, reason="Busy.")

    expect(panel.at("msg").last).to_contain_text("Trying again in 5s. Busy.")
    panel.pass_time(5000)
    expect(panel.at("msg").last).not_to_contain_text("Busy.")


@pytest.mark.parametrize("way", ["send", "status", "comm", "session", "silence"])
def test_F78_a_restarted_kernel_is_said_and_the_draft_kept(panel: Mounted, way: str) -> None:
    """Without its kernel the panel says so, and keeps what was typed, over a reload too."""
    panel.open(manager=NOTEBOOK).box.fill("precious")
    if way == "send":
        panel.page.evaluate("model.dead = true")
        panel.box.press("Enter")
    elif way == "status":
        panel.page.evaluate("status_(null, 'restarting')")
    elif way == "silence":
        panel.page.evaluate("""() => { window.kernel_ = "new";
          iopub_(null, { header: { msg_type: "status", session: "old" } }); }""")
        panel.box.press("Enter")
        panel.pass_time(1000)
    elif way == "session":
        panel.page.evaluate("""() => ["old", "old", "new"].forEach((session) =>
          iopub_(null, { header: { msg_type: "status", session } }))""")
    else:
        panel.page.evaluate("model.comm_live = false; model.fire('comm_live_update')")

    expect(panel.page.get_by_role("alert")).to_contain_text("The kernel was restarted")
    expect(panel.box).to_have_value("precious")
    panel.page.evaluate("unmount()")
    panel.open()
    expect(panel.box).to_have_value("precious")


def test_a_lost_line_comes_back(panel: Mounted) -> None:
    """A broken connection is said, and forgotten when it is there again; nothing is sent twice."""
    panel.open(manager=NOTEBOOK).box.fill("hi")
    panel.box.press("Enter")
    panel.page.evaluate("line_(null, 'disconnected')")
    expect(panel.page.get_by_role("alert")).to_contain_text("No connection")
    panel.page.evaluate("line_(null, 'connected')")

    expect(panel.page.get_by_role("alert")).to_have_text("")
    assert len({m["nonce"] for m in panel.sent("send")}) == 1


def test_a_restart_in_the_middle_leaves_what_came_readable(panel: Mounted) -> None:
    """What was streamed before the kernel went stays, marked as stopped."""
    panel.open(manager=NOTEBOOK).ask()
    panel.emit("d", rid="r1", seq=0, frozen="<p>half</p>", tail="<p>of it</p>")
    panel.frame()
    panel.page.evaluate("status_(null, 'dead')")

    assert panel.replies() == ["half\n\nof it"]
    expect(panel.at("msg").last).to_contain_text("Stopped")


def test_two_views_of_one_model_are_their_own(panel: Mounted) -> None:
    """Both views show the reply; what is typed in one is not in the other."""
    panel.open()
    panel.page.evaluate("""() => {
      const el = document.createElement('div');
      document.body.append(el);
      module.default.render({ model, el });
    }""")
    panel.box.first.fill("mine")
    panel.emit("open", rid="r1", mid="1.a", user=message("1.u", "user", "q"))
    panel.emit("d", rid="r1", seq=0, frozen="<p>both</p>", tail="")
    panel.frame()

    assert panel.replies() == ["both", "both"]
    expect(panel.box.last).to_have_value("")


def test_a_closed_view_leaves_nothing_behind(panel: Mounted) -> None:
    """After a view is closed none of its timers or listeners is left, in page, model or kernel."""
    panel.page.add_init_script(ALIVE)
    panel.open(snapshot(message("0.a", "assistant", "x")), manager=NOTEBOOK).ask()
    panel.emit("d", rid="r1", seq=0, frozen="<p>x</p>", tail="")
    panel.emit("wait", rid="r1", seconds=5, reason="x")
    panel.at("copy").first.click()
    assert panel.page.evaluate("alive.size") > 2
    panel.page.evaluate("unmount()")
    panel.end("late")

    assert panel.page.evaluate("[...alive]") == []
    assert panel.page.evaluate("Object.values(model.on_).flat().length") == 0
    assert panel.page.evaluate("[window.status_, window.iopub_]") == [None, None]


def test_messages_of_one_kernel_are_no_restart(panel: Mounted) -> None:
    """Only another session of a kernel's own status is another kernel."""
    panel.open(manager=NOTEBOOK)
    panel.page.evaluate("""() => [["status", "a"], ["stream", "b"], ["status", "a"]].forEach(
      ([msg_type, session]) => iopub_(null, { header: { msg_type, session } }))""")

    expect(panel.page.get_by_role("alert")).to_have_text("")


def test_unknown_messages_are_ignored(panel: Mounted) -> None:
    """A message of an unknown kind or shape changes nothing and breaks nothing."""
    panel.open()
    panel.page.evaluate(
        "[null, {}, 3, {t: 'xyz'}, {t: 'd'}, {t: 'done'}].forEach((m) => model.emit(m))"
    )

    expect(panel.at("suggestion")).to_have_count(3)
