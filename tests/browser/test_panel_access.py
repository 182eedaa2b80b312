"""Access to the panel: by keyboard, by screen reader, in each theme, language and direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.mounted import THEMES, Mounted, message, mounted, snapshot

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

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
ANSWERED = {"stale": True, "alternative": [1, 2], "meta": {"model": "demo", "elapsed": 2}}
FULL = (
    message("1.u", "user", "q"),
    message("1.a", "assistant", RICH, **ANSWERED),
    message("2.u", "user", "q"),
    message("2.a", "assistant", "half", status="interrupted"),
    message("3.u", "user", "q"),
    message("3.a", "assistant", "", status="failed", error="It failed"),
)
"""A conversation with all that there can be in one."""
FOCUS = "document.activeElement.dataset.gp"


@pytest.fixture
def panel(browser: Browser) -> Iterator[Mounted]:
    with mounted(browser, permissions=["clipboard-read", "clipboard-write"]) as one:
        yield one


def tree(panel: Mounted) -> list[tuple[str, str, dict[str, Any]]]:
    """Role, name and properties of all that a screen reader finds."""
    devtools = panel.page.context.new_cdp_session(panel.page)
    nodes = devtools.send("Accessibility.getFullAXTree")["nodes"]
    return [
        (
            node["role"]["value"],
            node.get("name", {}).get("value", ""),
            {each["name"]: each["value"].get("value") for each in node.get("properties", [])},
        )
        for node in nodes
        if not node["ignored"]
    ]


def test_the_accessibility_tree(panel: Mounted) -> None:
    """A screen reader finds a named log, status, alert, articles by author and named controls."""
    panel.open(snapshot(*FULL))
    panel.box.press_sequentially("/")
    panel.page.locator(".gp-option").first.wait_for()
    found = tree(panel)
    names: dict[str, list[str]] = {}
    for role, name, _ in found:
        names.setdefault(role, []).append(name)
    controls = ("button", "textbox", "combobox", "listbox", "option", "link", "log", "article")

    assert names["log"] == ["Conversation"]
    assert names["textbox"] == ["Message"]
    assert names["combobox"] == ["Conversation", "Model"]
    assert names["article"] == ["You", "demo", "You", "Assistant", "You", "Assistant"]
    assert {"status", "alert", "region"} <= names.keys()
    assert len(names["option"]) >= 3
    assert [role for role in controls if not all(names[role])] == []
    wanted = {"Send", "Retry", "Edit", "Copy", "Copy code", "Insert below", "Earlier answer"}
    assert wanted <= {*names["button"]}


def test_a_growing_reply_is_not_read_out(panel: Mounted) -> None:
    """The log is silent and busy while a reply grows; a polite status says where it is."""
    panel.open().ask()
    [log] = [properties for role, _, properties in tree(panel) if role == "log"]
    said = [panel.at("status").inner_text()]
    panel.emit("d", rid="r1", seq=0, frozen="<p>a</p>", tail="")
    panel.frame()
    said.append(panel.at("status").inner_text())
    panel.end("a")
    said.append(panel.at("status").inner_text())

    assert ("off", True) == (log.get("live", "off"), log["busy"])
    assert said == ["Waiting for the reply", "Generating", "Reply complete"]
    assert {"status": "polite", "alert": "assertive"} == {
        role: properties["live"]
        for role, _, properties in tree(panel)
        if role in ("status", "alert")
    }


def test_an_error_is_said_at_once(panel: Mounted) -> None:
    """What went wrong is in the alert, and the error stays in the reply's place."""
    panel.open().ask()
    panel.end("", status="failed", error="Busy")
    panel.emit("err", rid="r1", seq=2, text="Busy", hint="Wait.", retryable=True, retry_after=9)

    expect(panel.page.get_by_role("alert")).to_have_text("Busy Wait.")
    expect(panel.at("error")).to_contain_text("Retry in 9s")


def test_the_end_of_a_reply_leaves_the_focus_where_it_is(panel: Mounted) -> None:
    """Neither a delta nor the end takes the focus from what is outside the panel."""
    panel.open().ask()
    panel.page.evaluate(
        "() => { const e = document.body.appendChild(document.createElement('input'));"
        " e.dataset.gp = 'elsewhere'; e.focus(); }"
    )
    panel.emit("d", rid="r1", seq=0, frozen="<p>a</p>", tail="")
    panel.frame()
    panel.end("a")

    assert panel.page.evaluate(FOCUS) == "elsewhere"


class Keys:
    """A user without a mouse."""

    def __init__(self, panel: Mounted) -> None:
        self.panel = panel
        self.press = panel.page.keyboard.press
        self.type = panel.page.keyboard.type

    @property
    def at(self) -> str:
        """The hook of what has the focus."""
        return str(self.panel.page.evaluate(FOCUS))

    def go(self, hook: str, key: str = "Tab") -> None:
        """To the next place with this hook."""
        for _ in range(20):
            self.press(key)
            if self.at == hook:
                return
        raise AssertionError(f"no way to {hook} by {key}")


def test_a_whole_chat_by_keyboard_alone(panel: Mounted) -> None:
    """Ask, stop, retry, read, copy, choose, edit: without a mouse."""
    panel.open()
    keys = Keys(panel)
    keys.go("composer")
    keys.type("/mo")
    keys.press("Enter")
    expect(panel.box).to_have_value("/models ")
    keys.press("Control+a")
    keys.type("hello")
    keys.press("Enter")
    panel.emit("open", rid="r1", mid="r1.a", user=message("r1.u", "user", "hello"))
    keys.press("Escape")
    panel.end("reply", status="interrupted")
    keys.go("copy", "Shift+Tab")
    keys.press("Enter")
    expect(panel.at("status")).to_have_text("Copied")
    keys.go("retry", "Shift+Tab")
    keys.press("Enter")
    assert keys.at == "composer"
    panel.emit("open", rid="r2", mid="r2.a", user=message("r2.u", "user", "hello"))
    keys.go("stop")
    keys.press("Space")
    panel.end("again", rid="r2", seq=0)
    other = message("r2.a", "assistant", "again", alternative=[2, 2])
    panel.turn(snapshot(message("r2.u", "user", "hello"), other))
    assert keys.at == "composer"
    keys.go("alt-prev", "Shift+Tab")
    keys.press("Enter")
    keys.go("log", "Shift+Tab")
    keys.press("Home")
    keys.go("edit")
    keys.press("Enter")
    keys.type(" there")
    keys.press("Enter")
    panel.emit("open", rid="r3", mid="r3.a", user=message("r3.u", "user", "hello there"))
    panel.end("more", rid="r3", seq=0)
    keys.go("model")
    keys.press("ArrowDown")
    keys.go("conversation", "Shift+Tab")
    keys.press("ArrowDown")
    keys.go("new")
    keys.press("Enter")
    sent = [(m["t"], m.get("text", m.get("name", m.get("k", "")))) for m in panel.sent()]

    assert sent == [
        ("send", "hello"), ("stop", ""), ("retry", ""), ("stop", ""), ("alt", 1),
        ("edit", "hello there"), ("model", "large"), ("use", "thesis"), ("new", ""),
    ]  # fmt: skip


def test_a_long_talk_does_not_stand_in_the_way_of_tab(panel: Mounted) -> None:
    """Only one message's buttons are stops on the way from the head to the box."""
    panel.open(snapshot(*(message(f"{n}.a", "assistant", "`x`") for n in range(40))))
    panel.page.wait_for_function("document.querySelectorAll('.gp-msg').length === 40")
    keys = Keys(panel)
    keys.go("log")
    stops = []
    while keys.at != "composer":
        stops.append(keys.at)
        keys.press("Tab")

    assert stops == ["log", "retry", "copy"]


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
  const solid = (e) => (e ? getComputedStyle(e).opacity * solid(e.parentElement) : 1);
  const found = [];
  const judge = (kind, colour, e, what) => {
    const back = ground(e), [r, g, b, a] = rgba(colour);
    const [x, y] = [light(over([r, g, b, a * (solid(e) || 1)], back)), light(back)];
    found.push([kind, (Math.max(x, y) + .05) / (Math.min(x, y) + .05), e.className, what]);
  };
  const root = document.getElementById('el');
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const e = node.parentElement, text = node.nodeValue.trim();
    if (text && e.checkVisibility()) judge('text', getComputedStyle(e).color, e, text);
  }
  for (const box of root.querySelectorAll('textarea'))
    judge('text', getComputedStyle(box, '::placeholder').color, box, 'placeholder');
  for (const svg of root.querySelectorAll('svg'))
    if (svg.checkVisibility() && svg.parentElement.ariaDisabled !== 'true')
      judge('icon', getComputedStyle(svg).stroke, svg.parentElement, svg.parentElement.dataset.gp);
  return found;
}"""


def weak(panel: Mounted) -> list[list[Any]]:
    """What does not stand out: text by 4.5 to 1, icons by 3 to 1."""
    panel.page.emulate_media(reduced_motion="reduce")
    found = panel.page.evaluate(CONTRAST)
    assert len([each for each in found if each[0] == "text"]) > 4
    return [each for each in found if each[1] < {"text": 4.5, "icon": 3}[each[0]]]


@pytest.mark.parametrize("theme", THEMES)
def test_contrast(panel: Mounted, theme: str) -> None:
    """All text stands out from its ground, on light, on dark and without Jupyter's colours."""
    panel.open(snapshot(*FULL), theme=theme)
    panel.at("edit").first.click()
    panel.box.press_sequentially("/")
    assert weak(panel) == []
    # And what does not is found.
    panel.page.evaluate("document.querySelector('.gp-note').style.color = 'gray'")
    assert [each[2] for each in weak(panel)] == ["gp-note"]


@pytest.mark.parametrize("theme", THEMES)
def test_contrast_of_what_passes(panel: Mounted, theme: str) -> None:
    """So does what is only there for a while: waiting, growing, failing, offline, empty."""
    panel.open(theme=theme)
    assert weak(panel) == []
    panel.ask()
    panel.emit("wait", rid="r1", seconds=9, reason="Busy.")
    assert weak(panel) == []
    panel.emit("d", rid="r1", seq=0, frozen="<pre><code>a</code></pre>" * 30, tail="<p>b</p>")
    panel.frame()
    panel.at("log").evaluate("(e) => { e.scrollTop = 0 }")
    expect(panel.at("jump")).to_be_visible()
    assert weak(panel) == []
    panel.end("", status="failed", error="Busy")
    panel.emit("err", rid="r1", seq=2, text="Busy", hint="Wait.", retryable=True, retry_after=9)
    panel.page.evaluate("model.comm_live = false; model.fire('comm_live_update')")
    assert weak(panel) == []


@pytest.mark.parametrize("media", [{"forced_colors": "active"}, {"reduced_motion": "reduce"}])
def test_forced_colours_and_reduced_motion(panel: Mounted, media: dict[str, Any]) -> None:
    """With forced colours buttons have an edge; with reduced motion nothing moves."""
    panel.page.emulate_media(**media)
    panel.open().ask()
    panel.emit("d", rid="r1", seq=0, frozen="", tail="<p>b</p>")
    panel.frame()
    look = panel.page.evaluate("""() => ({
      edge: getComputedStyle(document.querySelector('[data-gp="stop"]')).borderTopWidth,
      moving: document.getAnimations().length })""")

    assert look["edge"] == ("1px" if "forced_colors" in media else "0px")
    assert (look["moving"] == 0) == ("reduced_motion" in media)


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
    """A reply in Hebrew runs from the right with its lists and quotes, code never does."""
    hebrew = "שלום עולם\n\n- אחת\n\n- שתיים\n\n> ציטוט\n\n```\nקוד\n```\n\nhello"
    panel.open(snapshot(message("1.u", "user", "שלום"), message("1.a", "assistant", hebrew)))
    ways = panel.page.locator(".gp-msg .gp-body > *").evaluate_all(
        "(all) => all.map((e) => getComputedStyle(e.querySelector('pre') ?? e).direction)"
    )
    panel.box.fill("שלום")

    assert ways == ["rtl", "rtl", "rtl", "ltr", "ltr"]
    assert panel.page.locator(".gp-body").first.evaluate("(e) => e.matches(':dir(rtl)')")
    assert panel.box.evaluate("(e) => getComputedStyle(e).direction") == "rtl"


@pytest.mark.parametrize("way", ["ltr", "rtl"])
def test_a_narrow_panel_is_whole(panel: Mounted, way: str) -> None:
    """320 pixels wide, in a page of either direction, nothing is cut off or pushes sideways."""
    panel.page.set_viewport_size({"width": 320, "height": 800})
    panel.open(snapshot(*FULL))
    panel.page.evaluate("(way) => { document.documentElement.dir = way; }", way)
    panel.box.press_sequentially("/")
    outside = panel.page.evaluate("""() => [...document.querySelectorAll('.gp-panel *')]
      .filter((e) => e.checkVisibility() && !e.closest('pre, .gp-unseen, .gp-author'))
      .map((e) => [e.className, e.getBoundingClientRect()])
      .filter(([, { left, right, width }]) => width && (left < 0 || right > innerWidth))""")

    assert outside == []
    assert panel.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_russian_where_the_browser_is_russian(browser: Browser) -> None:
    """All words follow the browser's language, those for screen readers too; Python is told."""
    with mounted(browser, locale="ru-RU") as panel:
        panel.open(snapshot(*FULL))
        panel.ask()
        panel.emit("d", rid="r1", seq=0, frozen="<pre><code>a</code></pre>", tail="")
        panel.frame()
        seen = panel.page.evaluate("""() => {
          const seen = new Set(), names = ['aria-label', 'title', 'placeholder'];
          for (const e of document.querySelectorAll('.gp-panel, .gp-panel *')) {
            for (const name of names) if (e.hasAttribute(name)) seen.add(e.getAttribute(name));
            if (!e.children.length) seen.add(e.textContent.trim());
          }
          return [...seen];
        }""")
        english = panel.page.evaluate("Object.values(module.catalogue(['en'])).flat()")

        assert {"Сообщение", "Копировать", "Остановлено", "Вы", "Пишет"} <= set(seen)
        assert [word for word in seen if word in english] == []
        assert panel.page.evaluate("model.sent[0].lang") == "ru"
        assert "2 с" in panel.at("msg").nth(1).locator(".gp-meta").inner_text().replace("\xa0", " ")
