"""Random text in many scripts, cut at random bytes; and what a reader may make of such bytes."""

from __future__ import annotations

import codecs
import itertools
import random

WORDS = (
    *(
        "the",
        "reply",
        "fi\ufb01ne",
        "na\u00efve",
        "\u00df\u017f",
        "x = 1\n",
        "```py\n",
        "\r\n",
        "\t",
    ),
    *("Привет", "как", "дела", "съёмка", "щука", "Ёж", "не\u0301бо"),
    *("漢字", "かな", "カタカナ", "한국어", "한", "𠮷野家", "𝒳", "＊", "。"),
    *("مرحبا", "بِسْمِ", "لا", "ﷺ", "١٢٣", "שלום", "שָׁלוֹם", "\u05d0\u200e1\u200f"),
    *("👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇺🇦🇯🇵", "1️⃣", "🙂", "🧑🏿‍🚀"),
    *("e\u0301\u0323\u0302", "Z\u0351\u036b\u0343\u036a", "कि्षी", "ก็ำ", "ﬃ", "\u0344"),
    *(
        "\u202eabc\u202c",
        "\u2066x\u2069",
        "\u200b",
        "\u00ad",
        "\u2028",
        "\ufeff",
        "\ufffd",
        "\U0010fffd",
    ),
)
"""Latin, Cyrillic, East Asian, right to left, emoji with joiners, combining marks, directions."""

BROKEN = (b"\xff", b"\xc3", b"\xf0\x9f\x99", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5", b"\x80" * 3)
"""Bytes that are no text."""
CONTROLS = (
    b"\0",
    b"\x1b]8;;http://x\x07",
    b"\x1b]52;c;eA==\x07",
    b"\x1b[2J",
    b"\r",
    b"\b",
    b"\x9b",
)
"""Characters that move a terminal, and NUL."""


def text(dice: random.Random, most: int = 40) -> str:
    """Words in any order; once in a while many of them, so that they fill more than one buffer."""
    count = dice.randint(1, most) if dice.random() < 0.97 else dice.randint(1000, 8000)
    return "".join(dice.choice(WORDS) + dice.choice(("", " ")) for _ in range(count))


def tagged(dice: random.Random) -> bytes:
    """A text as bytes, with a mark in front by which it is known should it come twice."""
    return f"«{dice.getrandbits(40):x}»{text(dice)}".encode()


def spoilt(dice: random.Random, body: bytes, among: tuple[bytes, ...]) -> bytes:
    """A body with a few strange bytes at any place, also inside a character."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(body))
        body = body[:at] + dice.choice(among) + body[at:]
    return body


def cut(dice: random.Random, body: bytes) -> list[bytes]:
    """A body in pieces, cut at any byte; a short one sometimes into single bytes."""
    if not body:
        return []
    if len(body) < 100 and dice.random() < 0.2:
        return [body[at : at + 1] for at in range(len(body))]
    edges = sorted({0, len(body), *(dice.randrange(len(body)) for _ in range(dice.randint(0, 8)))})
    return [body[start:end] for start, end in itertools.pairwise(edges)]


def shown(body: bytes, *, ended: bool) -> str:
    """What a reader should make of bytes: a BOM in front is dropped; NUL and bad bytes, U+FFFD.

    `ended` says that no more follows, so that half a character is a bad byte. This is written
    without the decoder that is under test: all bytes are decoded at once.
    """
    decoded = codecs.utf_8_decode(body, "replace", ended)[0]
    return decoded.removeprefix("\ufeff").replace("\0", "\ufffd")


def is_prefix(text: str, body: bytes) -> bool:
    """Whether a text is the beginning of what the bytes say, but for one U+FFFD at its end.

    That one may stand for a character of which only a part had come.
    """
    whole = shown(body, ended=True)
    return whole.startswith(text) or (text.endswith("\ufffd") and whole.startswith(text[:-1]))
