"""Pages and code of a reply in a real JupyterLab: framed without rights, inserted and not run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FrameLocator, Request, expect

from tests.browser.listener import Listener
from tests.browser.page import Page, pages
from tests.browser.replies import HOLD, Replies
from tests.browser.server import Server
from tests.gateways import Served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CELLS = [
    "%load_ext gprochat_magic",
    "%%gprochat --no-history -f html\nhostile",
    "%%gprochat --no-history -f code\ncode",
    "%%gprochat --no-history -f code --insert replace\nreplaced",
    "'untouched'",
]
HOSTILE = """
<!doctype html><html onclick="parent.pwned=1"><body onload="top.pwned=1" style="margin:3px">
<h1 id="title" style="color:rgb(1, 2, 3)">A page</h1>
<script>parent.parent.pwned = 1; top.location = '{origin}/top'; fetch('{origin}/fetch')</script>
<script src="{origin}/src.js"></script>
<img src="x" onerror="top.pwned=1"><img src="{origin}/picture.png" srcset="{origin}/set.png 2x">
<img id="inline" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==">
<svg onload="top.pwned=1"><image href="{origin}/svg.png"/><use href="{origin}/use.svg#x"/></svg>
<style>@import '{origin}/import.css'; body { background: url({origin}/css.png) }</style>
<style>@font-face { font-family: f; src: url({origin}/font) } #title { font-family: f }</style>
<link rel="stylesheet" href="{origin}/link.css"><link rel="prefetch" href="{origin}/prefetch">
<link rel="preload" as="image" href="{origin}/preload"><link rel="icon" href="{origin}/icon">
<iframe src="{origin}/frame"></iframe><iframe srcdoc="<script>top.pwned=1</script>"></iframe>
<object data="{origin}/object"></object><embed src="{origin}/embed">
<video src="{origin}/video" poster="{origin}/poster" autoplay></video>
<audio src="{origin}/audio" autoplay></audio><input type="image" src="{origin}/input.png">
<meta http-equiv="refresh" content="0;url={origin}/refresh">
<meta http-equiv="Content-Security-Policy" content="default-src *"><base href="{origin}/base/">
<form action="{origin}/form" target="_top"><button id="form-top">a</button></form>
<form action="{origin}/form" method="post"><button id="form">b</button></form>
<a id="top" target="_top" href="{origin}/top-link">c</a><a id="own" href="{origin}/own">d</a>
<a id="tab" target="_blank" href="{origin}/tab">e</a><a id="self" target="_self" href="/s">f</a>
<a id="ping" href="#title" ping="{origin}/ping">g</a><a id="js" href="javascript:top.pwned=1">h</a>
</iframe></iframe>" ' --><script>top.pwned=1</script>
"""
CLICKED = ["form-top", "form", "top", "tab", "ping", "js"]
LEADING_AWAY = ["self", "own"]


@pytest.fixture(scope="module")
def opened(browser: Browser, server: Server) -> Iterator[Page]:
    """A notebook with the extension loaded."""
    with pages(browser, server) as open_page:
        page = open_page(server.write("formats", CELLS))
        page.page.on("requestfailed", lambda request: _forgive(page, request))
        page.run(0)
        yield page


def _forgive(page: Page, request: Request) -> None:
    # What the frame stops is reported as a request too; whether it left, the listener tells.
    if request.url in page.foreign:
        page.foreign.remove(request.url)


def framed(page: Page) -> FrameLocator:
    """The page of the reply: two frames down."""
    return page.reply(1).frame_locator("iframe").frame_locator("body > iframe")


def sources(page: Page) -> list[str]:
    """What stands in the notebook's cells."""
    return list(
        page.page.evaluate(
            "jupyterapp.shell.currentWidget.content.widgets.map((c) => c.model.sharedModel.source)"
        )
    )


def test_F131_a_hostile_page_has_no_effect(
    opened: Page, replies: Replies, listener: Listener
) -> None:
    """F131: a page of scripts, forms, top navigation and remote files is seen in its frame; nothing
    runs, nothing is fetched, not even on a click, and nothing of it is in the notebook's page.
    """
    text = HOSTILE.replace("{origin}", listener.origin)
    replies.to["hostile"] = ["Here:\n\n```html\n", text[:900], HOLD, text[900:], "\n```\n"]
    listener.hits.clear()
    address = opened.page.url
    opened.start(1)
    assert replies.held.wait(60)
    opened.settle()
    assert opened.page.locator(".gprochat iframe").count() == 0
    replies.go_on.set()
    opened.wait_until_ran()
    opened.settle()

    heading = framed(opened).locator("#title")
    expect(heading).to_have_text("A page")
    assert heading.evaluate("(h) => getComputedStyle(h).color") == "rgb(1, 2, 3)"
    assert framed(opened).locator("#inline").evaluate("(i) => i.naturalWidth") == 1
    assert elements(opened) == ["IFRAME", "P", "SMALL", "STYLE"]
    for name in CLICKED:
        framed(opened).locator(f"#{name}").click()
    for name in LEADING_AWAY:
        opened.run(1)
        framed(opened).locator(f"#{name}").click()
        opened.settle()
    assert listener.hits == []
    assert opened.foreign == []
    assert opened.page.url == address
    assert len(opened.page.context.pages) == 1
    assert "a script ran" not in opened.seen
    assert opened.page.locator("#title").count() == 0


def elements(page: Page) -> list[str]:
    """The names of all elements that the reply put into the notebook's own page."""
    return list(
        page.reply(1).evaluate("(r) => [...r.querySelectorAll('*')].map((e) => e.tagName).sort()")
    )


def test_F131_the_frame_has_no_right(opened: Page, replies: Replies) -> None:
    """F131: the frame is sandboxed with no exception, sends no referrer, and has its own origin."""
    replies.to["hostile"] = ["<p id='p'>x</p>"]
    opened.run(1)
    frame = opened.reply(1).locator("iframe")

    expect(framed(opened).locator("#p")).to_have_text("x")
    assert frame.get_attribute("sandbox") == ""
    assert frame.get_attribute("referrerpolicy") == "no-referrer"
    assert frame.evaluate("(f) => f.contentDocument") is None
    assert framed(opened).locator("#p").evaluate("() => window.origin") == "null"


def test_F125_code_is_inserted_and_not_executed(
    opened: Page, replies: Replies, server: Server, far: Served
) -> None:
    """F125: code goes into a new cell below or in place of the one that asked, runs neither then
    nor with Run All, and no other cell changes.
    """
    replies.to["code"] = ["Run:\n```python\n!touch inserted\n```\nDone."]
    replies.to["replaced"] = ["Run:\n```bash\ntouch replaced\n```\nDone."]
    replies.to["hostile"] = ["<p>x</p>"]
    before = sources(opened)
    opened.run_all()
    opened.settle()

    below, instead = "!touch inserted", "touch replaced"
    after = sources(opened)
    assert after[:4] == [*before[:3], below]
    assert after[4] == f"%%bash\n{instead}"
    assert after[5:] == before[4:]
    assert not (server.root / "inserted").exists()
    assert not (server.root / "replaced").exists()
