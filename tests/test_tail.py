"""What comes behind the text of a reply, and that nothing does unless it was asked for."""

from __future__ import annotations

import pytest

from gprochat_magic.tail import Tail, tail

WHOLE = "tail of a réponse".encode() + tail(12, 345)


def cut(data: bytes, size: int, *, announced: bool) -> tuple[bytes, tuple[int, int] | None]:
    """What is text in the bytes, fed in pieces of a size, and the tokens behind it."""
    taken = Tail(announced=announced)
    text = [taken.cut(data[start : start + size]) for start in range(0, len(data), size)]
    return b"".join(text), taken.tokens


@pytest.mark.parametrize("size", range(1, len(WHOLE) + 1))
def test_it_is_found_however_it_is_cut(size: int) -> None:
    """Text and numbers are the same at every cut."""
    assert ("tail of a réponse".encode(), (12, 345)) == cut(WHOLE, size, announced=True)


def test_unannounced_bytes_are_all_text() -> None:
    """The body of the plain protocol is passed on to the last byte."""
    assert (WHOLE, None) == cut(WHOLE, 7, announced=False)


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\xff",
        b"\xff{",
        b"\xff[1]",
        b'\xff{"sent": -1, "received": 2}',
        b'\xff{"sent": true, "received": 2}',
        b"\xff" + b"1" * 999,
    ],
)
def test_nonsense_tells_nothing(behind: bytes) -> None:
    """A gateway may be anybody's; what it tells is looked at."""
    assert (b"text", None) == cut(b"text" + behind, 3, announced=True)
