"""The panel's module in a bare Chromium, against a model that is scripted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from gprochat_magic import markdown
from tests.browser.mounted import NOTEBOOK, Mounted, message, mounted, snapshot

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


def test_a_draft_is_there_after_a_reload(panel: Mounted) -> None:
    """What was typed a moment before the page went is in the box of the next one."""
    panel.stop_clock().open().box.fill("precious")
    panel.open()

    expect(panel.box).to_have_value("precious")


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
    retry = panel.sent()[-1]
    assert ("retry", "3.a") == (retry["t"], retry["mid"])


@pytest.mark.parametrize("way", ["retry", "edit"])
def test_another_answer_grows_in_the_place_of_the_first(panel: Mounted, way: str) -> None:
    """What is asked again is not seen twice, before the run begins, while it grows and after."""
    panel.open(snapshot(*TALK))
    asked = "first prompt" if way == "retry" else "other"
    if way == "retry":
        panel.at("msg").nth(1).hover()
        panel.at("retry").first.click()
    else:
        panel.at("msg").first.hover()
        panel.at("edit").first.click()
        panel.at("editor").fill("other")
        panel.at("editor").press("Enter")
    seen = [panel.at("msg").all_text_contents()]
    panel.emit("ack", nonce=panel.sent(way)[0]["nonce"])
    panel.emit("open", rid="r", mid="3.a", user=message("3.u", "user", asked))
    seen.append(panel.at("msg").all_text_contents())
    panel.emit("done", rid="r", seq=0, message=message("3.a", "assistant", "ok"), notes=[])
    panel.turn(snapshot(message("3.u", "user", asked), message("3.a", "assistant", "ok")))
    seen.append(panel.at("msg").all_text_contents())

    assert [2, 2, 2] == [len(each) for each in seen]
    assert all(asked in each[0] for each in seen)


def test_what_was_not_asked_again_after_all_is_still_there(panel: Mounted) -> None:
    """After a refused Retry a run of another view hides nothing."""
    panel.open(snapshot(*TALK))
    panel.at("msg").nth(1).hover()
    panel.at("retry").first.click()
    expect(panel.at("msg")).to_have_count(2)
    nonce = panel.sent("retry")[0]["nonce"]
    panel.emit("err", rid=None, nonce=nonce, seq=0, text="No", hint="", retryable=False)
    expect(panel.at("msg")).to_have_count(4)
    panel.emit("open", rid="r", mid="3.a", user=message("3.u", "user", "elsewhere"))

    expect(panel.at("msg")).to_have_count(6)


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
    before = panel.at("insert").locator("path").get_attribute("d") or ""
    panel.at("insert").click()

    expect(panel.at("status")).to_contain_text("cells cannot be added")
    assert panel.page.evaluate("navigator.clipboard.readText()") == "x = 1 < 2\n\ty\n"
    expect(panel.at("insert").locator("path")).to_have_attribute("d", before)


def test_pickers(panel: Mounted) -> None:
    """The pickers show what is in force and ask for another; the kernel names a new one."""
    panel.open(snapshot(names=["default", "chat-2"]))
    expect(panel.at("model")).to_have_value("demo")
    panel.at("model").select_option("large")
    panel.at("conversation").select_option("chat-2")
    panel.at("new").click()

    assert panel.sent() == [
        {"t": "model", "name": "large"},
        {"t": "use", "name": "chat-2"},
        {"t": "new"},
    ]


def test_a_subcommand_cannot_be_asked_again(panel: Mounted) -> None:
    """A subcommand and its output have neither Retry nor Edit, what failed has one of each."""
    aside = message("s.u", "user", "/models", number=0), message("s.a", "assistant", "a", number=0)
    lost = message("l.a", "assistant", "", number=0, status="failed", error="Busy")
    panel.open(snapshot(*TALK[:2], *aside, message("l.u", "user", "q", number=0), lost))

    expect(panel.at("edit")).to_have_count(2)
    assert panel.page.locator('.gp-msg:has([data-gp="retry"])').evaluate_all(
        "(all) => all.map((e) => e.dataset.mid)"
    ) == ["1.a", "l.a"]
    expect(panel.at("retry")).to_have_count(2)


def test_the_shortcut_to_save_saves_the_notebook(panel: Mounted) -> None:
    """Ctrl+S in the box saves the notebook, where the front end lets it."""
    panel.open(manager=NOTEBOOK).box.press("Control+s")

    assert panel.page.evaluate("window.saved")


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


def test_what_is_selected_stays_so_when_a_reply_ends(panel: Mounted) -> None:
    """Of a reply that has grown to its whole, only the blocks that differ are put in anew."""
    text = "first\n\nSo $x$\n\n```python\ny = 1\n```"
    growing = markdown.Growing()
    growing.update(text)
    panel.open(manager=NOTEBOOK).ask()
    panel.emit("d", rid="r1", seq=0, frozen=growing.frozen, tail=growing.tail)
    panel.frame()
    panel.page.evaluate("getSelection().selectAllChildren(document.querySelector('.gp-body p'))")
    panel.end(text)
    panel.page.wait_for_function("window.typeset?.length")
    panel.turn(snapshot(message("r1.u", "user", "hi"), message("r1.a", "assistant", text)))

    assert "first" in panel.page.evaluate("getSelection().toString()")
    expect(panel.at("copy-code")).to_have_count(1)
    expect(panel.page.locator(".gp-live")).to_have_count(0)
    assert len(panel.page.evaluate("typeset")) == 1


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


def test_a_huge_paste_is_taken_and_more_than_a_megabyte_refused(panel: Mounted) -> None:
    """200 kB can be pasted and sent; more than Python would take stays in the box."""
    panel.open()
    panel.box.fill("x" * 200_000)
    panel.box.press("Enter")
    assert len(panel.sent("send")[0]["text"]) == 200_000
    panel.emit("open", rid="r1", mid="1.a", user=message("1.u", "user", "x"))
    panel.end("ok")
    # Half a megabyte of letters takes a busy machine a minute to lay out, for nothing here.
    panel.box.evaluate("(e) => { e.style.display = 'none'; e.value = 'ж'.repeat(500_001); }")
    panel.at("send").click()

    assert len(panel.sent("send")) == 1
    expect(panel.at("status")).to_contain_text("1 MB")
    assert len(panel.box.input_value()) == 500_001
