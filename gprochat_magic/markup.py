"""The parser and two walls: tokens to HTML by our own rules, then a sanitiser with the same list.

Raw HTML is text. Images are links. No element carries a style, an id, a name or data; classes come
from a fixed set. `markdown` imports this room at first use, because the libraries below are heavy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from html import escape
from typing import Any, Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from gprochat_magic import formulas, highlight, links
from gprochat_magic.terminal import HIDDEN

Environment = MutableMapping[str, Any]
_Tokens = Sequence[Token]

# Levels of nesting; a list takes two. What is deeper is shown as it was written. It is also what
# unclosed brackets cost: time grows with this number.
_DEEPEST = 24
# How many tokens of blocks are shown at a time: what is in a block takes much more memory than its
# text, and so does a sanitiser's tree.
_PORTION = 500
# A list or a table has one direction for its bullets or columns; its items have none of their own.
_AUTO: Final = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table")
_ALIGNED: Final = {"left": "gp-l", "center": "gp-m", "right": "gp-r"}
_PLAIN: Final = """
    a bdi blockquote br code div em hr li pre s span strong tbody td th thead tr
""".split()  # noqa: SIM905 - as words they are easier to compare


def _absolute(tag: str, attribute: str, value: str) -> str | None:
    """For the second wall: a link's target if it names its scheme, any other attribute as it is."""
    if attribute == "href" and not re.match(r"https?://|mailto:", value, re.IGNORECASE):
        return None
    return value


_CLEANER = nh3.Cleaner(
    tags={*_PLAIN, *_AUTO},
    attributes={"a": {"href"}, "ol": {"start"}},
    tag_attribute_values={
        **{tag: {"dir": {"auto"}} for tag in _AUTO},
        "a": {"target": {"_blank"}},
        "pre": {"dir": {"ltr"}},
    },
    allowed_classes={
        "span": {*highlight.CLASSES.values(), highlight.INVISIBLE, *formulas.CLASSES},
        "th": set(_ALIGNED.values()),
        "td": set(_ALIGNED.values()),
    },
    set_tag_attribute_values={"a": {"target": "_blank"}},
    attribute_filter=_absolute,
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener noreferrer nofollow",
)


class Markup:
    """Markdown to tokens, tokens to safe HTML. Holds no state of a reply; any thread may use it."""

    def __init__(self) -> None:
        self._blocks = _parser().disable("inline")
        self._inlines = _parser().disable(["normalize", "block"])

    def parse(self, text: str, references: dict[str, Any]) -> tuple[list[Token], Environment]:
        """The blocks of `text`, and an environment that holds the link definitions known then."""
        environment: Environment = {"references": dict(references)}
        return self._blocks.parse(text, environment), environment

    def show(
        self, tokens: Sequence[Token], environment: Environment, *, live: bool, until: float = 0.0
    ) -> str:
        """Safe HTML for some top-level blocks, whose inside is read here.

        `until`, on the monotonic clock, is when patience for colours ends; 0 stands for no colours.
        """
        how = {**environment, "live": live, "until": until}
        return "".join(self._shown(tokens, how) for tokens in _portions(tokens))

    def _shown(self, tokens: list[Token], how: Environment) -> str:
        self._inlines.core.process(StateCore("", self._inlines, how, tokens))
        html = self._inlines.renderer.render(
            tokens, self._inlines.options, {**how, "linked": False}
        )
        for token in tokens:
            token.children = None
        return _CLEANER.clean(html)

    def fences(self, text: str) -> list[tuple[str, str]]:
        """Language and exact source of each fenced block."""
        tokens = self._blocks.parse(text)
        return [(_language(token), token.content) for token in tokens if token.type == "fence"]


def _portions(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens, cut between top-level blocks."""
    start = 0
    for end, token in enumerate(tokens, 1):
        closed = token.level == 0 and token.nesting <= 0
        if end == len(tokens) or (closed and end - start >= _PORTION):
            yield list(tokens[start:end])
            start = end


def _parser() -> MarkdownIt:
    options = {"html": False, "xhtmlOut": False, "maxNesting": _DEEPEST}
    md = MarkdownIt("commonmark", options, renderer_cls=_Renderer)
    md.enable(["table", "strikethrough"])
    md.block.ruler.before("table", "too_deep", _too_deep)
    formulas.install(md)
    md.validateLink = _is_link  # type: ignore[method-assign]  # the documented way
    return md


def _is_link(url: str, validator: Callable[[str], bool] | None = None) -> bool:
    return links.target(url) is not None


def _too_deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Near its limit the parser would drop text: the rest of the block is shown as written."""
    if silent or state.level < _DEEPEST - 2:
        return False
    line = start + 1
    while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
        line += 1
    token = state.push("code_block", "code", 0)
    token.content = state.getLines(start, line, state.blkIndent, False)
    token.map = [start, line]
    state.line = line
    return True


def _language(token: Token) -> str:
    words = unescapeAll(token.info).split(maxsplit=1)
    return words[0] if words else ""


def _visible(tokens: Sequence[Token]) -> str:
    return "".join(
        _visible(token.children) if token.children else token.content for token in tokens
    )


def _prose(text: str) -> str:
    escaped = escape(text, quote=False)
    # A control that reorders text ends at its isolate, not in what follows.
    return f"<bdi>{escaped}</bdi>" if HIDDEN.search(text) else escaped


class _Renderer(RendererHTML):
    """Our own rule wherever the standard one would let a reply choose an attribute."""

    def renderAttrs(self, token: Token) -> str:  # type: ignore[override]  # noqa: N802 - the library's name
        if token.tag == "ol" and "start" in token.attrs:
            return f' dir="auto" start="{int(token.attrs["start"])}"'
        attributes = ' dir="auto"' if token.tag in _AUTO else ""
        align = re.fullmatch(r"text-align:(\w+)", str(token.attrs.get("style", "")))
        if align and align[1] in _ALIGNED:
            attributes += f' class="{_ALIGNED[align[1]]}"'
        return attributes

    def text(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        return _prose(tokens[idx].content)

    def code_inline(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        return f"<code>{highlight.exact(tokens[idx].content)}</code>"

    def code_block(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        return f'<pre dir="ltr"><code>{highlight.exact(tokens[idx].content)}</code></pre>\n'

    def fence(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        token = tokens[idx]
        source = (
            highlight.colour(token.content, _language(token), until=env["until"])
            if env["until"]
            else highlight.exact(token.content)
        )
        return f'<pre dir="ltr"><code>{source}</code></pre>\n'

    def formula(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        token = tokens[idx]
        return formulas.show(token.content, markup=token.markup, live=env["live"])

    def formula_block(
        self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment
    ) -> str:
        return f"<div>{self.formula(tokens, idx, options, env)}</div>\n"

    def link_open(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        env["linked"] = True
        return _anchor(str(tokens[idx].attrs["href"]))

    def link_close(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        env["linked"] = False
        start = idx
        while tokens[start].type != "link_open":
            start -= 1
        where = links.target(str(tokens[start].attrs["href"])) or ""
        return "</a>" + _beside(_visible(tokens[start + 1 : idx]), where)

    def image(self, tokens: _Tokens, idx: int, options: OptionsDict, env: Environment) -> str:
        token = tokens[idx]
        url = str(token.attrs["src"])
        alt = _visible(token.children or []) or "image"
        where = links.target(url) or ""
        # A link within a link would end the outer one.
        if env["linked"]:
            return _prose(alt) + _beside("", f"image at {where}")
        return _anchor(url) + _prose(alt) + "</a>" + _beside("", f"image at {where}")


def _anchor(url: str) -> str:
    return f'<a href="{escape(url)}" target="_blank">'


def _beside(text: str, where: str) -> str:
    return "" if links.shows(text, where) else f" <bdi>({escape(where)})</bdi>"
