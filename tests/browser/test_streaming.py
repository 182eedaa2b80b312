"""A reply as it grows in JupyterLab, and as it stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.page import Page, pages
from tests.browser.replies import HOLD, Replies
from tests.browser.server import Server
from tests.gateways import Served

pytestmark = pytest.mark.browser

# Earlier turns would stand before the prompt that the replies are chosen by.
CELLS = ["%load_ext gprochat_magic", "%%gprochat --no-history\nthis", "%gprochat --no-history next"]
LONG_TASKS = """() => {
  window.longTasks = [];
  new PerformanceObserver((list) => {
    longTasks.push(...list.getEntries().map(({ duration }) => duration));
  }).observe({ entryTypes: ['longtask'] });
}"""
# A reply with everything that is dear to draw.
SECTION = """\
## Section with `code` and **words**

A paragraph of some length, with *emphasis*, a [link](https://example.org/) and $x_i^2 + y$ in it,
as replies have it, so that there is something to break into lines.

| Name | Value |
| --- | --- |
| first | $a = b$ |

```python
def double(number):
    return 2 * number  # twice
```

$$\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}$$

1. one
2. two

"""


@pytest.fixture(scope="module")
def opened(browser: Browser, server: Server) -> Iterator[Page]:
    """A notebook with the extension loaded, and a cell that asks `this`."""
    with pages(browser, server) as open_page:
        page = open_page(server.write("streaming", CELLS))
        page.run(0)
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    """The notebook, idle and without outputs."""
    opened.wait_until_ran()
    opened.command("notebook:clear-all-cell-outputs")
    return opened


def test_text_is_visible_before_the_third_piece_was_sent(
    page: Page, far: Served, replies: Replies
) -> None:
    """While the third of 50 pieces is held back, the first is in the page already."""
    replies.to["this"] = ["first ", "second ", HOLD, *["word "] * 48]
    page.start(1)

    expect(page.reply(1)).to_contain_text("first")
    assert far.backend.sent < 3

    replies.go_on.set()
    page.wait_until_ran()
    expect(page.reply(1)).to_contain_text("first second " + "word " * 48)


def test_all_text_is_visible_while_the_sender_pauses(page: Page, replies: Replies) -> None:
    """What came in one burst is shown to its last word, although nothing comes after it for now."""
    replies.to["this"] = ["a ", "burst ", "of ", "words", HOLD, " and more"]
    page.start(1)

    expect(page.reply(1)).to_contain_text("a burst of words")

    replies.go_on.set()
    page.wait_until_ran()


def test_the_saved_cell_holds_one_clean_output(page: Page, replies: Replies) -> None:
    """Saved by JupyterLab, a cell has one output of HTML and text, the notebook no widgets."""
    replies.to["this"] = ["# A title\n\n", "and ", "*words*"]
    page.run(1)
    page.save()
    saved = page.server.read(page.path)

    [output] = saved.cells[1].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert output.data["text/plain"] == "# A title\n\nand *words*"
    assert output.metadata == {}
    assert "widgets" not in saved.metadata


def test_formulas_are_typeset_once_at_the_end(page: Page, far: Served, replies: Replies) -> None:
    """While a reply grows its formulas are text; at the end each is typeset, and prices are not."""
    far.backend.pause = 0.2
    page.page.evaluate("window.typeset = 0")
    replies.to["this"] = [
        "Inline $e^{i\\pi} + 1 = 0$, \\(x\\); it costs $5 and $10.\n\n",
        "$$\\sum_{k=1}^{n} k$$\n\nThe next paragraph",
        HOLD,
        " ends.",
    ]
    page.start(1)
    expect(page.reply(1)).to_contain_text("The next paragraph")
    page.settle()

    assert page.reply(1).locator("mjx-container").count() == 0

    replies.go_on.set()
    page.wait_until_ran()
    expect(page.reply(1).locator("mjx-container")).to_have_count(3)
    page.settle()
    assert page.page.evaluate("window.typeset") == 3
    assert "it costs $5 and $10." in page.reply(1).inner_text()


def test_writing_systems_keep_their_direction(page: Page, replies: Replies) -> None:
    """Cyrillic is there letter by letter; Hebrew and Arabic run from right to left."""
    lines = ["Привет, как дела?", "שלום, מה שלומך?", "مرحبا، كيف حالك؟", "日本語 👩‍👩‍👧"]
    replies.to["this"] = list("\n\n".join(lines))
    page.run(1)

    paragraphs = page.reply(1).locator("p:not(.gprochat-note)")
    expect(paragraphs).to_have_text(lines)
    directions = paragraphs.evaluate_all("(all) => all.map((p) => getComputedStyle(p).direction)")
    assert directions == ["ltr", "rtl", "rtl", "ltr"]


def test_the_stop_button_ends_a_reply_and_keeps_its_text(
    page: Page, far: Served, replies: Replies
) -> None:
    """F60: the interrupt button stops the stream, the text stays, and the next cell works."""
    replies.to["this"] = ["kept "] * 2_000
    page.start(1)
    expect(page.reply(1)).to_contain_text("kept kept")
    page.page.locator("[data-command='notebook:interrupt-kernel']").first.click()
    page.wait_until_ran()

    assert far.backend.wait_closed(1)
    expect(page.reply(1)).to_contain_text("kept kept")
    expect(page.reply(1).locator(".gprochat-note")).to_contain_text("stopped")

    page.run(2)
    expect(page.reply(2)).to_contain_text("ok")


def test_a_long_reply_does_not_block_the_page(page: Page, far: Served, replies: Replies) -> None:
    """While 25 kB stream, no task of the page takes over 250 ms; only the last frame may."""
    text = SECTION * (25_000 // len(SECTION))
    pieces = [text[n : n + 25] for n in range(0, len(text), 25)]
    replies.to["this"] = [*pieces, HOLD, "end"]
    far.backend.pause = 0.01
    page.page.evaluate(LONG_TASKS)
    page.start(1)
    assert replies.held.wait(60)
    page.settle()
    blocked = page.page.evaluate("window.longTasks")
    drawn = page.page.evaluate("window.redraws")

    replies.go_on.set()
    page.wait_until_ran()
    assert drawn >= 10
    assert [took for took in blocked if took > 250] == []


def test_columns_of_a_table_are_aligned_as_written(page: Page, replies: Replies) -> None:
    """A column is at the side that the reply puts it to; words begin at the left."""
    replies.to["this"] = ["|a|b|c|d|\n|-|:-|:-:|-:|\n|1|2|3|4|"]
    page.run(1)

    cells = page.reply(1).locator("td")
    sides = cells.evaluate_all("(all) => all.map((cell) => getComputedStyle(cell).textAlign)")
    assert sides == ["left", "left", "center", "right"]


def test_a_code_block_stands_apart_from_the_text(page: Page, replies: Replies) -> None:
    """There is room between a code block and the paragraph below it."""
    replies.to["this"] = ["```\ncode\n```\n", "A paragraph."]
    page.run(1)

    gap = page.reply(1).evaluate("""(reply) => reply.querySelector('p').getBoundingClientRect().top
      - reply.querySelector('pre code').getBoundingClientRect().bottom""")
    assert gap >= 8
