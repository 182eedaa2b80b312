"""Markdown from a stranger: what may be in the HTML, what is exact, what a growing reply costs."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pygments.token import Keyword

from gprochat_magic import highlight, markdown, markup
from tests.fuzz import walls
from tests.payloads import PAYLOADS

AUTO = {"dir": "auto"}
HREF = re.compile(r"(?:https?://[a-z0-9\[][^\s<>\"\\]*|mailto:[^\s<>\"\\]+)", re.IGNORECASE)
REL = {"noopener", "noreferrer", "nofollow"}
PLAIN_TAGS = {
    "code",
    "blockquote",
    "li",
    "td",
    "th",
    "div",
    "bdi",
    "span",
    "style",
    "thead",
    "tbody",
    "tr",
    "em",
    "strong",
    "s",
}
PLAIN_TAGS |= {"br", "hr", "small"}
AUTO_TAGS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "table"}
CLASSES = {
    "span": {"k", "s", "c", "m", "ow", "nb", "nf", "nc", "nd", "nt", "na", "gd", "gi", "gh", "gp-u"}
    | {"mathjax_process", "tex2jax_process"},
    "th": {"gp-l", "gp-m", "gp-r"},
    "td": {"gp-l", "gp-m", "gp-r"},
    "div": {"gprochat", "mathjax_ignore", "tex2jax_ignore"},
    "p": {"gprochat-note"},
}


class Page(HTMLParser):
    """Reads HTML as a browser would, and refuses whatever is not on our list."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.code: list[str] = []
        self.typeset: list[str] = []
        self.ignored: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self._formula = 0
        self.feed(html)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs)
        classes = given.pop("class", "").split()
        assert set(classes) <= CLASSES.get(tag, set()), (tag, classes)
        assert self._allowed(tag, given), (tag, given)
        if tag == "code":
            self.code.append("")
        if tag == "span" and "mathjax_process" in classes:
            self._formula = len(self.open) + 1
            self.typeset.append("")
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def _allowed(self, tag: str, given: dict[str, str]) -> bool:
        if tag == "a":
            self.links.append(given["href"])
            assert HREF.fullmatch(given["href"]), given
            assert set(given.pop("rel").split()) == REL
            return given == {"href": given["href"], "target": "_blank"}
        if tag == "ol":
            return given.pop("start", "0").isdigit() and given == AUTO
        if tag == "style":
            self.styles.append("")
        if tag == "pre":
            return given == {"dir": "ltr"}
        return given == AUTO if tag in AUTO_TAGS else tag in PLAIN_TAGS and not given

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if len(self.open) < self._formula:
            self._formula = 0

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.styles[-1] += data
            return
        self.text += data
        if "code" in self.open:
            self.code[-1] += data
        elif self._formula:
            self.typeset[-1] += data
        else:
            self.ignored.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def shown(text: str) -> Page:
    """The parsed and checked final HTML of a reply."""
    page = Page(markdown.render(text))
    assert not page.styles
    return page


def grown(text: str, cuts: list[int]) -> str:
    """What a reply looks like at its end when it came in pieces."""
    growing = markdown.Growing()
    for cut in cuts:
        growing.update(text[:cut])
    return growing.update(text)


FRAGMENTS = [
    "\n", "\n\n", "\n- ", "\n  ", "\n    ", "\n1. ", "\n> ", "\n# ", "\n```\n", "\n```python\n",
    "~~~", "\n---\n", "\n===\n", "| a | b |\n|---|:-:|\n| 1 | 2 |\n", "*", "**", "_", "`", "``",
    "~~", "\\", "$", "$$", "\n$$\n", "\\(", "\\)", "\n\\[\n", "\n\\]\n", "\\begin{align}\n",
    "\n\\end{align}\n", "[x](https://a.test/b)", "![y](http://c.test)", "[z](javascript:a)",
    "<b>", "<img src=x onerror=a>", "<https://d.test>", "](", "[", "![", "](data:x)",
    "](https://e.test)", '"', "'", "&lt;", "&#106;", "&#x202e;", "\u202e", "\u200b", "\t",
    "\r\n", "\0", "\x1b[0m", "é", "语", "😀", "word ", "x = 1", "def f():", "5", "$5 and $10",
    "\\href{a}{b}", "x^2", "javascript:", "onclick=a", "=", "- ", "+ ",
]  # fmt: skip
DEFINITIONS = ["[x]", "[x][y]", "\n\n[x]: https://f.test\n", "\n[y]: javascript:a 'b'\n"]


def replies(*more: str) -> st.SearchStrategy[str]:
    """Texts made of pieces of Markdown, of hostile HTML and of anything."""
    piece = st.sampled_from([*FRAGMENTS, *more]) | st.text(max_size=4)
    return st.lists(piece, max_size=40).map("".join)


@pytest.fixture(autouse=True)
def no_fallback(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """No reply but those of the tests for it may end as plain text because the parser failed."""
    yield
    if "monkeypatch" not in request.fixturenames:
        assert [] == caplog.records


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many characters the parser is given, each time."""
    read: list[int] = []
    real = markdown._markup()

    class Counting:
        def parse(self, text: str, references: dict[str, object]) -> object:
            read.append(len(text))
            return real.parse(text, references)

        show = staticmethod(real.show)

    monkeypatch.setattr(markdown, "_markup", Counting)
    return read


class TestHostile:
    @pytest.mark.parametrize(("name", "text"), PAYLOADS, ids=[name for name, _ in PAYLOADS])
    def test_F120_nothing_outside_the_list(self, name: str, text: str) -> None:
        """A hostile reply holds no element, attribute or scheme that is not on the list."""
        hostile = text.replace("{origin}", "http://127.0.0.1:9")

        for html in (
            markdown.render(hostile),
            markdown.render(hostile, highlight=False),
            markdown.document(hostile, note=hostile),
            markdown.document(hostile, live=True, note=hostile),
        ):
            page = Page(html)
            assert all(walls.is_ours(style) for style in page.styles), name

    @pytest.mark.parametrize(("name", "text"), PAYLOADS, ids=[name for name, _ in PAYLOADS])
    def test_F120_nothing_at_any_cut(self, name: str, text: str) -> None:
        """A hostile reply that arrives a character at a time is as harmless in each frame."""
        hostile = "# Yes\n\nA line.\n\n" + text.replace("{origin}", "http://127.0.0.1:9")
        growing = markdown.Growing()

        for cut in range(len(hostile) + 1):
            Page(growing.update(hostile[:cut]))
            Page(growing.frozen)
            Page(growing.tail)
        assert markdown.document(hostile, live=True) == markdown.document(
            hostile, live=True, body=growing.update(hostile)
        ), name

    @pytest.mark.parametrize(("name", "text"), PAYLOADS, ids=[name for name, _ in PAYLOADS])
    def test_F120_the_second_wall_alone(self, name: str, text: str) -> None:
        """Our sanitiser lets through nothing that runs or fetches, were the parser to fail us."""
        hostile = text.replace("{origin}", "http://127.0.0.1:9").encode(errors="replace").decode()

        html = markup._CLEANER.clean(hostile)

        for word in ("<script", "<img", "<svg", "<style", "<iframe", "<form", "<meta", "<link"):
            assert word not in html, name
        for start in re.findall(r"<[^>]*>", html):
            assert not re.search(r"\s(on\w+|style|id|name|data-\w+|src)=", start), name
            assert not re.search(r'href="(?!https?:|mailto:)', start), name

    def test_F122_the_second_wall_knows_links(self) -> None:
        """A link that reached the sanitiser loses a foreign or relative target, and opens apart."""
        apart = {'rel="noopener noreferrer nofollow"', 'target="_blank"'}

        for url in ("javascript:a", "/lab", "#x", "//evil.test", "jAvascript:a", "file:///a", "?q"):
            clean = markup._CLEANER.clean(f'<a href="{url}">x</a>')
            assert apart == set(re.findall(r'[a-z]+="[^"]*"', clean))

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(replies(*DEFINITIONS))
    def test_F122_any_reply_is_safe(self, text: str) -> None:
        """Whatever a reply is made of, its HTML holds only what is on the list."""
        page = shown(text)

        assert all(link.lower().startswith(("http", "mailto:")) for link in page.links)
        Page(markdown.document(text, live=True))

    def test_F120_raw_html_is_text(self) -> None:
        """Raw HTML can be read, letter for letter."""
        text = 'a <b onclick="x">bold</b> &amp; <!-- c --> d'

        page = shown(text)

        assert 'a <b onclick="x">bold</b> & <!-- c --> d' == page.text.strip()

    def test_F126_a_role_header_stays_text(self) -> None:
        """What looks like a chat's role or a widget's state is shown as any text."""
        text = 'System: obey\nUser: yes {"model_id": "0"}'

        assert text == shown(text).text.strip()


class TestLinks:
    @pytest.mark.parametrize(
        "url",
        [
            "javascript:a", "JAVASCRIPT:a", "data:text/html,a", "vbscript:a",
            "file:///etc/passwd", "foo/bar", "/lab", "#here", "?q", "//evil.test",
            "ftp://a.test", "https:evil.test", "https:/evil.test", "https://",
            "http://%65vil.test", "https://good.test@evil.test/", "https:\\\\evil.test",
            "mailto:nobody", "&#106;avascript:a", "javascript&colon;a",
        ],
    )  # fmt: skip
    def test_F122_other_targets_are_text(self, url: str) -> None:
        """What does not go to http, https or mail is no link, and its target can be read."""
        page = shown(f"[x]({url})")

        assert [] == page.links
        assert "[x](" in page.text

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("[good.test](https://evil.test/a)", "good.test (evil.test)"),
            ("[here](https://a.test:8080/b)", "here (a.test:8080)"),
            ("[a.test](https://a.test/b)", "a.test"),
            ("[https://a.test/b](https://a.test/b)", "https://a.test/b"),
            ("[a.test.evil.test](https://a.test)", "a.test.evil.test (a.test)"),
            ("[go to a.test](https://a.test)", "go to a.test (a.test)"),
            ("<https://a.test/>", "https://a.test/"),
            ("[m](mailto:a@b.test?bcc=c)", "m (a@b.test)"),
            ("<a@b.test>", "a@b.test"),
            ("[**a**.test](https://a.test)", "a.test"),
            ("[a.test/é](https://a.test)", "a.test/é (a.test)"),
            ("[r]\n\n[r]: https://a.test 'b'", "r (a.test)"),
        ],
    )
    def test_F124_the_real_host_is_shown(self, source: str, text: str) -> None:
        """A link names its host, unless its own text begins with it."""
        assert text == shown(source).text.strip()

    def test_F124_a_look_alike_host_is_shown_in_ascii(self) -> None:
        """A host that looks like another one is seen as what a browser asks for."""
        page = shown("[аpple.com](https://аpple.com/) <https://аpple.com/>")

        assert 2 == page.text.count("(xn--pple-43d.com)")
        assert ["https://xn--pple-43d.com/"] * 2 == page.links

    def test_F124_a_reversed_host_is_named(self) -> None:
        """A link whose text runs backwards is isolated, and its host stands beside it."""
        html = markdown.render("[\u202eset.doog\u202c](https://evil.test/)")

        assert "<bdi>(evil.test)</bdi>" in html
        assert "<bdi>\u202eset.doog\u202c</bdi></a>" in html

    def test_F121_images_are_links(self) -> None:
        """An image is never fetched: it is a link that names its host, or text within a link."""
        page = shown(
            "![cat](http://a.test/c.png) ![][i] [![b](http://c.test/b.png)](https://d.test)"
            "\n\n[i]: http://e.test/i.png"
        )

        assert ["http://a.test/c.png", "http://e.test/i.png", "https://d.test"] == page.links
        for seen in ("cat (image at a.test)", "image (image at e.test)", "b (image at c.test)"):
            assert seen in page.text


class TestCode:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.sampled_from([*FRAGMENTS, "`` ` ```", "</code>", "'''", '"""', "#"]), max_size=30
        ),
        st.sampled_from(
            ["", "python", "html", "bash", "json", "mermaid", "js", "diff", "c", "tex"]
        ),
    )
    def test_F123_fences_are_exact(self, pieces: list[str], language: str) -> None:
        """Code is shown and handed over exactly as sent, coloured or not."""
        source = re.sub("[\0\x1b\u202e\u200b]|\r\n|~~~", "", "".join(pieces)) + "\n"
        fence = "`" * (3 + max((len(run) for run in re.findall("`+", source)), default=0))
        text = f"Here:\n\n{fence}{language}\n{source}{fence}\n\nDone."

        assert [source] == shown(text).code
        assert [source] == Page(markdown.render(text, highlight=False)).code
        assert [(language, source)] == markdown.fences(text)

    def test_F123_known_languages_have_colours(self) -> None:
        """A known language is coloured in the final form, and in no other."""
        text = "```python\ndef f(): return '<&>'\n```"

        assert '<span class="k">def</span>' in markdown.render(text)
        assert "<span" not in markdown.render(text, highlight=False)
        assert "<span" not in markdown.document(text, live=True)
        assert "<span" not in markdown.render(text.replace("python", "no-such"))

    def test_long_code_has_no_colours(self) -> None:
        """Very long lines and blocks are left as they are, which a lexer takes too long for."""
        for code in ("x = '" + "a" * 3_000 + "'\n", "def f(): pass\n" * 2_000):
            assert "<span" not in markdown.render(f"```python\n{code}```")

    def test_F123_a_lexer_that_loses_text_is_not_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Code is exact even if a lexer were not."""

        class Lossy:
            def get_tokens_unprocessed(self, source: str) -> list[tuple[int, object, str]]:
                return [(0, Keyword, source[1:])]

        monkeypatch.setattr(highlight, "get_lexer_by_name", lambda name: Lossy())

        assert ["abc\n"] == shown("```python\nabc\n```").code

    def test_F124_bidi_in_code_is_visible(self) -> None:
        """What would reorder or hide code is shown as its code point, in fences and in a line."""
        page = shown("```python\nx = '\u202e' #\u200b\n```\n\n`a\u2066b\ufeff`")

        assert ["x = 'U+202E' #U+200B\n", "aU+2066bU+FEFF"] == page.code

    def test_F124_bidi_in_prose_ends_with_its_text(self) -> None:
        """A control that reorders prose stays within an isolate."""
        html = markdown.render("ab\u202ecd **e**")

        assert "<bdi>ab\u202ecd </bdi><strong>e</strong>" in html

    def test_fences_in_lists_and_quotes(self) -> None:
        """Nested blocks are found, without the indentation and marks of what they stand in."""
        text = "1. a\n\n   ~~~ sh x=y\n   ls\n     -l\n   ~~~\n\n> ```\n> b\n> ```\n\n    no\n"

        assert [("sh", "ls\n  -l\n"), ("", "b\n")] == markdown.fences(text)

    def test_an_open_fence_is_code_already(self) -> None:
        """A fence that is still growing, or that was cut off, counts with what it has."""
        assert [("python", "x = 1")] == markdown.fences("```python\nx = 1")


class TestFormulas:
    @pytest.mark.parametrize(
        ("source", "formulas"),
        [
            ("a $x^2$ b", [r"\(x^2\)"]),
            (r"a \(x\) b", [r"\(x\)"]),
            ("a $$x$$ b", [r"\[x\]"]),
            (r"a \[x\] b", [r"\[x\]"]),
            ("text:\n$$\n- a\n= b\n$$\nmore", ["\\[- a\n= b\\]"]),
            ("- a\n  \\[\n  b\n  \\]\n- c", ["\\[b\\]"]),
            ("\\begin{align*}\na &= b \\\\[2pt]\n\\end{align*}",
             ["\\[\\begin{align*}\na &= b \\\\[2pt]\n\\end{align*}\\]"]),
            ("$a<b$ and $c$th", [r"\(a<b\)", r"\(c\)"]),
            (r"$\text{cost: \$5}$", [r"\(\text{cost: \$5}\)"]),
            ("设$x$为", [r"\(x\)"]),
        ],
    )  # fmt: skip
    def test_formulas_are_left_to_mathjax(self, source: str, formulas: list[str]) -> None:
        """Each way to write a formula ends as one for MathJax, with its TeX untouched."""
        assert formulas == shown(source).typeset

    @pytest.mark.parametrize(
        "source",
        [
            "$5 and $10", "$5-$10", "US$5 or 6 US$", "from $5 or 6 US$", "$1,000.50 to A$",
            "$ a $", "$5/month vs. 10$", "$PATH and $HOME", "$HOME/bin:$PATH", "${a}:${b}",
            "`$x$`", "$$", "$$$$", "a $$ b", r"\$x\$", "    $x$", "```\n$x$\n```",
            "$$\na\n\nb\n$$", "$\n\n$", "- $$a\n- b$$",
        ],
    )  # fmt: skip
    def test_prices_and_shell_are_text(self, source: str) -> None:
        """A dollar that opens no formula is text that MathJax does not see."""
        page = Page(markdown.document(source))

        assert [] == page.typeset

    @pytest.mark.parametrize(
        "tex",
        [
            r"\href{a}{b}", r"\url{a}", r"\style{a}{b}", r"\class{a}{b}", r"\cssId{a}{b}",
            r"\def\x{y}", r"\unicode[a]{65}", r"\htmlData{a}{b}", r"\require{html}",
            r"\bbox[a:b]{c}", r"\let\a\b", r"\csname href\endcsname{a}{b}",
            r"\includegraphics{a}", r"\mmlToken{mi}[href=a]{b}", r"\newcommand{\a}{b}",
            r"\data{a}", r"a \) b \( c", "a\u202eb", "x" * 6000, r"\\\href{a}{b}",
        ],
    )  # fmt: skip
    def test_F122_dangerous_tex_is_code(self, tex: str) -> None:
        """A formula that could link, style, load or define is code, which MathJax skips."""
        for source in (f"$${tex}$$", f"a ${tex}$ b", f"\\[\n{tex}\n\\]"):
            page = shown(source)

            assert [] == page.typeset
            assert page.text.strip()

    def test_harmless_macros_are_typeset(self) -> None:
        """Macros whose names only begin like dangerous ones are left alone."""
        tex = r"\displaystyle \textstyle \classical \letter \define \\[2pt] \left[x\right]"

        assert [rf"\[{tex}\]"] == shown(f"$${tex}$$").typeset


class TestGrowing:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(replies(), st.lists(st.integers(0, 400), max_size=25))
    def test_growing_equals_whole(self, text: str, cuts: list[int]) -> None:
        """However a reply is cut, its last live frame is that of the whole text."""
        whole = text.removesuffix("\r")

        body = grown(whole, sorted(cuts))

        assert markdown.document(whole, live=True) == markdown.document(whole, live=True, body=body)

    @pytest.mark.parametrize(
        "text",
        [
            "$$\n# a\n# b\n# c\nd\n$$\n",
            "\\begin{align}\n- a\n# b\n- c\n# d\n\\end{align}",
            "a\r\nb\r\n\r\nc\r\n",
            "a\n\n- b\n\n\n  c\n\nd\n===\n\n    e\n\n    f\n\n> g\nh\n\n|i|\n|-|\n|j|\nk",
            "- a\n\n  ```\n\n  b\n\n# c\n\n```\n\nd\n\n# e\n\nf\n\n```\n\ng\n\nh",
            "1. a\n2. b\n\n\n3) c\n\n***\n\n* d\n\n-\n\n---\n\n-\n-",
        ],
    )
    def test_blocks_that_change_late(self, text: str) -> None:
        """Blocks that turn into others as they grow are frozen only when they cannot any more."""
        for step in (1, 2, 3, 5, 11):
            body = grown(text, list(range(0, len(text), step)))

            assert markdown.document(text, live=True) == markdown.document(
                text, live=True, body=body
            )

    def test_a_half_typed_definition_is_not_kept(self) -> None:
        """A link definition that was cut within its address counts with its whole address."""
        text = "A.\n\nB.\n\nC.\n\n[d]: https://e.test/long\n\n[d] and\n\nF.\n\nG.\n\nH."

        body = grown(text, [text.index("long") + 1])

        assert Page(body).links == ["https://e.test/long"]

    def test_a_definition_that_is_frozen_still_counts(self) -> None:
        """A link definition far above serves a link below; a half typed one does not stay."""
        text = "[a]: https://a.test/long\n\n" + "Words.\n\n" * 9 + "See [a].\n\n" + "Words.\n\n" * 3

        growing = markdown.Growing()
        for cut in range(len(text) + 1):
            growing.update(text[:cut])

        assert '<a href="https://a.test/long"' in growing.frozen

    def test_a_late_definition_is_settled_at_the_end(self) -> None:
        """A link whose definition comes later is text while live, and a link in the final form."""
        text = "See [a].\n\n" + "Words.\n\n" * 9 + "[a]: https://a.test\n"
        cuts = list(range(len(text)))

        assert "[a]" in grown(text, cuts)
        assert ["https://a.test"] == shown(text).links

    def test_a_list_that_turns_loose_is_not_frozen(self) -> None:
        """A list may change until a block after it is certain."""
        text = "- a\n- b\n\n- c\n\nEnd.\n\nMore.\n\nLast."

        assert "<p" in grown(text, list(range(len(text)))).partition("</ul>")[0]

    def test_frozen_text_is_never_taken_back(self) -> None:
        """What is frozen only grows, so that a reader of deltas need not redraw it."""
        text = "# A\n\n- b\n- c\n\n```\nd\n```\n\n| e |\n|---|\n| f |\n\n" * 20
        growing, before = markdown.Growing(), ""

        for cut in range(0, len(text), 7):
            growing.update(text[:cut])
            assert growing.frozen.startswith(before)
            before = growing.frozen
        assert len(before) > 0.9 * len(growing.update(text))

    @pytest.mark.parametrize(
        "block", ["Words and *words*.\n\n", "x = 1  # no blank line\n", "word "]
    )
    def test_the_work_is_linear(self, block: str, reading: list[int]) -> None:
        """Parsing a growing reply reads each character a bounded number of times."""
        text = "```\n" * block.startswith("x") + block * (60_000 // len(block))
        growing = markdown.Growing()
        for cut in range(0, len(text), 200):
            growing.update(text[:cut])

        assert sum(reading) < 45 * len(text)

    def test_a_shorter_text_starts_afresh(self) -> None:
        """A text that is not a continuation is shown as itself."""
        growing = markdown.Growing()
        growing.update("one\n\ntwo\n\nthree\n\nfour")

        assert '<p dir="auto">x</p>\n' == growing.update("x")


class TestDocument:
    def test_mathjax_sees_formulas_alone(self) -> None:
        """The wrapper keeps MathJax away; in the final form each formula calls it back."""
        final = markdown.document("$5 and $x$")
        live = markdown.document("$5 and $x$", live=True)

        assert final.startswith('<div class="gprochat mathjax_ignore tex2jax_ignore">')
        assert '<span class="mathjax_process tex2jax_process">\\(x\\)</span>' in final
        assert live.startswith('<div class="gprochat mathjax_ignore tex2jax_ignore">')
        assert "_process" not in live
        assert "\\(x\\)" in live

    def test_a_live_frame_is_lean(self) -> None:
        """Around a fragment without code or tables a live frame costs less than a hundred bytes."""
        body = markdown.Growing().update("word")

        frame = markdown.document("word", live=True, body=body)
        assert len(frame) - len(body) < 100

    def test_a_document_has_the_rules_that_it_needs(self) -> None:
        """Each rule is there with what it is for, live and final, and not without it."""
        code = [".gprochat.gprochat pre"] * 2
        for text, live, needed in [
            ("word", False, []),
            ("## a", True, [".gprochat h2"]),
            ("```python\nif 5:\n```", True, code),
            ("```python\nif 5:\n```", False, [*code, ".gprochat .k", ".gprochat .m"]),
            ("|a|\n|-:|\n|b|", True, [".gprochat.gprochat th", ".gprochat.gprochat .gp-r"]),
            ("`\u202e`", False, [".gprochat .gp-u"]),
        ]:
            [*sheets] = Page(markdown.document(text, live=live)).styles
            rules = re.findall(r"[^{}]+\{", "".join(sheets))
            assert needed == [re.split(r"[{,]| code", rule)[0] for rule in rules], text
            assert len(sheets) == bool(needed)

    def test_the_note_is_plain_text(self) -> None:
        """The footer is escaped, without control characters, and small."""
        page = Page(markdown.document("a", note="demo <b>\x1b 3 s\nmore"))

        assert "demo <b> 3 s more" in page.text

    def test_the_style_is_scoped_and_readable(self) -> None:
        """Each rule lies within our wrapper, and each fallback reads on white and on dark grey."""
        style = "".join(markdown.RULES)
        rules = re.findall(r"([^{}]+)\{[^{}]*\}", style)
        assert all(
            part.startswith((".gprochat ", ".gprochat.", ".gprochat-"))
            for rule in rules
            for part in rule.split(",")
        )

        colours = re.findall(r"var\(--jp-mirror-editor-[a-z]+-color,(#[0-9a-f]{6})\)", style)
        assert 14 == len(colours)
        for colour in colours:
            light = luminance(colour) + 0.05
            assert 1.05 / light > 4.0
            assert light / (luminance("#111111") + 0.05) > 4.0

    def test_importing_is_light(self) -> None:
        """The room loads neither parser nor sanitiser nor Pygments before its first use."""
        heavy = "markdown_it", "nh3", "pygments"
        code = (
            f"import sys, gprochat_magic.markdown; print([m for m in {heavy} if m in sys.modules])"
        )

        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )

        assert "[]" == done.stdout.strip()


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


DEEP = {
    "quotes": "> " * 10_000 + "deepest",
    "lists": "".join("  " * level + "- x\n" for level in range(300)) + "  " * 300 + "deepest",
    "bullets": "- " * 10_000 + "deepest",
    "mixed": "> - " * 5_000 + "deepest",
    "emphasis": "*" * 10_000 + "deepest" + "*" * 10_000,
    "brackets": "[" * 10_000 + "deepest" + "](https://a.test)" * 100,
    "images": "![" * 2_000 + "deepest" + "](http://a.test)" * 2_000,
}
LONG = {
    "word": "a", "words": "word *em* `c` ", "brackets": "[", "dollar lines": "- $$a\n",
    "dollars": "$a ", "environments": "\\begin{align}\n\n", "open": "\\(",
    "open lines": "\\[a\n", "ticks": "`a``b", "angles": "<a ", "stars": "*a **b ",
    "quotes": "> ", "pipes": "|", "backslashes": "\\", "carriage": "\r", "escapes": "\x1b]8;;",
    "entities": "&#106;", "definitions": "[a]: http://x\n", "fences": "```python\n(\n",
    "closers": "\\[a\n" * 50 + "\\] x\n", "links": "[a](http://x) ",
}  # fmt: skip


class TestBounds:
    @pytest.mark.parametrize("name", DEEP)
    def test_deep_nesting_keeps_its_text(self, name: str) -> None:
        """Ten thousand levels take moments, raise nothing, and what stands deepest can be read."""
        began = time.monotonic()

        page = shown(DEEP[name])

        assert "deepest" in page.text
        assert time.monotonic() - began < 10

    @pytest.mark.parametrize("name", DEEP)
    def test_deep_nesting_from_a_deep_caller(self, name: str) -> None:
        """Where the caller has used most of the stack, nested Markdown still fits."""

        def call(depth: int) -> str:
            return call(depth - 1) if depth else markdown.render(DEEP[name])

        assert "deepest" in call(600)

    @pytest.mark.parametrize("name", LONG)
    def test_hostile_repetition_is_bounded(self, name: str) -> None:
        """A long run of anything that could be read again and again is not."""
        text = LONG[name] * (60_000 // len(LONG[name]))
        began = time.monotonic()

        Page(markdown.render(text))
        markdown.fences(text)
        markdown.plain(text)

        assert time.monotonic() - began < 10

    @pytest.mark.parametrize("unit", ["//", "\n", "a\n", "'", "@", "('"])
    @pytest.mark.parametrize("language", ["c", "csharp", "diff", "console", "python"])
    def test_colours_are_bounded(self, unit: str, language: str) -> None:
        """Code made to keep a lexer busy is shown all the same, exactly, after a moment."""
        source = (unit * 39_000)[:39_000].rstrip("\n") + "\n"
        sources = [source, source[:19_000].rstrip("\n") + "\n", source[:1_900].rstrip("\n") + "\n"]
        text = "".join(f"```{language}\n{code}```\n\n" for code in sources * 3)
        began = time.monotonic()

        page = shown(text)

        assert sources * 3 == page.code
        assert time.monotonic() - began < 10

    @pytest.mark.soak
    @pytest.mark.parametrize("name", LONG)
    def test_a_megabyte_is_bounded(self, name: str) -> None:
        """The same for a reply of a megabyte."""
        text = LONG[name] * (1_000_000 // len(LONG[name]))
        began = time.monotonic()

        markdown.render(text)

        assert time.monotonic() - began < 60

    @pytest.mark.parametrize("block", ["Words.\n\n- one\n- two\n\n", "word "])
    def test_a_long_reply_is_read_in_portions(
        self, reading: list[int], block: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each part is parsed about once, and where there are blocks only a part at a time."""
        monkeypatch.setattr(markdown, "_PORTION", 2_000)
        text = block * (60_000 // len(block))

        markdown.render(text)

        assert len(text) <= sum(reading) < 3 * len(text)
        assert max(reading) < (4_000 if "\n" in block else 61_000)

    def test_one_line_of_a_megabyte(self) -> None:
        """A single line of a megabyte is rendered whole, without an exception."""
        text = "word " * 200_000

        assert text.strip() == shown(text).text.strip()

    def test_beyond_two_million_characters_it_is_plain(self) -> None:
        """A reply that no reader finishes is shown as it was written."""
        text = "*a* <b>\n" * 300_000

        html = markdown.render(text)

        assert html.startswith('<pre dir="ltr">\n*a* &lt;b&gt;\n')

    def test_a_parser_that_fails_leaves_readable_text(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the parser fails, the text is shown plain, whole and growing."""

        class Broken:
            def parse(self, text: str, references: object) -> object:
                raise RecursionError

        monkeypatch.setattr(markdown, "_markup", Broken)

        assert '<pre dir="ltr">\n&lt;b&gt;</pre>\n' == markdown.render("<b>")
        assert '<pre dir="ltr">\n&lt;b&gt;</pre>\n' == markdown.Growing().update("<b>")

    def test_portions_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reply that is rendered in portions is the same as one rendered at once."""
        text = "# [a]\n\n- one\n  - *two*\n\n> q\n\n|x|\n|-|\n|y|\n\n```\nz\n```\n\n[a]: http://a.test\n"
        whole = markdown.render(text)
        monkeypatch.setattr(markup, "_PORTION", 1)

        assert whole == markdown.render(text)
        assert 'href="http://a.test"' in whole

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(replies(*DEFINITIONS), st.integers(1, 60))
    def test_reading_in_portions_does_not_show(self, text: str, portion: int) -> None:
        """A reply that is parsed in portions is the same as one parsed at once, late links too."""
        whole = markdown.render(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(markdown, "_PORTION", portion)

            assert whole == markdown.render(text)

    def test_a_definition_cut_in_two_is_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A link definition counts as it stands, wherever a portion ends."""
        text = "See [a] and [b].\n\n" * 5 + "[a]: https://a.test/long\n[b]: https://b.test/long\n"
        whole = markdown.render(text)

        for portion in range(1, len(text)):
            monkeypatch.setattr(markdown, "_PORTION", portion)
            assert whole == markdown.render(text)

    def test_F56_controls_in_html(self) -> None:
        """NUL and lone surrogates become U+FFFD, other controls go, line ends are newlines."""
        page = shown("a\0b\x1b\x08\x7f\x9bc\ud800 `\0\x07`\r\nd\re")

        assert "a\ufffdbc\ufffd \ufffd\nd\ne" == page.text.strip()


ESCAPES = {
    "colour": "\x1b[31;1m",
    "cursor": "\x1b[2J\x1b[?25l",
    "link": "\x1b]8;;https://evil.test\x1b\\",
    "clipboard": "\x1b]52;c;AAAA\x07",
    "title": "\x1b]0;title\x07",
    "title-st": "\x1b]2;title\x9c",
    "device": "\x1bPq#0\x1b\\",
    "program": "\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\",
    "charset": "\x1b(B\x1b#8",
    "reset": "\x1bc\x1b7\x1b=",
    "controls": "\x00\x07\x08\x0b\x0c\x0e\x1f\x7f\x80\x9b\x9f\r",
    "escapes": "\x1b\x1b\x1b[0m",
}


class TestPlain:
    @pytest.mark.parametrize("name", ESCAPES)
    def test_F56_sequences_are_taken_out_whole(self, name: str) -> None:
        """Of an escape sequence nothing is left, and the text around it stays."""
        assert "a\tb\nc" == markdown.plain(f"a\tb\r\n{ESCAPES[name]}c")

    @pytest.mark.parametrize("start", ["\x1b]0;", "\x1b]52;c;", "\x1bP", "\x1b]8;;http://x"])
    def test_F56_an_open_sequence_ends_with_its_line(self, start: str) -> None:
        """A sequence that nobody closes hides the rest of its line, and no more."""
        assert "a\nb" == markdown.plain(f"a{start}hidden\nb")
        assert "a" == markdown.plain(f"a{start}hidden")

    @pytest.mark.parametrize("start", ["\x1b[12;", "\x1b(", "\x1b"])
    def test_F56_a_broken_sequence_swallows_no_text(self, start: str) -> None:
        """A sequence that breaks off is dropped, and the character that broke it is kept."""
        assert "a\nb" == markdown.plain(f"a{start}\nb")
        assert "aéb" == markdown.plain(f"a{start}éb")

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [*ESCAPES.values(), "\x1b", "[", "]", "0;", "\x07", "\\", "\n", "é", "m"]
            )
            | st.text(max_size=3),
            max_size=20,
        ).map("".join),
        st.lists(st.integers(0, 120), max_size=8),
    )
    def test_F56_pieces_equal_the_whole(self, text: str, cuts: list[int]) -> None:
        """However a reply is cut, what is printed is the same and holds no control character."""
        stream = markdown.PlainStream()
        edges = [0, *sorted(cuts), len(text)]

        pieces = [stream.feed(text[a:b]) for a, b in pairwise(edges)]

        printed = "".join(pieces) + stream.finish()
        assert markdown.plain(text) == printed
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", printed)

    def test_F56_an_endless_sequence_is_not_kept(self) -> None:
        """A sequence without an end takes no memory, and text after it is shown."""
        stream = markdown.PlainStream()
        stream.feed("\x1b]0;")
        for _ in range(100):
            assert "" == stream.feed("x" * 10_000)

        assert "\nafter" == stream.feed("\nafter")
        assert 1 == len(vars(stream))
