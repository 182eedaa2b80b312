"""Server-sent events, cut anywhere."""

from __future__ import annotations

import pytest

from gprochat_magic.gateway.backends.events import LONGEST, EventDecoder, EventTooLong, Halves

STREAM = (
    "\ufeff: a comment\r\ndata: one\r\ndata:two\r\n\r\nevent: x\nid: 1\ndata:  жд\n\n"
    "data: three\r\rnonsense\n\n\ndata: last"
).encode()
EVENTS = ["one\ntwo", " жд", "three", "last"]


def decode(*received: bytes) -> list[str]:
    """The data of all events in these bytes."""
    decoder = EventDecoder()
    return [data for part in received for data in decoder.feed(part)] + decoder.end()


def test_events_are_the_same_wherever_the_bytes_are_cut() -> None:
    """Line ends of all kinds, comments, a byte order mark, and characters of several bytes."""
    cuts = [decode(STREAM[:cut], STREAM[cut:]) for cut in range(len(STREAM) + 1)]

    assert [EVENTS] * len(cuts) == cuts
    assert decode(*(bytes([byte]) for byte in STREAM)) == EVENTS


def test_only_a_stream_begins_with_a_byte_order_mark() -> None:
    """One that comes later is no mark, also where the first bytes came alone."""
    later = b"\xef\xbb\xbfdata: x\n\n"

    assert decode(b"\n" + later) == decode(b"\n", later) == []
    assert decode(later[:1], later[1:2], later[2:]) == decode(later) == ["x"]


def test_an_event_comes_as_soon_as_its_blank_line() -> None:
    """Nothing is held back until more arrives."""
    assert ["x"] == EventDecoder().feed(b"data: x\n\n")


@pytest.mark.parametrize("line", [b"data: xxxxxxxx\n", b"x"], ids=["lines", "one line"])
def test_an_event_without_end_is_given_up(line: bytes) -> None:
    """Memory stays bounded, whatever a server sends."""
    decoder, many = EventDecoder(), line * (2**20 // len(line))

    with pytest.raises(EventTooLong):
        any(decoder.feed(many) for _ in range(LONGEST // 2**20 + 2))


def test_halves_of_a_character_are_joined() -> None:
    """A server that counts in UTF-16 may cut an emoji in two."""
    halves = Halves()
    pieces = [halves.join(piece) for piece in ("a\ud83d", "\ude00b", "\ud83d", "c", "\ude00", "é")]

    assert ["a", "😀b", "", "\ufffdc", "\ufffd", "é"] == pieces
    assert halves.end() == ""


def test_a_half_without_its_other_half_is_replaced() -> None:
    """At the end as everywhere else."""
    halves = Halves()

    assert halves.join("\ud83d") == ""
    assert halves.end() == "\ufffd"
