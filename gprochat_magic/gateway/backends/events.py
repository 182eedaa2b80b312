"""Server-sent events as a pure decoder: bytes go in as they arrive, the data of events comes out.

Names, ids and comments of events are of no use here and are left out. Beside it, `Halves` mends
characters that a server split between two pieces of text.
"""

from __future__ import annotations

import re

from gprochat_magic.messages import well_formed

LONGEST = 8 * 1024 * 1024
"""Bytes that one event may have; what is longer is no event of a chat."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_HIGH_HALF = re.compile(r"[\ud800-\udbff]\Z")


class EventTooLong(Exception):
    """An event passed the limit, so it is not decoded further."""


class EventDecoder:
    """Takes the bytes of an event stream, cut anywhere; gives the data of each finished event."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._return = b""
        self._data: list[str] = []
        self._size = 0
        self._begun = False

    def feed(self, received: bytes) -> list[str]:
        """The data of the events that these bytes finish. Raises `EventTooLong`."""
        lines = self._lines(received)
        if len(self._rest) > LONGEST:
            raise EventTooLong
        return self._events(lines)

    def end(self) -> list[str]:
        """The data of a last event that no blank line followed, if there is one."""
        return self._events([*self._lines(b"\n"), b""])

    def _lines(self, received: bytes) -> list[bytes]:
        """The lines that these bytes finish; each byte is looked at once, however long a line."""
        received, self._return = self._return + received, b""
        if received.endswith(b"\r"):
            # A line feed may still follow, and would then be part of the same line end.
            received, self._return = received[:-1], b"\r"
        first, *others = _LINE_END.split(received)
        self._rest += first
        if not others:
            return []
        lines = [bytes(self._rest), *others]
        self._rest = bytearray(lines.pop())
        if not self._begun:
            lines[0], self._begun = lines[0].removeprefix(_BOM), True
        return lines

    def _events(self, lines: list[bytes]) -> list[str]:
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._size += len(line)
                if self._size > LONGEST:
                    raise EventTooLong
                value = line[5:].removeprefix(b" ")
                self._data.append(value.decode("utf-8", "replace"))
            elif not line and self._data:
                events.append("\n".join(self._data))
                self._data.clear()
                self._size = 0
        return events


class Halves:
    """Joins the two halves of a character that came in two pieces of text."""

    def __init__(self) -> None:
        self._held = ""

    def join(self, piece: str) -> str:
        """The piece with a held half before it, and without one that its other half may follow."""
        if not self._held and piece.isascii():
            return piece
        piece, self._held = self._held + piece, ""
        if _HIGH_HALF.search(piece):
            piece, self._held = piece[:-1], piece[-1]
        return well_formed(piece)

    def end(self) -> str:
        """U+FFFD for a half whose other half never came."""
        held, self._held = self._held, ""
        return well_formed(held)
