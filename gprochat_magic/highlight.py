"""Source code as HTML text: exact, with colours where the language is known.

The colours are a few of Pygments' own short class names. What a reader cannot see but a compiler
can (bidi controls, zero-width characters) is shown as its code point, `U+202E`, in a span.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Final

from pygments.lexers import get_lexer_by_name
from pygments.token import (
    Comment,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
    _TokenType,
)

from gprochat_magic.terminal import HIDDEN

CLASSES: Final = {
    Keyword: "k",
    String: "s",
    Comment: "c",
    Number: "m",
    Operator.Word: "ow",
    Name.Builtin: "nb",
    Name.Function: "nf",
    Name.Class: "nc",
    Name.Decorator: "nd",
    Name.Tag: "nt",
    Name.Attribute: "na",
    Generic.Deleted: "gd",
    Generic.Inserted: "gi",
    Generic.Heading: "gh",
    Generic.Subheading: "gh",
}
INVISIBLE = "gp-u"

# A fixed list: a lexer is code run on a stranger's text, and looking up an unknown name imports
# plug-ins.
_LANGUAGES: Final = frozenset(
    """
    python py python3 ipython pycon bash sh shell zsh console json javascript js jsx typescript ts
    tsx html xml css scss sql r julia c cpp c++ csharp c# java go rust rs ruby rb yaml yml toml ini
    diff tex latex dockerfile docker make makefile kotlin swift scala php perl lua powershell
    haskell matlab
    """.split()  # noqa: SIM905 - sixty quoted words read worse
)
# Lexers take time that grows with the square of a hostile source (20 s for 40 kB of one character),
# mostly on long lines and always token by token.
_LONGEST = 20_000
_LONG_LINE = re.compile(r"[^\n]{2000}")
_Part = tuple[str | None, str]


def colour(source: str, language: str, *, until: float) -> str:
    """`source` as HTML text with spans; `until`, on the monotonic clock, is when patience ends.

    There are no spans if the language is unknown, or if the source is long or takes too long.
    """
    language = language.lower()
    if language not in _LANGUAGES or len(source) > _LONGEST or _LONG_LINE.search(source):
        return exact(source)
    parts: list[_Part] = []
    for part in _parts(source, language):
        if time.monotonic() > until:
            return exact(source)
        parts.append(part)
    # A lexer that loses a character would show code that is not what was sent.
    if "".join(text for _, text in parts) != source:
        return exact(source)
    return "".join(_span(name, text) for name, text in _merged(parts))


def exact(source: str) -> str:
    """`source` escaped; only what cannot be seen is changed, to its code point in a span."""
    return HIDDEN.sub(_code_point, escape(source, quote=False))


def _code_point(found: re.Match[str]) -> str:
    return f'<span class="{INVISIBLE}">U+{ord(found[0]):04X}</span>'


def _parts(source: str, language: str) -> Iterator[_Part]:
    for _, kind, text in get_lexer_by_name(language).get_tokens_unprocessed(source):
        yield _class_of(kind), text


def _class_of(kind: _TokenType) -> str | None:
    while kind.parent is not None:
        if kind in CLASSES:
            return CLASSES[kind]
        kind = kind.parent
    return None


def _merged(parts: list[_Part]) -> Iterator[_Part]:
    for name, group in groupby(parts, key=lambda part: part[0]):
        yield name, "".join(text for _, text in group)


def _span(name: str | None, text: str) -> str:
    return f'<span class="{name}">{exact(text)}</span>' if name else exact(text)
