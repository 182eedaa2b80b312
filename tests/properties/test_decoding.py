"""Bytes of a reply to text, and the usage behind it, wherever they are cut."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from gprochat_magic.decoder import TextDecoder
from gprochat_magic.tail import Tail, tail
from tests.fuzz import decoding
from tests.properties import tried

WHOLE = st.text(max_size=8).map(str.encode)
BROKEN = st.sampled_from(
    [b"\xff", b"\xef\xbb\xbf", b"\xef\xbf\xbd", b"\xed\xa0\x80", b"\xf0\x9f", b"\0", b"\xc0\xaf"]
)
BYTES = st.lists(WHOLE | BROKEN | st.binary(max_size=3), max_size=12).map(b"".join)
COUNT = st.integers(0, 2**53 - 1)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these places, as far as it has them."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@tried(4)
@given(BYTES)
@example(b"\xef\xbb")
@example(b"\xef\xbb\xbf\xef\xbb\xbf")
def test_F53_text_and_count_are_the_codecs_own(data: bytes) -> None:
    """Text and the count of what was replaced are Python's own, wherever the bytes are cut."""
    decoding.run(data)


@tried(0.2)
@given(BYTES)
def test_F52_every_byte_alone(data: bytes) -> None:
    """The bytes of a reply that come one by one make the same text as they do at once."""
    decoder = TextDecoder()
    text = "".join(decoder.feed(data[at : at + 1]) for at in range(len(data)))
    text += decoder.feed(b"", final=True)

    assert decoding.expected(data) == (text, decoder.replaced)


@tried()
@given(st.text(max_size=60), COUNT, COUNT, st.lists(st.integers(0, 120), max_size=8))
def test_usage_behind_any_text(text: str, sent: int, received: int, cuts: list[int]) -> None:
    """Text and numbers come out exactly, wherever the bytes of both are cut."""
    cutter = Tail(announced=True)
    body = text.encode() + tail(sent, received)

    assert text.encode() == b"".join(map(cutter.cut, pieces_of(body, cuts)))
    assert (sent, received) == cutter.tokens


@tried()
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_nothing_is_usage_where_none_was_announced(data: bytes, cuts: list[int]) -> None:
    """Every byte of such a body belongs to the text."""
    cutter = Tail()

    assert data == b"".join(map(cutter.cut, pieces_of(data, cuts)))
    assert cutter.tokens is None


@tried()
@given(st.binary(max_size=400))
def test_nonsense_behind_a_text_is_no_usage(behind: bytes) -> None:
    """Whatever follows the mark, the text is what stood before it, and numbers are counts."""
    cutter = Tail(announced=True)

    assert b"text" == cutter.cut(b"text\xff" + behind)
    assert cutter.tokens is None or min(cutter.tokens) >= 0
