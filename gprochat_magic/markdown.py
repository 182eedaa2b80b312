"""Untrusted Markdown to safe HTML, whole or growing, and to text that is safe to print.

A reply is a stranger's text. Raw HTML in it is shown as text, nothing is fetched, links name their
host, code is shown exactly as sent, and only formulas are left to MathJax. Live HTML is smaller
than final HTML: without colours, and without the classes that let MathJax work.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections import deque
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from gprochat_magic.terminal import PlainStream, plain

if TYPE_CHECKING:
    from markdown_it.token import Token

    from gprochat_magic.markup import Environment, Markup

__all__ = ["RULES", "Growing", "PlainStream", "document", "fences", "plain", "prepare", "render"]

_log = logging.getLogger(__name__)

_UNWANTED = re.compile("\r\n?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST = 2_000_000
_SMALL = 8_192
_PATIENCE = 16
# Characters of a whole reply that are parsed at a time: its blocks take some 25 times the memory.
_PORTION = 16_384
# Seconds for all the colours of a reply; an ordinary one takes a hundredth of this.
_COLOURING = 1.0

# Each fallback reads well (4:1 or more) on white and on JupyterLab's dark grey: outside Jupyter
# nobody sets the variables, and a saved cell does not know which ground it will be shown on.
_COLOURS = {
    "k,ow": ("keyword", "#18882b"),
    "s": ("string", "#b36119"),
    "c": ("comment", "#767676"),
    "m": ("number", "#18882b"),
    "nb": ("builtin", "#10828c"),
    "nf,nc": ("def", "#2573e0"),
    "nd": ("meta", "#a64dd3"),
    "nt": ("tag", "#18882b"),
    "na": ("attribute", "#2573e0"),
    "gd": ("error", "#e12d2d"),
    "gi": ("string", "#18882b"),
    "gh": ("header", "#2573e0"),
}


def _rules() -> Iterator[tuple[str, str]]:
    for level, size in enumerate(("1.45", "1.25", "1.1"), 1):
        yield f".gprochat h{level}{{font-size:{size}em}}", f"<h{level}"
    # Twice the class: JupyterLab's own rules for outputs weigh two classes and an element.
    box = "margin:.6em 0 1em;padding:.6em .8em;overflow:auto"
    ground = "background:var(--jp-cell-editor-background,#8881)"
    yield f".gprochat.gprochat pre{{{box};{ground}}}", "<pre"
    yield ".gprochat.gprochat pre code{background:none;white-space:pre}", "<pre"
    yield ".gprochat.gprochat th,.gprochat.gprochat td{text-align:left}", "<table"
    for name, side in (("l", "left"), ("m", "center"), ("r", "right")):
        yield f".gprochat.gprochat .gp-{name}{{text-align:{side}}}", f'"gp-{name}"'
    for names, (variable, fallback) in _COLOURS.items():
        for name in names.split(","):
            colour = f"color:var(--jp-mirror-editor-{variable}-color,{fallback})"
            yield f".gprochat .{name}{{{colour}}}", f'"{name}"'
    yield ".gprochat .gp-u{outline:1px dotted}", '"gp-u"'
    yield ".gprochat-note{opacity:.7}", "gprochat-note"


RULES = dict(_rules())
"""The rules for what `render` makes, each within `.gprochat`, and what each one is for."""


def render(text: str, *, highlight: bool = True) -> str:
    """A whole reply as a safe HTML fragment; `highlight` colours fenced code. Never raises."""
    return _html(text, live=False, colours=highlight)


def document(text: str, *, note: str = "", live: bool = False, body: str | None = None) -> str:
    """What a cell shows: the fragment in its wrapper, and `note` as one small line below it.

    `body` is a fragment from `render` or `Growing`, or one of such fragments; without it `text` is
    rendered. In a `live` document MathJax has no work; in a final one it has the formulas. The
    style is no more than what is there needs, since each frame of a growing reply has it again.
    """
    if body is None:
        body = _html(text, live=live, colours=not live)
    small = escape(" ".join(_clean(note).split()), quote=False)
    footer = f'<p class="gprochat-note" dir="auto"><small>{small}</small></p>' if small else ""
    rules = "".join(rule for rule, mark in RULES.items() if mark in body or mark in footer)
    style = f"<style>{rules}</style>" if rules else ""
    return f'<div class="gprochat mathjax_ignore tex2jax_ignore">{body}{footer}{style}</div>'


def prepare() -> None:
    """Load the parser, which otherwise the first reply waits for."""
    _markup()


def fences(text: str) -> list[tuple[str, str]]:
    """Language (may be empty) and exact source of each fenced block, nested ones too, in order."""
    return _markup().fences(text)


class Growing:
    """A reply that grows: each update costs about as much as its new text.

    All but the last blocks are `frozen`; `tail` is rendered again. A fragment may differ from the
    final one in a link whose definition comes later, and while one block is longer than 8 kB it
    lags by up to a sixteenth of it. So end with `render(text)`.
    """

    def __init__(self) -> None:
        self.frozen = ""
        self.tail = ""
        self._source = ""
        self._taken = 0
        self._rendered = 0
        self._references: dict[str, Any] = {}

    def update(self, text: str) -> str:
        """The fragment for `text`, which is all the text so far. Never raises.

        A text shorter than the one before starts afresh.
        """
        # A carriage return may be half of a line's end.
        end = len(text) - text.endswith("\r")
        if end < self._taken:
            self.__init__()  # type: ignore[misc]
        self._source += _clean(text[self._taken : end])
        self._taken = end
        if self._is_due():
            self._render()
        return self.frozen + self.tail

    def _is_due(self) -> bool:
        # Rendering a long block again for each word would cost the square of its length.
        fresh = len(self._source) - self._rendered
        return fresh > 0 and (self._rendered < _SMALL or fresh * _PATIENCE >= self._rendered)

    def _render(self) -> None:
        try:
            self._advance(_markup())
        except Exception:  # noqa: BLE001 - as in `_html`
            _log.warning("a growing reply is shown as plain text", exc_info=True)
            self.tail = _preformatted(self._source)
        self._rendered = len(self._source)

    def _advance(self, markup: Markup) -> None:
        found = _split(markup, self._source, self._references)
        tail = markup.show(found.open, found.environment, live=True)
        self.frozen += markup.show(found.closed, found.environment, live=True)
        self._source, self._references, self.tail = found.rest, found.references, tail


class _Split(NamedTuple):
    """A text that goes on, cut where nothing that comes can change what is above.

    `rest` is the text of the open blocks, `references` the link definitions in the closed ones and
    those known before.
    """

    closed: list[Token]
    open: list[Token]
    environment: Environment
    rest: str
    references: dict[str, Any]


def _split(markup: Markup, source: str, references: dict[str, Any]) -> _Split:
    tokens, environment = markup.parse(source, references)
    starts = [i for i, token in enumerate(tokens) if token.map and not token.level]
    lines = source.split("\n")
    cut = _boundary([(tokens[i].map or [0])[0] for i in starts], lines)
    if not cut:
        return _Split([], tokens, environment, source, references)
    line = (tokens[starts[cut]].map or [0])[0]
    # A definition further down may be half typed, and the first one of a label counts.
    found = {
        label: reference
        for label, reference in environment["references"].items()
        if reference["map"][1] <= line
    }
    return _Split(
        tokens[: starts[cut]],
        tokens[starts[cut] :],
        environment,
        "\n".join(lines[line:]),
        {**found, **references},
    )


def _boundary(starts: list[int], lines: list[str]) -> int:
    """The first block that must stay open: the last but one, or one before; 0 closes none."""
    # Only a blank line ends all that could still change what is above it, such as an open formula.
    for block in range(len(starts) - 2, 0, -1):
        if not lines[starts[block] - 1].strip():
            return block
    return 0


def _html(text: str, *, live: bool, colours: bool) -> str:
    source = _clean(text)
    if len(source) > _LONGEST:
        return _preformatted(source)
    try:
        markup = _markup()
        until = time.monotonic() + _COLOURING if colours else 0.0
        return "".join(
            markup.show(tokens, environment, live=live, until=until)
            for tokens, environment in _portions(markup, source, _definitions(markup, source))
        )
    except Exception:  # noqa: BLE001 - what the parser cannot take must still be readable
        _log.warning("a reply is shown as plain text", exc_info=True)
        return _preformatted(source)


def _definitions(markup: Markup, source: str) -> dict[str, Any]:
    """The link definitions of a text that is shown in portions: a late one counts above as well."""
    if len(source) <= _PORTION or "]:" not in source:
        return {}
    (_, environment) = deque(_portions(markup, source, {}), maxlen=1).pop()
    return dict(environment["references"])


def _portions(
    markup: Markup, source: str, references: dict[str, Any]
) -> Iterator[tuple[list[Token], Environment]]:
    """The blocks of a text, some at a time, each with the definitions known by then."""
    rest, at = "", 0
    # An endless block grows twofold from one portion to the next, or it would be read squared.
    while (end := at + max(_PORTION, len(rest))) < len(source):
        found = _split(markup, rest + source[at:end], references)
        yield found.closed, found.environment
        rest, references, at = found.rest, found.references, end
    yield markup.parse(rest + source[at:], references)


def _preformatted(source: str) -> str:
    return f'<pre dir="ltr">\n{escape(source, quote=False)}</pre>\n'


def _clean(text: str) -> str:
    """Line ends as newlines, NUL and lone surrogates as U+FFFD, other controls but tab removed."""
    return _UNWANTED.sub(_replacement, text)


def _replacement(found: re.Match[str]) -> str:
    character = found[0][0]
    if character == "\r":
        return "\n"
    return "\ufffd" if character == "\0" or character >= "\ud800" else ""


@functools.cache
def _markup() -> Markup:
    # Imported at first use: %load_ext must stay light, and reply imports this room.
    from gprochat_magic.markup import Markup

    return Markup()
