"""Hostile replies, long conversations and access: the panel's module in a bare Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from gprochat_magic import markdown, markup
from tests.browser.mounted import MODULE, ORIGIN, THEMES, Mounted, message, mounted, snapshot
from tests.payloads import PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

TEXTS = [(name, text.replace("{origin}", f"{ORIGIN}/x")) for name, text in PAYLOADS]
# What no renderer of ours gives: as if the wall in Python were not there.
RAW = [
    *((name, text) for name, text in TEXTS if "<" in text),
    ("raw-link", "<a href='javascript:pwned=1'>x</a><a href=' javascript:pwned=1'>x</a>"),
    ("raw-link-tab", "<a href='java&#9;script:pwned=1'>x</a><a href='/lab'>x</a><a href=#a>x</a>"),
    ("raw-attributes", "<p id=el style='position:fixed' class='gp-panel jp-Dialog' title=x>x</p>"),
    ("raw-class", "<span class='k gp-jump jp-Dialog'>x</span><td class=gp-r>y</td>"),
    ("raw-svg", "<svg><a href='javascript:pwned=1'><text>x</text></a></svg><math><a href=x>y</a>"),
    (
        "raw-button",
        "<button data-commandlinker-command=x onclick=pwned=1>x</button><input autofocus>",
    ),
    ("raw-template", "<template><img src=x onerror=pwned=1></template><noscript><img src=x>"),
    ("raw-target", "<a href='https://a.test' target=_self rel=opener ping=/p download>x</a>"),
    ("raw-start", "<ol start='1e9'><li>x</ol><ol start=-5><li>y</ol><ol start=7><li>z</ol>"),
    ("raw-deep", "<div>" * 3000 + "deep"),
    (
        "raw-shadow",
        "<div><template shadowrootmode=open><img src=x onerror=pwned=1></template></div>",
    ),
    (
        "raw-custom",
        "<x-y is=z onclick=pwned=1 contenteditable>x</x-y><textarea>a</textarea><title>t",
    ),
]
TAGS = {tag.upper() for tag in (*markup._PLAIN, *markup._AUTO)}
CHECK = """(tags) => {
  const wrong = [], names = ['class', 'dir', 'href', 'rel', 'start', 'target'];
  for (const body of document.querySelectorAll('.gp-msg[data-role="assistant"] .gp-body'))
    for (const e of body.querySelectorAll('*')) {
      if (e.closest('.gp-code-tools') || e.matches('.gp-code, .gp-frozen, .gp-tail')) continue;
      if (!tags.includes(e.tagName)) wrong.push(e.outerHTML.slice(0, 200));
      for (const { name, value } of e.attributes) {
        if (!names.includes(name)) wrong.push(e.tagName + ' ' + name);
        if (name === 'class' && /jp-|gp-(?![lrmu]\\b)/.test(value)) wrong.push('class ' + value);
        if (name === 'href' && !/^(https?:\\/\\/|mailto:)/.test(value)) wrong.push('href ' + value);
        if (name === 'target' && value !== '_blank') wrong.push('target ' + value);
      }
      if (e.tagName === 'A' && e.href && !/noopener/.test(e.rel)) wrong.push('rel');
      if (getComputedStyle(e).position === 'fixed') wrong.push('overlay');
    }
  return wrong;
}"""


@pytest.fixture
def panel(browser: Browser) -> Iterator[Mounted]:
    with mounted(browser) as one:
        yield one
        assert one.page.evaluate("pwnings") == []
        assert one.page.url == f"{ORIGIN}/"


def test_the_list_of_elements_is_the_renderers() -> None:
    """The browser's wall lets in exactly what the wall in Python lets out."""
    listed = re.search(r'const AUTO = "(.*?)".*?\("(A BDI.*?)"\)', MODULE, re.DOTALL)
    assert listed is not None

    assert {*listed[1].split(), *listed[2].split()} == TAGS


def test_F120_rendered_payloads_stay_text(panel: Mounted) -> None:
    """Each hostile reply, rendered, growing and whole: nothing runs, is fetched or off the list."""
    panel.open(
        snapshot(*(message(f"{n}.a", "assistant", text) for n, (_, text) in enumerate(TEXTS)))
    )
    panel.page.wait_for_function(f"document.querySelectorAll('.gp-msg').length === {len(TEXTS)}")
    assert panel.page.evaluate(CHECK, sorted(TAGS)) == []
    # The text of each is there, as the renderer gave it.
    panel.ask()
    for seq, (_, text) in enumerate(TEXTS):
        growing = markdown.Growing()
        growing.update(text)
        panel.emit("d", rid="r1", seq=seq, frozen=growing.frozen, tail=growing.tail)
    panel.frame()
    panel.page.wait_for_timeout(300)

    assert panel.page.evaluate(CHECK, sorted(TAGS)) == []


def test_F120_raw_html_meets_a_second_wall(panel: Mounted) -> None:
    """HTML that never met our renderer, as frozen, as tail and as a whole: still nothing of it."""
    assert len(RAW) >= 40
    panel.open().ask()
    for seq, (name, html) in enumerate(RAW):
        panel.emit("d", rid="r1", seq=seq, frozen=html, tail=html)
        panel.frame()
        assert panel.page.evaluate(CHECK, sorted(TAGS)) == [], name
    panel.emit(
        "done",
        rid="r1",
        seq=len(RAW),
        notes=["<img src=x onerror=pwned=1>"],
        message=message(
            "r1.a",
            "assistant",
            "x",
            html="".join(html for _, html in RAW),
            meta={"model": "<img src=x onerror=pwned=1>"},
            error="<b>",
        ),
    )
    panel.page.wait_for_timeout(300)

    assert panel.page.evaluate(CHECK, sorted(TAGS)) == []
    assert panel.page.locator('[data-gp="composer"]').count() == 1


def test_F120_cut_at_every_byte(panel: Mounted) -> None:
    """Each payload as a tail that ends anywhere: no element, script or fetch at any cut."""
    panel.open().ask()
    payloads = [html for _, html in RAW if len(html) < 1000] + [
        markdown.render(t) for _, t in TEXTS
    ]
    wrong = panel.page.evaluate(
        """([payloads, tags, check]) => {
          const wrong = [], judge = eval(check);
          const body = document.createElement('div');
          body.className = 'gp-body';
          document.querySelector('.gp-msg[data-role="assistant"]').append(body);
          for (const html of payloads)
            for (let n = 1; n <= html.length; n += 1) {
              body.replaceChildren(module.inert(html.slice(0, n)));
              for (const e of body.querySelectorAll('*')) {
                if (!tags.includes(e.tagName)) wrong.push(e.outerHTML);
                for (const { name, value } of e.attributes)
                  if (!/^(class|dir|href|rel|start|target)$/.test(name) ||
                      name === 'href' && !/^(https?|mailto):/.test(value)) wrong.push(name);
              }
            }
          wrong.push(...judge(tags));
          return wrong;
        }""",
        [payloads, sorted(TAGS), CHECK],
    )
    panel.page.wait_for_timeout(500)

    assert wrong == []


def test_F123_code_and_text_are_exact(panel: Mounted) -> None:
    """What is shown is, character for character, the text of what the renderer gave."""
    panel.open(
        snapshot(*(message(f"{n}.a", "assistant", text) for n, (_, text) in enumerate(TEXTS)))
    )
    panel.page.wait_for_function(f"document.querySelectorAll('.gp-msg').length === {len(TEXTS)}")
    shown = panel.page.locator(".gp-msg .gp-body").evaluate_all(
        "(all) => all.map((e) => e.textContent)"
    )
    given = panel.page.evaluate(
        "(all) => all.map((h) => new DOMParser().parseFromString(h, 'text/html').body.textContent)",
        [markdown.render(text) for _, text in TEXTS],
    )

    assert shown == given


def test_F124_a_prompt_is_shown_as_it_was_typed(panel: Mounted) -> None:
    """The user's own words are text too, whatever HTML comes with them."""
    bad = message("1.u", "user", "a <b>  b\n\nc", html="<b>not this</b>")
    panel.open(snapshot(bad))

    assert panel.page.locator(".gp-body").evaluate("(e) => e.textContent") == "a <b>  b\n\nc"


def test_a_thousand_messages_scroll_and_type_without_a_long_task(panel: Mounted) -> None:
    """Scrolling and typing in 1,000 messages never keeps the page busy for 250 ms."""
    text = (
        "A paragraph of *some* length. " * 20
        + "\n\n```python\nx = 1\n"
        + "y = 2\n" * 20
        + "```\n"
        + "- item\n" * 20
    )
    html = markdown.render(text)
    many = [
        {**message(f"{n}", ("user", "assistant")[n % 2], "short"), "text": text, "html": html}
        for n in range(1000)
    ]
    panel.open()
    panel.page.evaluate("""() => {
      window.tasks = [];
      new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)))
        .observe({ type: 'longtask' });
    }""")
    panel.turn(snapshot(*many))
    panel.page.wait_for_function(
        "document.querySelectorAll('.gp-msg').length === 1000", timeout=60_000
    )
    built = panel.page.evaluate("tasks.splice(0)")
    panel.at("log").hover()
    for _ in range(20):
        panel.page.mouse.wheel(0, -1500)
        panel.page.wait_for_timeout(30)
    panel.box.press_sequentially("typing goes on as ever", delay=15)
    panel.at("log").evaluate("(e) => { e.scrollTop = 0 }")
    panel.page.wait_for_timeout(300)
    panel.ask()
    for seq in range(10):
        panel.emit("d", rid="r1", seq=seq, frozen="<p>more</p>", tail="<p>tail</p>")
        panel.frame()
    tasks = panel.page.evaluate("tasks")
    looks = panel.at("msg").first.evaluate("(e) => getComputedStyle(e).contentVisibility")
    assert looks == "auto"
    assert [t for t in tasks if t > 250] == []
    assert [t for t in built if t > 1000] == []
    # And a task that is long is seen.
    panel.page.evaluate("setTimeout(() => { const t = Date.now(); while (Date.now() < t + 300); })")
    panel.page.wait_for_function("tasks.some((t) => t > 250)")


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


def test_the_accessibility_tree(panel: Mounted) -> None:
    """A screen reader finds a named log, a status, articles with authors, and named controls."""
    panel.open(
        snapshot(
            message("1.u", "user", "q"), message("1.a", "assistant", "a", meta={"model": "demo"})
        )
    )
    page = panel.page

    expect(page.get_by_role("log", name="Conversation")).to_have_count(1)
    expect(page.get_by_role("status")).to_have_count(1)
    expect(page.get_by_role("article", name="You")).to_have_count(1)
    expect(page.get_by_role("article", name="demo")).to_have_count(1)
    expect(page.get_by_role("textbox", name="Message")).to_have_count(1)
    expect(page.get_by_role("combobox", name="Model")).to_have_count(1)
    expect(page.get_by_role("combobox", name="Conversation")).to_have_count(1)
    for name in ("Send", "Retry", "Edit", "New conversation", "Undo the last exchange"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(1)
    unnamed = page.locator("button").evaluate_all(
        "(all) => all.filter((b) => !(b.ariaLabel || b.textContent.trim())).length"
    )
    assert unnamed == 0


def test_a_whole_chat_by_keyboard_alone(panel: Mounted) -> None:
    """Ask, read, copy, go back to an earlier prompt, edit it, retry: without a mouse."""
    panel.open()
    keys, focus = panel.page.keyboard, "document.activeElement.dataset.gp"
    for _ in range(20):
        if panel.page.evaluate(focus) == "composer":
            break
        keys.press("Tab")
    keys.type("hello")
    keys.press("Enter")
    panel.emit("open", rid="r1", mid="r1.a", user=message("r1.u", "user", "hello"))
    panel.end("reply")
    keys.press("Shift+Tab")
    assert panel.page.evaluate(focus) == "copy"
    keys.press("Shift+Tab")
    assert panel.page.evaluate(focus) == "retry"
    keys.press("Enter")
    assert panel.sent("retry") == [{"t": "retry", "mid": "r1.a"}]
    keys.press("Escape")
    panel.emit("open", rid="r2", mid="r1.a", user=message("r1.u", "user", "hello"))
    panel.end("again", rid="r2", seq=0)
    panel.turn(snapshot(message("r1.u", "user", "hello"), message("r2.a", "assistant", "again")))
    panel.at("log").focus()
    keys.press("ArrowUp")
    keys.press("ArrowUp")
    assert panel.page.evaluate("document.activeElement.dataset.mid") == "r1.u"
    keys.press("Tab")
    assert panel.page.evaluate(focus) == "edit"
    keys.press("Enter")
    keys.type(" there")
    keys.press("Enter")

    assert panel.sent("edit")[0]["text"] == "hello there"
    assert panel.sent("stop") == [{"t": "stop", "rid": "r2"}]
    assert panel.page.evaluate(focus) == "composer"


CONTRAST = """() => {
  const dot = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    dot.clearRect(0, 0, 1, 1);
    dot.fillStyle = colour;
    dot.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = dot.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([...c], below) => below.map((v, n) => c[n] * c[3] + v * (1 - c[3])).slice(0, 3);
  const linear = (v) => ((v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const ground = (e) => (e ? over(rgba(getComputedStyle(e).backgroundColor),
    ground(e.parentElement)) : rgba('Canvas').slice(0, 3));
  const found = [];
  const walk = document.createTreeWalker(document.getElementById('el'), NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const e = node.parentElement;
    if (!node.nodeValue.trim()) continue;
    const back = ground(e);
    const [a, b] = [light(over(rgba(getComputedStyle(e).color), back)), light(back)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    found.push([ratio, e.className || e.tagName, node.nodeValue.slice(0, 30)]);
  }
  return found;
}"""
RICH = """# H

> quoted

`code` and [link](https://a.test) ~~gone~~

```python
x = 1
```

|a|b|
|-|-|
|1|2|
"""


@pytest.mark.parametrize("theme", THEMES)
def test_contrast(panel: Mounted, theme: str) -> None:
    """All text stands out from its ground by 4.5 to 1, on light, on dark and without Jupyter."""
    panel.open(
        snapshot(
            message("1.u", "user", "q"),
            message(
                "1.a",
                "assistant",
                RICH,
                stale=True,
                alternative=[1, 2],
                meta={"model": "m", "elapsed": 2},
            ),
            message("2.u", "user", "q"),
            message("2.a", "assistant", "", status="failed", error="It failed"),
        ),
        theme=theme,
    )
    panel.box.press_sequentially("/")
    found = panel.page.evaluate(CONTRAST)

    assert len(found) > 20
    assert [each for each in found if each[0] < 4.5] == []


@pytest.mark.parametrize("media", [{"forced_colors": "active"}, {"reduced_motion": "reduce"}])
def test_forced_colours_and_reduced_motion(panel: Mounted, media: dict[str, str]) -> None:
    """With forced colours buttons have an edge; with reduced motion nothing moves."""
    panel.page.emulate_media(**media)
    panel.open().ask()
    panel.frame()
    look = panel.page.evaluate("""() => ({
      edge: getComputedStyle(document.querySelector('[data-gp="stop"]')).borderTopWidth,
      move: getComputedStyle(document.querySelector('.gp-dots')).animationName })""")

    assert look["edge" if "forced_colors" in media else "move"] == (
        "1px" if "forced_colors" in media else "none"
    )


def test_the_theme_changes_live(panel: Mounted) -> None:
    """When Jupyter's variables change the panel's colours do, without being drawn anew."""
    panel.open()
    colour = "getComputedStyle(document.querySelector('.gp-panel')).backgroundColor"
    before = panel.page.evaluate(colour)
    dark = dict(pair.strip().split(": ") for pair in THEMES["dark"].split(";"))
    panel.page.evaluate(
        """(all) => {
          const { style } = document.documentElement;
          for (const [name, value] of Object.entries(all)) style.setProperty(name, value);
        }""",
        dark,
    )

    assert (before, panel.page.evaluate(colour)) == ("rgb(255, 255, 255)", "rgb(33, 33, 33)")


def test_right_to_left(panel: Mounted) -> None:
    """A reply in Hebrew runs from the right, one in English from the left, in one conversation."""
    panel.open(
        snapshot(message("1.a", "assistant", "שלום עולם"), message("2.a", "assistant", "hello"))
    )
    ways = panel.page.locator(".gp-body p").evaluate_all(
        "(all) => all.map((e) => getComputedStyle(e).direction)"
    )

    assert ways == ["rtl", "ltr"]


def test_nothing_of_the_module_comes_from_elsewhere() -> None:
    """The module has no import, no address to load from, and sets no HTML itself."""
    without_comments = re.sub(r"/\*.*?\*/|//[^\n]*", "", MODULE, flags=re.DOTALL)

    assert not re.search(
        r"\bimport\b|\bfetch\(|XMLHttp|insertAdjacentHTML|document\.write|\beval\(",
        without_comments,
    )
    assert not re.search(r"(inner|outer)HTML\s*=|innerHTML:", without_comments)
    assert json.dumps(MODULE).isascii()
