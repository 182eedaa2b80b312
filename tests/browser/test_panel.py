"""The chat panel in JupyterLab and Notebook 7, as a reader uses it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.page import App, OpenPage, Page
from tests.browser.replies import HOLD, Replies
from tests.browser.server import Server
from tests.gateways import Served

pytestmark = pytest.mark.browser

CELLS = ["%load_ext gprochat_magic", "%gprochat panel", "%%gprochat\nfrom a cell"]
COUNT = """() => {
  const counted = (window.counted = { messages: 0, bytes: 0, longTasks: [] });
  new PerformanceObserver((list) => {
    counted.longTasks.push(...list.getEntries().map(({ duration }) => duration));
  }).observe({ entryTypes: ['longtask'] });
}"""


def part(page: Page, name: str, index: int = 1) -> Locator:
    """A part of the panel that a cell shows."""
    return page.cell(index).locator(f"[data-gp='{name}']")


def opened(open_page: OpenPage, server: Server, name: str, *, app: App = "lab") -> Page:
    """A notebook whose panel is there."""
    page = open_page(server.write(name, CELLS), app=app)
    page.run(0)
    page.run(1)
    expect(part(page, "composer")).to_be_visible()
    return page


def send(page: Page, text: str) -> None:
    part(page, "composer").fill(text)
    part(page, "composer").press("Enter")


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
    """A turn of a cell appears in the panel, and one of the panel in the transcript."""
    replies.to["from a cell"] = ["to the cell"]
    page = opened(open_page, server, "panel-magic")
    page.run(2)

    expect(part(page, "log")).to_contain_text("from a cell")
    expect(part(page, "log")).to_contain_text("to the cell")


def test_F79_a_page_that_is_loaded_anew_goes_on(
    open_page: OpenPage, server: Server, replies: Replies
) -> None:
    """Reloaded midway, the page shows the text so far, the rest, and the end."""
    page = opened(open_page, server, "panel-reload")
    page.save()
    replies.to["slow"] = ["before ", "it ", HOLD, "and after"]
    send(page, "slow")
    expect(part(page, "log")).to_contain_text("before it")
    page.open(page.path)
    expect(part(page, "log")).to_contain_text("before it")
    replies.go_on.set()

    expect(part(page, "log")).to_contain_text("before it and after")
    expect(part(page, "send")).to_be_visible()


def test_a_saved_notebook_is_readable_and_holds_nothing_else(
    open_page: OpenPage, server: Server, far: Served, replies: Replies
) -> None:
    """The file has the transcript of each turn; no widget state, no module, no secret."""
    replies.to["keep me"] = ["kept *for ever*"]
    page = opened(open_page, server, "panel-saved")
    send(page, "keep me")
    expect(part(page, "log")).to_contain_text("kept for ever")
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


def test_a_long_reply_is_exact_and_cheap(
    open_page: OpenPage, server: Server, far: Served, replies: Replies
) -> None:
    """25 kB in 5,000 chunks: exact, at most 30 messages a second and 1 MB, no long task."""
    page = open_page(server.write("panel-long", CELLS))
    traffic: list[int] = []

    def note(frame: Any) -> None:
        traffic.append(len(frame))

    page.page.on("websocket", lambda socket: socket.on("framereceived", note))
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
    expect(part(page, "log")).to_contain_text("4999", timeout=90_000)
    expect(part(page, "send")).to_be_visible()
    seconds = (page.page.evaluate("performance.now()") - began) / 1000
    page.settle()
    tasks = page.page.evaluate("counted.longTasks")  # before the test's own reading of it all

    shown = part(page, "log").inner_text()
    assert all(f"{n:04}" in shown for n in range(5_000) if n % 40)
    assert sum(traffic) <= 1_000_000
    assert len(traffic) <= 30 * seconds
    assert [took for took in tasks if took > 250] == []
