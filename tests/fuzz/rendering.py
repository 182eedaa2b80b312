"""A reply to HTML and to text for a terminal: nothing live, code exact, growing equals whole."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

from gprochat_magic import markdown, markup
from gprochat_magic.terminal import HIDDEN, PlainStream, plain
from tests.fuzz import walls
from tests.fuzz.cutting import cut
from tests.payloads import PAYLOADS

assert markup  # imported here so that its lines are followed too

SEEDS = [
    *(text.encode("utf-8", "surrogatepass") for _, text in PAYLOADS),
    b"# A heading\n\n| a | b |\n|--:|:-:|\n| 1 | 2 |\n\n1. x\n   - y\n",
    b"```python\ndef f(): pass\n```\n\n> quoted\n\n[a](https://a.test) <b@c.test>",
    b"$a^2$ \\[b\\] $$c$$\n\\begin{align}\nd\n\\end{align}\n",
]
WORDS = [
    "```",
    "~~~",
    "```python",
    "$$",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "\\begin{align}",
    "\\end{align}",
    "\\href{",
    "**",
    "__",
    "~~",
    "``",
    "](",
    "![",
    "]:",
    "<http://",
    "https://",
    "javascript:",
    "mailto:a@b",
    "&#106;",
    "&lt;",
    "<script>",
    "</script>",
    "<img",
    "<!--",
    "-->",
    "<svg>",
    "</code>",
    "</pre>",
    "</div>",
    "|---|",
    "|:-:|",
    "1.",
    "-",
    ">",
    "#",
    "===",
    "---",
    "\u202e",
    "\u200b",
    "\x1b]",
    "\x1b[",
    "\x07",
    "onclick=",
    "class=",
    "style=",
    "id=",
    "<a",
]
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class _Fallback(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage()) from (record.exc_info or (None, None))[1]


@contextlib.contextmanager
def _no_fallback() -> Iterator[None]:
    """What is shown plain because the parser failed is a finding here, and not elsewhere."""
    log = logging.getLogger("gprochat_magic.markdown")
    before = log.handlers, log.propagate
    log.handlers, log.propagate = [_Fallback()], False
    try:
        yield
    finally:
        log.handlers, log.propagate = before


@_no_fallback()
def run(data: bytes) -> None:
    """All that is shown of a reply is on the list; its code is exact; pieces make the whole."""
    text = data.decode("utf-8", "surrogateescape")
    for html in (
        markdown.render(text),
        markdown.document(text, note=text, live=True),
        markdown.document(text, note=text),
    ):
        walls.checked(html, styled=True)
    check_fences(text)
    check_growing(text)
    check_terminal(text)


def check_fences(text: str) -> None:
    """Each fenced block is shown as it is handed over, but for what nobody can see."""
    text = markdown._clean(text)
    shown = iter(walls.code_of(walls.checked(markdown.render(text))))
    for _, source in markdown.fences(text):
        wanted = HIDDEN.sub(lambda found: f"U+{ord(found[0]):04X}", source)
        assert wanted in shown, source


def check_growing(text: str, *, alone: bool = False) -> None:
    """The last frame of a reply in pieces is that of the whole; each frame is safe.

    `alone` says that each character is a piece of its own.
    """
    text = text.removesuffix("\r")
    growing, end, body = markdown.Growing(), 0, ""
    for piece in text if alone else cut(text):
        end += len(piece)
        body = growing.update(text[:end])
        walls.checked(growing.tail)
    walls.checked(growing.frozen)
    # A link may find its definition later; only the final frame has it.
    if "]:" not in text:
        assert markdown.document(text, live=True) == markdown.document(text, live=True, body=body)


def check_terminal(text: str) -> None:
    """What is printed holds no control character, in pieces as in one."""
    stream = PlainStream()
    printed = "".join(stream.feed(piece) for piece in cut(text))
    assert plain(text) == printed
    assert not _CONTROL.search(printed)
