"""Bytes as text, however they are cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gprochat_magic.decoder import TextDecoder


@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_the_same_text_however_cut(data: bytes, cuts: list[int]) -> None:
    """Any bytes, cut anywhere, decode as they do in one piece, and count the same."""
    whole = TextDecoder()
    expected = whole.feed(data) + whole.feed(b"", final=True)
    cut = TextDecoder()
    edges = [0, *sorted(cuts), len(data)]
    pieces = [cut.feed(data[a:b]) for a, b in itertools.pairwise(edges) if a <= b]

    assert "".join(pieces) + cut.feed(b"", final=True) == expected
    assert whole.replaced == cut.replaced


@given(st.text())
def test_text_is_kept(text: str) -> None:
    """Text is kept as it is but for NUL; only what was not sent is counted."""
    decoder = TextDecoder()
    decoded = decoder.feed(("." + text).encode()) + decoder.feed(b"", final=True)

    assert "." + text.replace("\0", "\ufffd") == decoded
    assert text.count("\0") == decoder.replaced
