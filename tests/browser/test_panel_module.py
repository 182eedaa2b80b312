"""The panel's module in a bare Chromium, against a model that is scripted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from gprochat_magic import markdown
from tests.browser.mounted import Mounted, message, mounted, snapshot

pytestmark = pytest.mark.browser

TALK = [
    message("1.u", "user", "first prompt"),
    message("1.a", "assistant", "first *reply*"),
    message("2.u", "user", "second\nprompt"),
    message(
        "2.a",
        "assistant",
        "```python\nx = 1 < 2\n\ty\n```",
        alternative=[2, 3],
        meta={"model": "large", "elapsed": 3.42, "first": 0.31, "tokens": 21},
    ),
]
NOTEBOOK = """({
  kernel: { interrupt: () => { window.interrupted = true; return Promise.resolve(); },
    statusChanged: { connect(f) { window.status_ = f; }, disconnect() { window.status_ = null; } },
    connectionStatusChanged: { connect(f) { window.line_ = f; }, disconnect() {} } },
  context: { model: { sharedModel: { cells: [], insertCell(at, cell) {
    this.cells.splice(at, 0, cell); (window.inserted ??= []).push([at, cell]); return cell; } } } },
  rendermime: { latexTypesetter: { typeset(e) { (window.typeset ??= []).push(e.innerText); } } },
})"""


@pytest.fixture
def panel(browser: Browser) -> Iterator[Mounted]:
    with mounted(browser, permissions=["clipboard-read", "clipboard-write"]) as one:
        yield one


def test_enter_sends_and_keeps_the_focus(panel: Mounted) -> None:
    """Enter sends what was typed once, empties the box and leaves the cursor in it."""
    panel.open().box.fill("hello")
    panel.box.press("Enter")

    [sent] = panel.sent()
    assert ("send", "hello") == (sent["t"], sent["text"])
    assert sent["nonce"]
    expect(panel.box).to_have_value("")
    expect(panel.box).to_be_focused()


def test_shift_enter_is_a_new_line_that_no_shortcut_sees(panel: Mounted) -> None:
    """Shift+Enter adds a line; no key gets out of the panel, which also tells Lumino so."""
    panel.open()
    panel.page.evaluate("() => { window.keys = []; onkeydown = (event) => keys.push(event.key); }")
    panel.box.press_sequentially("a")
    panel.box.press("Shift+Enter")
    panel.box.press("b")

    expect(panel.box).to_have_value("a\nb")
    assert panel.sent() == []
    assert panel.page.evaluate("keys") == []
    expect(panel.box).to_have_attribute("data-lm-suppress-shortcuts", "true")


def test_a_key_of_an_input_method_never_sends(panel: Mounted) -> None:
    """Enter that ends a composition, as Chromium and as Safari tell of it, sends nothing."""
    panel.open().box.click()
    devtools = panel.page.context.new_cdp_session(panel.page)
    devtools.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    devtools.send("Input.insertText", {"text": "日"})
    devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})

    assert panel.sent() == []
    panel.box.press("Enter")
    assert [m["text"] for m in panel.sent()] == ["日"]


def test_up_recalls_earlier_prompts(panel: Mounted) -> None:
    """Up in an empty box walks back through the prompts, Down forth; a draft is left alone."""
    panel.open(snapshot(*TALK)).box.click()
    seen = []
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown"):
        panel.box.press(key)
        seen.append(panel.box.input_value())

    assert seen == ["second\nprompt", "first prompt", "first prompt", "second\nprompt", ""]
    panel.box.fill("draft")
    panel.box.press("ArrowUp")
    expect(panel.box).to_have_value("draft")


def test_the_menu_offers_subcommands_and_picks_without_sending(panel: Mounted) -> None:
    """`/` opens a menu; Enter in it puts the subcommand into the box, Escape closes it."""
    panel.open().box.press_sequentially("/")
    expect(panel.page.locator(".gp-option")).to_have_count(3)
    panel.box.press("ArrowDown")
    panel.box.press("Enter")

    expect(panel.box).to_have_value("/new ")
    assert panel.sent() == []
    panel.box.fill("/")
    panel.box.press("Escape")
    expect(panel.at("menu")).to_be_hidden()
    panel.box.fill("/models")
    panel.box.press("Enter")
    assert [m["text"] for m in panel.sent()] == ["/models"]


def test_the_menu_offers_variables(panel: Mounted) -> None:
    """`@` offers names of variables, also those that Python adds, and puts one in as {name}."""
    panel.open().box.press_sequentially("show @d")
    assert panel.page.locator(".gp-option").all_inner_texts() == ["@data", "@df"]
    assert panel.sent()[-1] == {"t": "names", "prefix": "d"}
    panel.emit("names", prefix="d", names=["delta"])
    expect(panel.page.locator(".gp-option")).to_have_count(3)
    panel.box.press("ArrowDown")
    panel.box.press("Tab")

    expect(panel.box).to_have_value("show {delta}")


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
    panel.emit("d", rid="r1", seq=2, frozen="<p>c</p>", tail="")
    panel.emit("d", rid="r1", seq=3, frozen="<p>d</p>", tail="")
    assert panel.sent("sync") == [{"t": "sync", "rid": "r1", "have": 0}]
    panel.emit("full", rid="r1", seq=3, frozen="<p>a</p><p>b</p><p>c</p><p>d</p>", tail="")
    panel.emit("d", rid="r1", seq=3, frozen="<p>d</p>", tail="")
    panel.emit("d", rid="r1", seq=4, frozen="<p>e</p>", tail="<p>f</p>")
    panel.emit("d", rid="old", seq=5, frozen="<p>x</p>", tail="")
    panel.frame()

    assert panel.replies() == ["a\n\nb\n\nc\n\nd\n\ne\n\nf"]


def test_silence_asks_for_what_was_lost(panel: Mounted) -> None:
    """Two seconds without a delta ask for all there is: lost last deltas leave no gap."""
    panel.open().ask()
    panel.page.wait_for_function("model.sent.some((m) => m.t === 'sync')", timeout=8000)

    assert panel.sent("sync") == [{"t": "sync", "rid": "r1", "have": -1}]


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


def test_F65_a_busy_kernel_is_offered_an_interrupt(panel: Mounted) -> None:
    """Without an answer the panel says that the kernel is busy, and can interrupt it."""
    panel.open(manager=NOTEBOOK).box.fill("hi")
    panel.box.press("Enter")
    panel.at("interrupt").click()

    assert panel.page.evaluate("window.interrupted")
    expect(panel.at("interrupt")).to_have_count(0)


def test_F65_the_offer_goes_when_python_answers(panel: Mounted) -> None:
    """A late answer takes the notice away, before there is a run."""
    panel.open(manager=NOTEBOOK).box.fill("hi")
    panel.box.press("Enter")
    expect(panel.at("interrupt")).to_be_visible()
    panel.emit("ack", nonce=panel.sent("send")[0]["nonce"])

    expect(panel.at("interrupt")).to_have_count(0)
    assert panel.page.evaluate("window.interrupted") is None


def test_an_answered_prompt_offers_no_interrupt(panel: Mounted) -> None:
    """An interrupt hits whatever runs, so nothing offers it once Python has answered."""
    panel.open(manager=NOTEBOOK).ask()
    panel.page.wait_for_timeout(1000)

    expect(panel.at("interrupt")).to_have_count(0)


def test_retry_alternatives_and_edit(panel: Mounted) -> None:
    """Retry asks again, the arrows go through the answers, an edited prompt is sent again."""
    panel.open(snapshot(*TALK))
    last = panel.at("msg").last
    assert "2/3" in last.inner_text()
    last.locator('[data-gp="alt-prev"]').click()
    last.locator('[data-gp="alt-next"]').click()
    panel.at("msg").nth(2).hover()
    panel.at("msg").nth(2).locator('[data-gp="edit"]').click()
    expect(panel.at("editor")).to_be_focused()
    panel.at("editor").fill("other")
    panel.at("editor").press("Enter")

    first, second, edit = panel.sent()
    assert first == {"t": "alt", "mid": "2.a", "k": 1}
    assert second == {"t": "alt", "mid": "2.a", "k": 3}
    assert ("edit", "2.u", "other") == (edit["t"], edit["mid"], edit["text"])
    panel.emit("ack", nonce=edit["nonce"])
    panel.emit("open", rid="r", mid="3.a", user=message("3.u", "user", "other"))
    panel.emit("done", rid="r", seq=0, message=message("3.a", "assistant", "ok"), notes=[])
    panel.at("retry").last.click()
    assert panel.sent()[-1] == {"t": "retry", "mid": "3.a"}


def test_alternatives_keep_the_keyboard_where_it_was(panel: Mounted) -> None:
    """After another answer is shown the focus is on the same button of that answer."""
    panel.open(snapshot(*TALK))
    panel.at("alt-prev").press("Enter")
    other = message("2b.a", "assistant", "another", alternative=[1, 3])
    panel.turn(snapshot(*TALK[:2], message("2b.u", "user", "second"), other))

    expect(panel.at("msg").last.locator('[data-gp="alt-prev"]')).to_be_focused()


def test_copy_gives_the_exact_source(panel: Mounted) -> None:
    """Copy on a message gives its Markdown, on a block its code, byte for byte."""
    panel.open(snapshot(*TALK))
    panel.at("copy").last.click()
    expect(panel.at("status")).to_have_text("Copied")
    whole = panel.page.evaluate("navigator.clipboard.readText()")
    panel.page.locator(".gp-code").hover()
    panel.at("copy-code").click()
    panel.page.wait_for_function(
        "async () => !(await navigator.clipboard.readText()).includes('`')"
    )

    assert whole == TALK[3]["text"]
    assert panel.page.evaluate("navigator.clipboard.readText()") == "x = 1 < 2\n\ty\n"


def test_copy_works_where_the_clipboard_is_not_given(panel: Mounted) -> None:
    """Without the modern clipboard the old command copies the same text."""
    panel.open(snapshot(*TALK))
    panel.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    panel.at("copy").last.click()
    expect(panel.at("status")).to_have_text("Copied")

    assert panel.page.evaluate("navigator.clipboard.readText()") == TALK[3]["text"]


def test_F125_insert_puts_code_into_a_cell_and_runs_nothing(panel: Mounted) -> None:
    """Insert adds one code cell with the exact source; above 1 MB, or without cells, none."""
    panel.open(snapshot(*TALK), manager=NOTEBOOK)
    panel.page.evaluate("""() => {
      const cell = document.createElement('div');
      cell.className = 'jp-Cell';
      cell.dataset.windowedListIndex = '4';
      document.body.append(cell);
      cell.append(document.getElementById('el'));
    }""")
    panel.page.locator(".gp-code").hover()
    panel.at("insert").click()

    [[at, cell]] = panel.page.evaluate("window.inserted")
    assert (at, cell["cell_type"], cell["source"]) == (5, "code", "x = 1 < 2\n\ty\n")
    panel.page.evaluate("document.querySelector('pre code').textContent = 'x'.repeat(1000001)")
    panel.at("insert").click()
    assert len(panel.page.evaluate("window.inserted")) == 1


def test_insert_copies_where_there_are_no_cells(panel: Mounted) -> None:
    """In a front end that gives no access to its cells the code is copied, with a word on it."""
    panel.open(snapshot(*TALK)).page.locator(".gp-code").hover()
    panel.at("insert").click()

    expect(panel.at("status")).to_contain_text("cells cannot be added")
    assert panel.page.evaluate("navigator.clipboard.readText()") == "x = 1 < 2\n\ty\n"


def test_pickers(panel: Mounted) -> None:
    """The pickers show what is in force and ask for another; a new conversation has a free name."""
    panel.open(snapshot(names=["default", "chat-2"]))
    expect(panel.at("model")).to_have_value("demo")
    panel.at("model").select_option("large")
    panel.at("conversation").select_option("chat-2")
    panel.at("new").click()

    assert panel.sent() == [
        {"t": "model", "name": "large"},
        {"t": "use", "name": "chat-2"},
        {"t": "new", "name": "chat-3"},
    ]


def test_the_log_sticks_to_its_end_and_lets_go(panel: Mounted) -> None:
    """What comes keeps the end in view, until one scrolls up; a button leads back."""
    panel.open().ask()
    gap = """() => {
      const e = document.querySelector('.gp-log');
      return e.scrollHeight - e.scrollTop - e.clientHeight;
    }"""
    for seq in range(5):
        panel.emit("d", rid="r1", seq=seq, frozen="<p>line</p>" * 20, tail="")
        panel.frame()
    panel.page.wait_for_function(f"({gap})() <= 1")
    panel.at("log").hover()
    panel.page.mouse.wheel(0, -600)
    expect(panel.at("jump")).to_be_visible()
    before = panel.at("log").evaluate("(e) => e.scrollTop")
    panel.emit("d", rid="r1", seq=5, frozen="<p>line</p>" * 20, tail="")
    panel.frame()

    assert abs(panel.at("log").evaluate("(e) => e.scrollTop") - before) < 5
    expect(panel.at("jump")).to_have_attribute("data-unread", "")
    panel.at("jump").click()
    panel.page.wait_for_function(f"({gap})() <= 1")
    expect(panel.at("jump")).to_be_hidden()


def test_the_empty_panel_offers_suggestions(panel: Mounted) -> None:
    """An empty conversation has suggestions; one click sends one."""
    panel.open()
    panel.page.evaluate("model.set('ui', { suggestions: ['one', 'two'], placeholder: 'Say' })")
    assert panel.at("suggestion").all_inner_texts() == ["one", "two"]
    panel.at("suggestion").first.click()

    assert panel.sent("send")[0]["text"] == "one"
    expect(panel.at("suggestion")).to_have_count(0)
    expect(panel.box).to_have_attribute("placeholder", "Say")


def test_the_footer_says_who_and_how_long(panel: Mounted) -> None:
    """Below a reply stand the model, the times and the tokens."""
    panel.open(snapshot(*TALK))

    shown = panel.at("msg").last.locator(".gp-meta").inner_text()
    assert shown == "large · 3.4s · first text 0.3s · ~21 tokens"


def test_an_error_is_where_the_reply_would_be(panel: Mounted) -> None:
    """A failed run shows why and what to do; Retry counts down first, and the prompt stays."""
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
    expect(retry).to_have_text("Retry")
    retry.click()
    assert panel.sent()[-1] == {"t": "retry", "mid": "r1.a"}
    assert "precious" in panel.at("log").inner_text()


def test_what_is_refused_before_it_began_goes_back_into_the_box(panel: Mounted) -> None:
    """An error without a run is shown as a notice, and the prompt can be sent again."""
    panel.open().box.fill("precious")
    panel.box.press("Enter")
    panel.emit("err", rid="", seq=0, text="Too long", hint="", retryable=False, retry_after=None)

    expect(panel.page.get_by_role("alert")).to_contain_text("Too long")
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
    panel.open().ask()
    panel.emit("wait", rid="r1", seconds=5, reason="Busy.")

    expect(panel.at("msg").last).to_contain_text("Trying again in 5s. Busy.")


@pytest.mark.parametrize("way", ["send", "status", "comm"])
def test_F78_a_restarted_kernel_is_said_and_the_draft_kept(panel: Mounted, way: str) -> None:
    """Without its kernel the panel says so, and keeps what was typed, over a reload too."""
    panel.open(manager=NOTEBOOK).box.fill("precious")
    if way == "send":
        panel.page.evaluate("model.dead = true")
        panel.box.press("Enter")
    elif way == "status":
        panel.page.evaluate("status_(null, 'restarting')")
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
    """After a view is closed the model and the kernel have none of its listeners."""
    panel.open(manager=NOTEBOOK).ask()
    panel.page.evaluate("unmount()")
    left = panel.page.evaluate("Object.values(model.on_).flat().length")
    sent = len(panel.sent())
    panel.page.wait_for_timeout(2500)

    assert left == 0
    assert panel.page.evaluate("window.status_") is None
    assert len(panel.sent()) == sent


def test_formulas_are_set_once_when_a_reply_is_whole(panel: Mounted) -> None:
    """The front end's typesetter gets a finished reply with formulas once, a growing one never."""
    panel.open(manager=NOTEBOOK).ask()
    panel.emit("d", rid="r1", seq=0, frozen=markdown.render("$a$"), tail="")
    panel.frame()
    assert panel.page.evaluate("window.typeset") is None
    panel.end("So $x^2$")
    panel.page.wait_for_function("window.typeset?.length")
    panel.turn(snapshot(message("r1.u", "user", "hi"), message("r1.a", "assistant", "So $x^2$")))
    panel.page.wait_for_timeout(300)

    assert len(panel.page.evaluate("typeset")) == 1


def test_unknown_messages_are_ignored(panel: Mounted) -> None:
    """A message of an unknown kind or shape changes nothing and breaks nothing."""
    panel.open()
    panel.page.evaluate(
        "[null, {}, 3, {t: 'xyz'}, {t: 'd'}, {t: 'done'}].forEach((m) => model.emit(m))"
    )

    expect(panel.at("suggestion")).to_have_count(3)


def test_a_huge_paste_is_taken_and_more_than_a_megabyte_refused(panel: Mounted) -> None:
    """200 kB can be pasted and sent; more than Python would take stays in the box."""
    panel.open()
    panel.box.fill("x" * 200_000)
    panel.box.press("Enter")
    assert len(panel.sent("send")[0]["text"]) == 200_000
    panel.emit("open", rid="r1", mid="1.a", user=message("1.u", "user", "x"))
    panel.end("ok")
    panel.box.fill("ж" * 500_001)
    panel.box.press("Enter")

    assert len(panel.sent("send")) == 1
    expect(panel.at("status")).to_contain_text("1 MB")


def test_russian_where_the_browser_is_russian(browser: Browser) -> None:
    """The words follow the browser's language, and Python is told which it is."""
    with mounted(browser, locale="ru-RU") as panel:
        panel.open(snapshot(*TALK))

        expect(panel.box).to_have_attribute("aria-label", "Сообщение")
        assert panel.page.evaluate("model.sent[0].lang") == "ru"
        assert "3,4" in panel.at("msg").last.locator(".gp-meta").inner_text()
