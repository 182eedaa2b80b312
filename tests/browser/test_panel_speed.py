"""Long conversations and long replies: the panel's module in a bare Chromium stays responsive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from gprochat_magic import markdown
from tests.browser.mounted import Mounted, message, mounted, snapshot

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LONGEST_TASK = 250
"""Milliseconds for which the page may be kept from answering its user."""
WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)))
    .observe({ type: 'longtask' });
}"""
LONG = (
    "A paragraph of *some* length. " * 20
    + "\n\n```python\nx = 1\n"
    + "y = 2\n" * 20
    + "```\n"
    + "- item\n" * 20
)


@pytest.fixture
def panel(browser: Browser) -> Iterator[Mounted]:
    with mounted(browser) as one:
        yield one


def long_tasks(panel: Mounted) -> list[float]:
    """The tasks since the last call that took too long."""
    panel.frame()
    return [task for task in panel.page.evaluate("tasks.splice(0)") if task > LONGEST_TASK]


def grown(panel: Mounted) -> str:
    """The HTML that is shown of the reply that has streamed."""
    html: str = panel.page.locator('.gp-msg[data-role="assistant"]').evaluate(
        "(e) => e.querySelector('.gp-frozen').innerHTML + e.querySelector('.gp-tail').innerHTML"
    )
    return html.strip()


def test_a_long_task_is_seen(panel: Mounted) -> None:
    """The measure of the tests below works."""
    panel.open().page.evaluate(WATCH)
    panel.page.evaluate("setTimeout(() => { const t = Date.now(); while (Date.now() < t + 300); })")

    panel.page.wait_for_function(f"tasks.some((t) => t > {LONGEST_TASK})")


def test_a_thousand_messages_scroll_and_type_without_a_long_task(panel: Mounted) -> None:
    """Building 1,000 messages, scrolling and typing in them never keeps the page busy for long."""
    html = markdown.render(LONG)
    many = [
        {**message(f"{n}", ("user", "assistant")[n % 2], "short"), "text": LONG, "html": html}
        for n in range(1000)
    ]
    panel.open()
    # As the front end does: the data is there before the panel is told.
    panel.page.evaluate("(s) => { model.state.snapshot = s; }", snapshot(*many))
    panel.page.evaluate(WATCH)
    panel.page.evaluate("""() => {
      model.set('snapshot', model.state.snapshot);
      window.atOnce = document.querySelectorAll('.gp-msg').length;
    }""")
    assert 0 < panel.page.evaluate("atOnce") < 50
    panel.page.wait_for_function(
        "document.querySelectorAll('.gp-msg').length === 1000", timeout=60_000
    )
    assert long_tasks(panel) == []
    panel.at("log").hover()
    for _ in range(20):
        panel.page.mouse.wheel(0, -1500)
        panel.frame()
    assert panel.at("log").evaluate("(e) => e.scrollHeight - e.scrollTop") > 10_000
    assert long_tasks(panel) == []
    panel.box.press_sequentially("typing goes on as ever")
    panel.at("log").evaluate("(e) => { e.scrollTop = 0 }")
    assert long_tasks(panel) == []
    panel.ask()
    for seq in range(10):
        panel.emit("d", rid="r1", seq=seq, frozen="<p>more</p>", tail="<p>tail</p>")
        panel.frame()

    assert long_tasks(panel) == []
    looks = panel.at("msg").first.evaluate("(e) => getComputedStyle(e).contentVisibility")
    assert looks == "auto"


def test_a_turn_in_a_long_conversation_draws_only_what_is_new(panel: Mounted) -> None:
    """At the boundary of a turn the articles that were there stay the same elements."""
    many = [message(f"{n}.a", "assistant", f"reply {n}") for n in range(100)]
    panel.open(snapshot(*many))
    panel.page.wait_for_function("document.querySelectorAll('.gp-msg').length === 100")
    panel.page.evaluate("""() => {
      window.made = 0;
      new MutationObserver((all) => all.forEach((each) => { made += each.addedNodes.length; }))
        .observe(document.querySelector('.gp-list'), { childList: true, subtree: true });
    }""")
    panel.turn(snapshot(*many, message("x.u", "user", "q"), message("x.a", "assistant", "new")))
    expect(panel.at("msg")).to_have_count(102)

    assert panel.page.evaluate("made") <= 4


def test_building_a_long_conversation_leaves_the_last_message_in_view(panel: Mounted) -> None:
    """While earlier messages are still put in, the end of the conversation is what one sees."""
    panel.open(
        snapshot(*(message(f"{n}.a", "assistant", f"reply {n}\n\n" * 8) for n in range(300)))
    )
    panel.page.wait_for_function("document.querySelectorAll('.gp-msg').length === 300")
    panel.frame()

    expect(panel.at("msg").last).to_be_in_viewport()
    expect(panel.at("jump")).to_be_hidden()
    assert panel.at("msg").first.get_attribute("data-mid") == "0.a"


def test_a_burst_of_five_thousand_deltas(panel: Mounted) -> None:
    """5,000 deltas at once: no long task, and what is there is what the whole reply renders to."""
    pieces = [f"{n:04} " if n % 40 else "\n\n## x\n\n- *a*\n\n" for n in range(5_000)]
    growing, deltas, frozen, text = markdown.Growing(), [], 0, ""
    for piece in pieces:
        text += piece
        growing.update(text)
        deltas.append([growing.frozen[frozen:], growing.tail])
        frozen = len(growing.frozen)
    panel.open().ask()
    panel.page.evaluate("(all) => { window.deltas = all; }", deltas)
    panel.page.evaluate(WATCH)
    panel.page.evaluate("""() => {
      window.drawn = 0;
      new MutationObserver((all) => { drawn += all.length; })
        .observe(document.querySelector('.gp-tail'), { childList: true });
    }""")
    panel.page.evaluate("""() => deltas.forEach(([frozen, tail], seq) =>
      setTimeout(() => model.emit({ t: 'd', rid: 'r1', seq, frozen, tail })))""")
    panel.page.wait_for_function("document.querySelector('.gp-live')?.innerText.includes('4999')")
    panel.frame()
    assert long_tasks(panel) == []
    assert 0 < panel.page.evaluate("drawn") < 5_000 / 4
    whole = "(html) => { const e = document.createElement('p'); e.append(module.inert(html));"
    whole += " return e.innerHTML.trim(); }"
    final = panel.page.evaluate(whole, markdown.render(text))
    assert grown(panel) == final
    panel.end(text, seq=5_000)
    assert grown(panel) == final
    assert panel.sent("sync") == []
    assert long_tasks(panel) == []
    panel.open(snapshot(message("1.a", "assistant", text)))

    shown = panel.page.locator('.gp-msg[data-role="assistant"] .gp-body')
    assert shown.evaluate("(e) => e.innerHTML.trim()") == final
