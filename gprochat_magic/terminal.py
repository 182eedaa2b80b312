"""Text that is safe to print: control characters and whole escape sequences taken out.

A reply can carry sequences that retitle a terminal, fill its clipboard, hide text or forge a link.
What is kept: printable characters, newline and tab. A string sequence (a title, a link, the
clipboard) that nobody closes ends with its line, so that it never swallows the rest of a reply.
"""

from __future__ import annotations

import re
from typing import Final

# Characters that reorder what is shown, or show nothing: bidi controls, zero width, tags.
# The joiners U+200C and U+200D are left alone: scripts and emoji need them.
HIDDEN = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_NOTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TEXT, _ESCAPE, _SHORT, _CONTROL, _STRING = range(5)
# What each state swallows: the intermediates of a short sequence, the parameters of a control
# sequence, and the payload of a string, up to a character that ends or breaks it.
_BODY: Final = {
    _SHORT: re.compile(r"[ -/]*"),
    _CONTROL: re.compile(r"[ -?]*"),
    _STRING: re.compile("[^\x07\n\x18\x1a\x1b\x9c]*"),
}
_FINAL: Final = {
    _SHORT: re.compile(r"[0-~]"),
    _CONTROL: re.compile(r"[@-~]"),
    _STRING: re.compile("[\x07\x9c]"),
}


def plain(text: str) -> str:
    """`text` without control characters (but newline and tab) and without escape sequences.

    A lone surrogate, which no terminal can print, becomes U+FFFD.
    """
    stream = PlainStream()
    return stream.feed(text) + stream.finish()


class PlainStream:
    """`plain`, piece by piece: the pieces that come out, joined, are `plain` of those that went in.

    Nothing is buffered: an unfinished sequence is remembered as a state, however long it grows.
    """

    def __init__(self) -> None:
        self._state = _TEXT

    def feed(self, piece: str) -> str:
        """The printable part of the next piece; empty inside a sequence."""
        shown: list[str] = []
        at = 0
        while at < len(piece):
            if self._state == _TEXT:
                at = self._show(piece, at, shown)
            elif self._state == _ESCAPE:
                at = self._introduce(piece, at)
            else:
                at = self._swallow(piece, at)
        return "".join(shown)

    def finish(self) -> str:
        """End the stream. Returns what was held back: nothing, for open sequences are dropped."""
        self._state = _TEXT
        return ""

    def _show(self, piece: str, at: int, shown: list[str]) -> int:
        notable = _NOTABLE.search(piece, at)
        end = notable.start() if notable else len(piece)
        shown.append(piece[at:end])
        if notable is None:
            return end
        if notable[0] == "\x1b":
            self._state = _ESCAPE
        elif notable[0] >= "\ud800":
            shown.append("\ufffd")
        return end + 1

    def _introduce(self, piece: str, at: int) -> int:
        character = piece[at]
        if character == "[":
            self._state = _CONTROL
        elif character in "]PX^_":
            self._state = _STRING
        elif " " <= character <= "/":
            self._state = _SHORT
        elif "0" <= character <= "~":
            self._state = _TEXT
        else:
            self._state = _TEXT
            return at
        return at + 1

    def _swallow(self, piece: str, at: int) -> int:
        body = _BODY[self._state].match(piece, at)
        at = body.end() if body else at
        if at < len(piece):
            ended = _FINAL[self._state].match(piece, at)
            self._state = _TEXT
            # What breaks a sequence (a newline, the next escape) belongs to what follows it.
            return at + 1 if ended else at
        return at
