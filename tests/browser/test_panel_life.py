"""What happens to a chat panel: other views, reloads, restarts, busy kernels, servers that lack."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from gprochat_magic.notebook.sheet import HINT
from tests.browser.page import OpenPage, Page
from tests.browser.panels import CELLS, last, opened, part, send
from tests.browser.replies import HOLD, Replies
from tests.browser.server import Server
from tests.gateways import Served

pytestmark = pytest.mark.browser

BLOCKED = "import time\nprint('blocked', flush=True)\ntime.sleep(60)"
FLOOD = "import time\nfor n in range(600):\n    print(n, flush=True)\n    time.sleep(0.005)"


def test_other_views_and_panels_show_the_same(
    open_page: OpenPage, server: Server, far: Served, replies: Replies
) -> None:
    """A view opened midway and a second panel have all of a reply, and each can stop the next."""
    page = opened(open_page, server, "panel-views", "%gprochat panel")
    page.run(2)
    replies.to["slow"] = ["one ", "two ", HOLD, "three"]
    send(page, "slow")
    expect(last(page, 2)).to_have_text("one two")
    page.page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    page.command("notebook:create-output-view")
    bodies = page.page.locator("[data-gp='msg']:last-child .gp-body")
    expect(bodies).to_have_text(["one two"] * 3)
    replies.go_on.set()
    expect(bodies).to_have_text(["one two three"] * 3)
    expect(page.page.locator("[data-gp='send']:visible")).to_have_count(3)

    replies.to["long"] = ["kept "] * 3_000
    send(page, "long", 2)
    expect(last(page)).to_contain_text("kept kept")
    part(page, "stop").click()
    assert far.backend.wait_closed(1, 30)
    expect(page.page.locator("[data-gp='send']:visible")).to_have_count(3)
    assert 1 == len(set(bodies.all_text_contents()))


def test_F79_a_page_that_is_loaded_anew_goes_on(
    open_page: OpenPage, server: Server, replies: Replies
) -> None:
    """Reloaded midway, the page shows the text so far, the rest, and the end; closed and opened
    again, the whole reply that came meanwhile.
    """
    page = opened(open_page, server, "panel-reload")
    page.save()
    replies.to["slow"] = ["before ", "it ", HOLD, "and after"]
    send(page, "slow")
    expect(last(page)).to_have_text("before it")
    page.open(page.path)
    expect(last(page)).to_have_text("before it")
    replies.go_on.set()
    expect(last(page)).to_have_text("before it and after")
    expect(part(page, "send")).to_be_visible()

    replies.go_on.clear()
    replies.to["next"] = ["seen ", HOLD, *(f"{n} " for n in range(100))]
    send(page, "next")
    expect(last(page)).to_have_text("seen")
    page.page.close()
    replies.go_on.set()
    again = open_page(page.path)
    expect(last(again)).to_have_text("seen " + " ".join(map(str, range(100))))
    expect(part(again, "send")).to_be_visible()


def test_a_restarted_kernel_is_noticed(
    open_page: OpenPage, server: Server, replies: Replies
) -> None:
    """After a restart, by whomever, the panel says what to do; what was said and the draft stay."""
    replies.to["hello"] = ["still here"]
    page = opened(open_page, server, "panel-restart")
    send(page, "hello")
    expect(last(page)).to_have_text("still here")
    part(page, "composer").fill("a draft")
    [session] = [each for each in server.api("GET", "sessions") if each["path"] == page.path]
    server.api("POST", f"kernels/{session['kernel']['id']}/restart")
    # What a kernel says as it starts may be lost; what it says of a message tells it as well.
    part(page, "composer").press("Enter")
    expect(part(page, "panel")).to_contain_text("kernel was restarted. Run this cell again")
    part(page, "composer").press("Enter")

    expect(part(page, "composer")).to_have_value("a draft")
    expect(last(page)).to_have_text("still here")
    page.restart()
    page.run(0)
    page.run(1)
    expect(part(page, "composer")).to_have_value("a draft")
    part(page, "composer").press("Enter")
    expect(last(page)).to_have_text("ok")


@contextlib.contextmanager
def blocked(page: Page) -> Iterator[None]:
    """A kernel that a cell keeps busy, until it is interrupted."""
    page.start(2)
    expect(page.output(2)).to_have_text("blocked")
    yield
    page.command("notebook:interrupt-kernel")
    page.wait_until_ran()


@pytest.mark.parametrize("beside", [True, False], ids=["beside cells", "among cells"])
def test_F65_stop_and_send_while_a_cell_blocks_the_kernel(
    open_page: OpenPage, server: Server, far: Served, replies: Replies, beside: bool
) -> None:
    """They work at once where the kernel hears them beside its cells; elsewhere the panel offers
    the interrupt, and then they have arrived.
    """
    page = open_page(server.write(f"panel-busy-{beside}", [*CELLS, BLOCKED]))
    page.page.evaluate(
        """(beside) => {
          const { session } = jupyterapp.shell.currentWidget.context.sessionContext;
          session.kernel.commsOverSubshells = beside ? 'perCommTarget' : 'disabled';
        }""",
        beside,
    )
    page.run(0)
    page.run(1)
    replies.to["long"] = ["kept "] * 3_000
    interrupt = page.cell(1).locator("[data-gp='interrupt']")
    with blocked(page):
        send(page, "waits")
        if not beside:
            interrupt.click()
        expect(last(page)).to_have_text("ok")
    send(page, "long")
    expect(last(page)).to_contain_text("kept kept")
    with blocked(page):
        part(page, "stop").click()
        if not beside:
            interrupt.click()
        assert far.backend.wait_closed(1, 30)

    expect(part(page, "send")).to_be_visible()
    expect(last(page)).to_contain_text("kept kept")
    expect(part(page, "msg")).to_have_count(4)
    assert ["waits", "long"] == replies.prompts[-2:]


def test_dropped_messages_cost_no_text(
    open_page: OpenPage, limiting: Server, replies: Replies
) -> None:
    """Where the server drops what exceeds its limit, the text is exact once it lets them pass."""
    page = opened(open_page, limiting, "panel-limit", FLOOD)
    pieces = [f"w{n} " for n in range(150)]
    replies.to["count"] = pieces
    page.page.evaluate(
        """() => {
          const kernel = jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
          window.asked = [];
          kernel.anyMessage.connect((_, { msg, direction }) => {
            if (direction === 'send' && msg.content?.data?.content?.t)
              asked.push(msg.content.data.content.t);
          });
        }"""
    )
    send(page, "count")
    expect(last(page)).to_contain_text("w0")
    page.start(2)
    expect(last(page)).to_have_text("".join(pieces).strip(), timeout=60_000)
    expect(part(page, "send")).to_be_visible(timeout=60_000)
    page.wait_until_ran()
    asked = page.page.evaluate("asked")

    assert "sync" in asked  # else nothing was dropped
    assert asked.count("sync") <= 12


def test_a_server_without_anywidget_gets_a_hint(
    open_page: OpenPage, lacking: Server, far: Served, replies: Replies
) -> None:
    """The transcript says what is missing, and the panel of plain widgets works."""
    page = open_page(
        lacking.write(
            "panel-lacking",
            ["%load_ext gprochat_magic", "%gprochat panel", "%gprochat panel basic"],
        ),
        server=lacking,
    )
    page.run(0)
    page.run(1)
    expect(page.reply(1)).to_contain_text(HINT)
    page.run(2)
    line = page.cell(2).locator("input[type=text]")
    line.fill("a draft, not sent")
    line.blur()
    line.fill("hello")
    line.press("Enter")
    expect(page.output(2).first).to_contain_text("hello")
    expect(page.output(2).first).to_contain_text("ok")

    replies.to["long"] = ["kept "] * 3_000
    line.fill("long")
    page.cell(2).get_by_role("button", name="Send").click()
    expect(page.output(2).first).to_contain_text("kept kept")
    page.cell(2).get_by_role("button", name="Stop").click()
    assert far.backend.wait_closed(1, 30)
    expect(page.output(2).last).to_contain_text("interrupted")
    assert ["hello", "long"] == replies.prompts[-2:]
