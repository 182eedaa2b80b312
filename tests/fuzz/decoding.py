"""Bytes of a reply to text, and what comes behind the text, wherever they are cut."""

from __future__ import annotations

import codecs

from gprochat_magic.decoder import TextDecoder
from gprochat_magic.tail import Tail, tail
from tests.fuzz.cutting import cut

SEEDS = [
    "Привет, как дела? 😀 \ufeff\ufffd".encode(),
    b"\xef\xbb\xbftext\x00 \xff\xfe \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xc0\xaf",
    b"the reply" + tail(12, 345),
    b'\xff{"sent": -1, "received": true}',
]
WORDS = ["\ufeff", "\ufffd", "\0", '{"sent": 1, "received": 2}', "1e9", "true", "NaN", "ж", "😀"]
_BAD = "\udcff"


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _BAD, error.end


codecs.register_error("tests.fuzz.marked", _marked)


def expected(data: bytes) -> tuple[str, int]:
    """The text of the bytes and how many of its characters were not sent, by Python's codec."""
    marked = data.decode("utf-8", "tests.fuzz.marked").removeprefix("\ufeff").replace("\0", _BAD)
    return marked.replace(_BAD, "\ufffd"), marked.count(_BAD)


def run(data: bytes) -> None:
    """Text and count are the codec's own; a tail is told, or refused, wherever it is cut."""
    decoder = TextDecoder()
    pieces = [decoder.feed(piece) for piece in cut(data)]
    text = "".join(pieces) + decoder.feed(b"", final=True)
    assert expected(data) == (text, decoder.replaced)

    whole, parts = Tail(announced=True), Tail(announced=True)
    before = whole.cut(data)
    assert before == b"".join(parts.cut(piece) for piece in cut(data))
    assert before == data.partition(b"\xff")[0]
    assert whole.tokens == parts.tokens
    for count in whole.tokens or ():
        assert type(count) is int
        assert 0 <= count < 2**53
