"""Hostile replies in a real JupyterLab and Notebook 7: they stay text, growing and at their end.

One notebook asks for each of them in a cell of its own, and then shows each `Reply` as a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Route

from gprochat_magic import formulas, highlight, markdown
from gprochat_magic.gateway.backends import BackendError
from tests.browser.listener import Listener
from tests.browser.page import Page, pages
from tests.browser.replies import Replies
from tests.browser.server import Server
from tests.fuzz import walls
from tests.gateways import Served
from tests.payloads import PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CODE = [
    ("code-html", "```html\n<b>&amp;</b> &lt; <!-- <script>x</script> -->\n```"),
    ("code-python", '```python\n\n\tdef f(x):  \n    return f"{x!r}<&>"  # `$x$` \\(y\\)\n\n```'),
    ("code-backticks", "````markdown\n```\n<p>`a`</p>\n```\n````"),
    (
        "code-nested",
        "1. a\n\n   ~~~sh\n   cat <<'END' && echo \"$x $y\"\n   ~~~\n> ```\n> a  <b>\n> ```",
    ),
    ("code-unknown", "```no<such>\n![x](y) [a](javascript:b)\n```"),
    ("code-indented", "text\n\n    <img src=x>\n    &nbsp;"),
]
REPLIES = [*PAYLOADS, *CODE]
NAMES = [name for name, _ in REPLIES]
END = "\n\nend"
# More outputs than these in one cell are folded away.
PER_CELL = 40
SETUP = """\
%load_ext gprochat_magic
%config GPROChatMagics.refresh_rate = 20
%config InteractiveShell.ast_node_interactivity = "all"
"""
PLAIN = len(NAMES) + 1
HISTORY = PLAIN + 2
REFUSED = HISTORY + 1
VALUES = REFUSED + 1


def _cells() -> list[str]:
    asks = [f"%%gprochat --no-history -o reply_{n}\n{name}" for n, name in enumerate(NAMES)]
    others = ["%gprochat -f text all", "%gprochat -q all", "%gprochat history", "'later'"]
    values = [f"reply_{n}" for n in range(len(NAMES))]
    groups = range(0, len(values), PER_CELL)
    return [SETUP, *asks, *others, *("\n".join(values[n : n + PER_CELL]) for n in groups)]


@pytest.fixture(scope="module", params=["lab", "notebook"])
def hostile(
    request: pytest.FixtureRequest,
    browser: Browser,
    server: Server,
    far: Served,
    listener: Listener,
) -> Iterator[Page]:
    """A page in which every hostile reply was asked for."""
    texts = {name: text.replace("{origin}", listener.origin) for name, text in REPLIES}
    said = Replies(far.backend, pause=0.06)
    for name, text in texts.items():
        half = len(text) // 2
        said.to[name] = [text[:half], text[half:], END]
    said.to["all"] = ["\n\n".join(texts.values())]
    listener.hits.clear()
    with pages(browser, server) as open_page:
        page = open_page(server.write(f"hostile-{request.param}", _cells()), app=request.param)
        page.run_all()
        page.settle()
        yield page


def test_F120_no_script_runs_and_nothing_is_fetched(hostile: Page, listener: Listener) -> None:
    """Growing or whole, no reply runs a script or fetches, or holds an element beyond the list."""
    shown = hostile.page.locator(".gprochat").count()

    assert shown == 2 * len(REPLIES)
    assert hostile.page.evaluate("window.redraws") >= shown + len(REPLIES)
    assert hostile.seen == []
    assert listener.hits == []
    assert hostile.foreign == []


def test_F120_nothing_leaves_its_output(hostile: Page) -> None:
    """No element is laid over the page, no class is Jupyter's, no name of the page is taken."""
    positions, classes = hostile.page.evaluate("""() => {
      const own = [...document.querySelectorAll('.gprochat, .gprochat *')]
        .filter((e) => !e.closest('mjx-container'));
      return [
        [...new Set(own.map((e) => getComputedStyle(e).position))],
        [...new Set(own.flatMap((e) => [...e.classList]))],
      ];
    }""")

    assert positions == ["static"]
    assert set(classes) <= _known_classes()
    assert hostile.page.locator(".jp-Dialog").count() == 0
    assert hostile.page.evaluate("getComputedStyle(document.body).display") != "none"
    assert hostile.page.evaluate("document.getElementById('jupyterapp')") is None


def _known_classes() -> set[str]:
    wrapper = {"gprochat", "gprochat-note", "mathjax_ignore", "tex2jax_ignore"}
    # JupyterLab's table of contents numbers headings, also those in outputs.
    wrapper.add("numbering-entry")
    aligned = {"gp-l", "gp-m", "gp-r"}
    return wrapper | aligned | {*highlight.CLASSES.values(), highlight.INVISIBLE, *formulas.CLASSES}


def test_F120_only_our_own_style_is_in_the_page(hostile: Page) -> None:
    """What style there is in an output is of the renderer's rules, as they were written."""
    styles = hostile.page.locator(".jp-OutputArea-output style").all_text_contents()

    assert styles
    assert all(walls.is_ours(style) for style in styles)


def test_F121_images_are_links_with_their_host(hostile: Page, listener: Listener) -> None:
    """A Markdown image is a link that says where the image is."""
    host = urlsplit(listener.origin).netloc
    for name in ("image", "image-reference"):
        reply = hostile.reply(NAMES.index(name) + 1)
        assert reply.locator("a").count() == 1
        assert f"secret (image at {host})" in reply.inner_text()


def test_F122_links_show_their_host_and_open_elsewhere(hostile: Page) -> None:
    """Each link is http, names its real host in what is visible, and opens a tab of its own."""
    links = hostile.page.locator(".gprochat a").evaluate_all("""(found) => found.map((a) => ({
      href: a.href, target: a.target, rel: a.rel, seen: a.textContent,
      beside: a.nextElementSibling?.tagName === 'BDI' ? a.nextElementSibling.textContent : '',
    }))""")

    assert len(links) >= 10
    for link in links:
        where = urlsplit(link["href"])
        assert where.scheme in ("http", "https")
        assert where.netloc in link["beside"] or link["seen"].startswith(
            (where.netloc, f"{where.scheme}://{where.netloc}")
        )
        assert link["target"] == "_blank"
        assert "noopener" in link["rel"].split()


def test_F123_code_is_shown_exactly(hostile: Page) -> None:
    """The text of each code block in the page is the code that was sent."""
    for number, (name, text) in enumerate(CODE, len(PAYLOADS) + 1):
        expected = [source for _, source in markdown.fences(text)] or ["<img src=x>\n&nbsp;\n"]
        shown = hostile.reply(number).locator("pre code").all_text_contents()

        assert shown == expected, name


def test_F120_a_reply_as_a_value_is_shown_the_same_way(hostile: Page) -> None:
    """The value of a cell that is a `Reply` shows the same HTML as the stream's last frame."""
    bodies = hostile.page.locator(".gprochat").evaluate_all("""(found) => found.map((shown) => {
      const copy = shown.cloneNode(true);
      copy.querySelectorAll('.gprochat-note, mjx-container, style').forEach((e) => e.remove());
      return copy.innerHTML;
    })""")

    assert bodies[len(REPLIES) :] == bodies[: len(REPLIES)]


def test_F120_plain_text_and_history_are_only_text(hostile: Page) -> None:
    """Replies shown as text, and the history, are in the page as text."""
    for cell in (PLAIN, HISTORY):
        assert "<script>window.pwned=1</script>" in hostile.output(cell).inner_text()


def test_F56_no_control_character_is_shown(hostile: Page) -> None:
    """What is in the page has no NUL, escape or other control in it, but line ends and tabs."""
    shown = hostile.page.locator(".jp-OutputArea-output").all_text_contents()

    assert set(re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "".join(shown))) == set()


def test_F120_a_hostile_error_is_only_text(hostile: Page, far: Served, listener: Listener) -> None:
    """What a server says about an error is shown as text."""
    said = "".join(text for _, text in PAYLOADS[:20]).replace("{origin}", listener.origin)
    far.backend.refusal = BackendError(400, said)
    hostile.write(REFUSED, "%gprochat refused")
    hostile.run(REFUSED)
    hostile.settle()

    assert "BadRequestError" in hostile.output(REFUSED).inner_text()
    assert hostile.seen == []
    assert listener.hits == []


def test_F120_clicks_and_hovering_do_nothing_but_open_links(
    hostile: Page, listener: Listener
) -> None:
    """Links open a tab that gets no hold of the page; all else does nothing when it is clicked."""
    page = hostile.page
    # Only what a new tab asks for may be asked, and is answered here.
    page.context.route(lambda url: not url.startswith(hostile.server.origin), _answer)
    address, widgets = page.url, _main_widgets(hostile)
    page.evaluate("""() => {
      window.commanded = [];
      jupyterapp.commands.commandExecuted.connect((_, { id }) => commanded.push(id));
      document.querySelectorAll('.jp-OutputArea-output *').forEach((element) => {
        if (element.closest('a')) return;
        for (const kind of ['mouseover', 'mousedown', 'mouseup', 'click', 'dblclick'])
          element.dispatchEvent(new MouseEvent(kind, { bubbles: true, cancelable: true }));
      });
    }""")
    for link in page.locator(".gprochat a").all()[: _links_of_streams(hostile)]:
        link.hover()
        with page.expect_popup() as opened:
            link.click()
        assert opened.value.evaluate("[window.opener, location.host]") == [None, _host(link)]
        opened.value.close()
    hostile.settle()

    assert page.url == address
    assert _main_widgets(hostile) == widgets
    assert page.evaluate("window.commanded") == []
    assert hostile.seen == []
    assert listener.hits == []


def _answer(route: Route) -> None:
    route.fulfill(body="")


def _host(link: Locator) -> str:
    return str(link.evaluate("(link) => link.host"))


def _main_widgets(page: Page) -> int:
    return int(page.page.evaluate("[...jupyterapp.shell.widgets('main')].length"))


def _links_of_streams(page: Page) -> int:
    return sum(page.reply(number + 1).locator("a").count() for number in range(len(REPLIES)))


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_F130_a_saved_notebook_is_clean_and_stays_quiet(
    hostile: Page, browser: Browser, server: Server, listener: Listener, trusted: bool
) -> None:
    """A saved reply is one output of HTML and text, which runs nothing when it is opened again."""
    hostile.save()
    saved = server.read(hostile.path)

    assert "widgets" not in saved.metadata
    for cell in saved.cells[1 : len(REPLIES) + 1]:
        [output] = cell.outputs
        assert set(output.data) == {"text/html", "text/plain"}
        assert output.metadata == {}

    if not trusted:
        # A signature covers the cells, so that a changed one is nobody's.
        saved.cells[0].source += "# changed"
    path = server.write_notebook(f"again-{hostile.app}-{trusted}", saved)
    listener.hits.clear()
    with pages(browser, server) as open_page:
        page = open_page(path, app=hostile.app)
        page.settle()

        assert page.is_trusted(1) is trusted
        assert "end" in page.reply(1).inner_text()
        assert page.seen == []
    assert listener.hits == []


def test_the_watch_sees_what_it_is_there_for(
    browser: Browser, server: Server, listener: Listener
) -> None:
    """The same payloads shown as Jupyter shows HTML do run and do fetch, and are seen."""
    listener.hits.clear()
    shown = f"<script>pwned = 1</script><img src='{listener.origin}/i.png'><p style='color:red'>"
    code = f"from IPython.display import HTML\nHTML({shown!r})"
    with pytest.raises(AssertionError, match=r"/i\.png"), pages(browser, server) as open_page:  # noqa: PT012 - the end counts
        page = open_page(server.write("unsafe", [code]))
        page.run(0)
        page.settle()
        seen = page.seen

    assert {"a script ran", "element IMG"} <= set(seen)
    assert set(listener.hits) == {"/i.png"}
