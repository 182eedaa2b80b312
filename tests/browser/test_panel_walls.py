"""Hostile replies in the panel: its module in a bare Chromium."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from gprochat_magic import markdown, markup
from tests.browser.mounted import MODULE, ORIGIN, Mounted, message, mounted, snapshot
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
# What is in the replies now that must not be there.
CHECK = """(tags) => {
  const wrong = [], names = ['class', 'dir', 'href', 'rel', 'start', 'target', 'title'];
  for (const body of document.querySelectorAll('.gp-msg[data-role="assistant"] .gp-body'))
    for (const e of body.querySelectorAll('*')) {
      if (e.closest('.gp-code-tools') || e.matches('.gp-code, .gp-frozen, .gp-tail')) continue;
      if (!tags.includes(e.tagName)) wrong.push(e.outerHTML.slice(0, 200));
      for (const { name, value } of e.attributes) {
        if (!names.includes(name)) wrong.push(e.tagName + ' ' + name);
        if (name === 'class' && /jp-|gp-(?![lrmu]\\b)/.test(value)) wrong.push('class ' + value);
        if (name === 'href' && !/^(https?:\\/\\/|mailto:)/.test(value)) wrong.push('href ' + value);
        if (name === 'target' && value !== '_blank') wrong.push('target ' + value);
        if (name === 'dir' && !/^(auto|ltr)$/.test(value)) wrong.push('dir ' + value);
        if (name === 'title' && value !== (e.host || e.pathname)) wrong.push('title ' + value);
      }
      if (e.href && !(/noopener noreferrer/.test(e.rel) && e.title)) wrong.push('link');
      const look = getComputedStyle(e);
      if (look.position !== 'static' || look.zIndex !== 'auto') wrong.push('overlay');
    }
  return wrong;
}"""


BODY = """() => {
  window.body = document.createElement('div');
  body.className = 'gp-body';
  document.querySelector('.gp-msg[data-role="assistant"]').append(body);
}"""
# A run from its opening, each delta drawn and judged.
GROW = """([rid, deltas, tags, check]) => {
  const judge = eval(check), wrong = [];
  const user = { id: rid + '.u', role: 'user', text: rid, status: 'complete', meta: {} };
  model.emit({ t: 'open', rid, mid: rid + '.a', user });
  let drawn = 0;
  deltas.forEach((delta, seq) => {
    model.emit({ t: 'd', rid, seq, ...delta });
    const tail = module.inert(delta.tail);
    const shown = document.querySelector('.gp-live .gp-tail');
    drawn += shown.textContent === tail.textContent;
    wrong.push(...judge(tags).map((what) => [what, seq]));
  });
  return { wrong, drawn };
}"""

SAME = """(html) => {
  const whole = document.createElement('p'), [shown] = [...document.querySelectorAll(
    '.gp-msg[data-role="assistant"]')].at(-1).querySelectorAll('.gp-body');
  whole.append(module.inert(html));
  const said = (e) => e.textContent.replaceAll('\\n', '');
  const parts = (e) => [...e.querySelectorAll('*')].filter((each) => !each.closest(
    '.gp-code-tools') && !each.matches('.gp-code, .gp-frozen, .gp-tail'));
  const look = (e) => parts(e).map((each) => each.cloneNode().outerHTML).join('');
  return shown ? said(shown) === said(whole) && look(shown) === look(whole) : !said(whole);
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


def test_F122_a_click_on_anything_only_opens_what_its_title_names(panel: Mounted) -> None:
    """Clicked through, replies and raw HTML do nothing but open web addresses in a new tab."""
    replies = [markdown.render(text) for _, text in TEXTS] + [html for _, html in RAW]
    panel.open(
        snapshot(
            *(message(f"{n}.a", "assistant", "x", html=html) for n, html in enumerate(replies))
        )
    )
    panel.page.wait_for_function(f"document.querySelectorAll('.gp-msg').length === {len(replies)}")
    opened = panel.page.evaluate("""() => {
      const opened = [];
      addEventListener('click', (event) => {
        const link = event.target.closest('a[href]');
        if (!link) return;
        event.preventDefault();
        opened.push([link.href, link.title, link.target]);
      });
      for (const e of document.querySelectorAll('.gp-body *'))
        if (!e.closest('.gp-code-tools')) e.dispatchEvent(
          new MouseEvent('click', { bubbles: true, cancelable: true }));
      return opened;
    }""")
    wrong = [
        (href, title, where)
        for href, title, where in opened
        if where != "_blank"
        or not title
        or title not in (urlsplit(href).netloc.rpartition("@")[2], urlsplit(href).path)
        or urlsplit(href).scheme not in ("http", "https", "mailto")
    ]

    assert len(opened) > 10
    assert wrong == []


def test_F120_raw_html_cut_at_every_byte(panel: Mounted) -> None:
    """HTML that never met our renderer, ending anywhere: nothing at any cut is off the list."""
    panel.open().ask()
    panel.page.evaluate(BODY)
    wrong = panel.page.evaluate(
        """([payloads, tags, check]) => {
          const judge = eval(check), wrong = [];
          for (const html of payloads)
            for (let n = 1; n <= html.length; n += 1) {
              body.replaceChildren(module.inert(html.slice(0, n)));
              wrong.push(...judge(tags).map((what) => [what, html.slice(0, n)]));
            }
          return wrong;
        }""",
        [[html for _, html in RAW if len(html) < 1000], sorted(TAGS), CHECK],
    )

    assert wrong == []


def test_F120_replies_cut_at_every_byte(panel: Mounted) -> None:
    """Each hostile reply as it grows byte by byte, rendered and sent as deltas: nothing comes."""
    assert len(TEXTS) >= 40
    panel.open()
    panel.page.evaluate("() => { requestAnimationFrame = (paint) => paint(); }")
    for name, text in TEXTS:
        deltas = list(_bytewise(text))
        found = panel.page.evaluate(GROW, [name, deltas, sorted(TAGS), CHECK])
        panel.end(text, rid=name)

        assert (name, found) == (name, {"wrong": [], "drawn": len(deltas)})
        assert panel.page.evaluate(SAME, markdown.render(text)), name
    assert panel.page.evaluate(CHECK, sorted(TAGS)) == []


def _bytewise(text: str) -> Iterator[dict[str, Any]]:
    """The deltas of a reply of which one byte after the other arrives."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    growing, frozen, so_far = markdown.Growing(), 0, ""
    for byte in text.encode("utf-8", "surrogatepass"):
        so_far += decoder.decode(bytes([byte]))
        growing.update(so_far)
        yield {"frozen": growing.frozen[frozen:], "tail": growing.tail}
        frozen = len(growing.frozen)


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


def test_nothing_of_the_module_comes_from_elsewhere() -> None:
    """The module has no import, no address to load from, and sets no HTML itself."""
    without_comments = re.sub(r"/\*.*?\*/|//[^\n]*", "", MODULE, flags=re.DOTALL)

    assert not re.search(
        r"\bimport\b|\bfetch\(|XMLHttp|insertAdjacentHTML|document\.write|\beval\(",
        without_comments,
    )
    assert not re.search(r"(inner|outer)HTML\s*=|innerHTML:", without_comments)
    assert json.dumps(MODULE).isascii()
