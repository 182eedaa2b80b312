"""The chat panel in JupyterLab and Notebook 7, as a reader uses it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.listener import Listener
from tests.browser.page import App, OpenPage
from tests.browser.panels import CELLS, last, opened, part, send
from tests.browser.replies import HOLD, Replies
from tests.browser.server import Server
from tests.gateways import Served

pytestmark = pytest.mark.browser

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
LONG_CONVERSATION = """
from gprochat_magic import Chat, ChatPanel
from gprochat_magic.conversation import Turn
turns = Chat("long").conversation
for n in range(500):
    reply = f"**answer** {n}\\n\\n" + "word " * 400
    turns.append(Turn(f"question {n}", reply=reply, state="complete"))
ChatPanel("long")
"""
COUNT = """() => {
  const counted = (window.counted = { longTasks: [] });
  new PerformanceObserver((list) => {
    counted.longTasks.push(...list.getEntries().map(({ duration }) => duration));
  }).observe({ entryTypes: ['longtask'] });
}"""


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_prompt_is_answered(
    open_page: OpenPage, server: Server, replies: Replies, app: App
) -> None:
    """Sent with Enter, the reply streams in; Shift+Enter makes a line and runs no cell."""
    page = opened(open_page, server, f"panel-{app}", app=app)
    replies.to["hello\nthere"] = ["A ", "**bold** ", HOLD, "reply"]
    box = part(page, "composer")
    before = page.cell(1).locator(".jp-InputPrompt").inner_text()
    box.fill("hello")
    box.press("Shift+Enter")
    box.press_sequentially("there")
    box.press("Enter")
    expect(part(page, "log")).to_contain_text("A bold")
    replies.go_on.set()
    expect(part(page, "log")).to_contain_text("A bold reply")
    expect(part(page, "stop")).to_be_hidden()

    assert before == page.cell(1).locator(".jp-InputPrompt").inner_text()
    expect(part(page, "log").locator("strong")).to_have_text("bold")


def test_F64_stop_ends_the_reply(
    open_page: OpenPage, server: Server, far: Served, replies: Replies
) -> None:
    """Within half a second of Stop the source is closed, and the text stays."""
    page = opened(open_page, server, "panel-stop")
    replies.to["long"] = ["kept "] * 3_000
    send(page, "long")
    expect(part(page, "log")).to_contain_text("kept kept")
    part(page, "stop").click()

    assert far.backend.wait_closed(1, 0.5)
    expect(part(page, "send")).to_be_visible()
    expect(part(page, "log")).to_contain_text("kept kept")


def test_a_magic_writes_into_the_shown_conversation(
    open_page: OpenPage, server: Server, replies: Replies
) -> None:
    """A turn of a cell appears in the panel, as it comes and whole, and not twice."""
    replies.to["from a cell"] = ["to ", HOLD, "the cell"]
    page = opened(open_page, server, "panel-magic", "%%gprochat\nfrom a cell")
    page.start(2)
    expect(part(page, "log")).to_contain_text("from a cell")
    replies.go_on.set()
    page.wait_until_ran()

    expect(last(page)).to_have_text("to the cell")
    expect(part(page, "msg")).to_have_count(2)


def test_F130_F135_a_saved_notebook_is_readable_and_holds_nothing_else(
    open_page: OpenPage, server: Server, far: Served, replies: Replies, listener: Listener
) -> None:
    """The file has the transcript of each turn; no widget state, no module, no secret. Opened by
    somebody else, also with a state that is damaged, it shows the text and nothing of it runs.
    """
    hostile = f"<img src='{listener.origin}/panel-saved' onerror='pwned=1'><script>pwned=1</script>"
    replies.to["keep me"] = ["kept *for ever* ", hostile]
    page = opened(open_page, server, "panel-saved")
    send(page, "keep me")
    expect(last(page)).to_contain_text("kept for ever")
    expect(part(page, "send")).to_be_visible()
    page.settle()
    page.save()
    saved: Any = server.read(page.path)

    whole = json.dumps(saved)
    outputs = [output.data for output in saved.cells[1].outputs]
    assert any("keep me" in data.get("text/plain", "") for data in outputs)
    assert any("kept <em>for ever</em>" in data.get("text/html", "") for data in outputs)
    assert "widgets" not in saved.metadata
    assert "export default" not in whole
    assert far.environment["GPROCHAT_SECRET_KEY"] not in whole

    [model] = [data[VIEW]["model_id"] for data in outputs if VIEW in data]
    damaged = {"version_major": 2, "version_minor": 0, "state": {model: {"model_name": 7}}}
    saved.metadata["widgets"] = {STATE: damaged}
    again = open_page(server.write_notebook("panel-foreign", saved))
    again.settle()

    assert not again.is_trusted(1)
    expect(again.cell(1)).to_contain_text("keep me")
    expect(again.cell(1)).to_contain_text("kept for ever")
    expect(again.cell(1).locator("em")).to_have_text("for ever")
    expect(part(again, "panel")).to_have_count(0)
    # Those two are the transcript's own.
    assert {"element DETAILS", "element SUMMARY"} == set(again.seen)
    assert "/panel-saved" not in listener.hits


def test_a_long_reply_is_exact_and_cheap(
    open_page: OpenPage, server: Server, far: Served, replies: Replies
) -> None:
    """25 kB in 5,000 chunks: exact, at most 30 messages a second and 1 MB, no long task."""
    page = open_page(server.write("panel-long", CELLS))
    traffic: list[int] = []
    page.page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda frame: traffic.append(len(frame))),
    )
    page.open(page.path)
    page.run(0)
    page.run(1)
    expect(part(page, "composer")).to_be_visible()
    pieces = [f"{n:04} " if n % 40 else "\n\n## x\n" for n in range(5_000)]
    replies.to["long"] = pieces
    far.backend.pause = 0.002
    page.page.evaluate(COUNT)
    traffic.clear()
    began = page.page.evaluate("performance.now()")
    send(page, "long")
    expect(part(page, "send")).to_be_visible(timeout=90_000)
    seconds = (page.page.evaluate("performance.now()") - began) / 1000
    page.settle()
    tasks = page.page.evaluate("counted.longTasks")  # before the test's own reading of it all

    assert squeezed("".join(pieces).replace("##", "")) == squeezed(str(last(page).text_content()))
    assert sum(traffic) <= 1_000_000
    assert len(traffic) <= 30 * seconds
    assert [took for took in tasks if took > 250] == []


def test_a_thousand_messages_scroll_and_type(open_page: OpenPage, server: Server) -> None:
    """Among 500 turns of 2 kB the log scrolls and the box takes letters without a long task."""
    page = open_page(server.write("panel-turns", ["%load_ext gprochat_magic", LONG_CONVERSATION]))
    page.run_all()
    expect(part(page, "msg")).to_have_count(1_000)
    page.page.evaluate(COUNT)
    part(page, "log").hover()
    for way in (-1, 1):
        for _ in range(20):
            page.page.mouse.wheel(0, way * 2_500)
            page.page.wait_for_timeout(20)
    part(page, "composer").press_sequentially("typed " * 10)
    page.settle()

    expect(part(page, "composer")).to_have_value("typed " * 10)
    assert [took for took in page.page.evaluate("counted.longTasks") if took > 250] == []


def squeezed(text: str) -> str:
    """A text without its blanks, which Markdown takes as it likes."""
    return "".join(text.split())
