"""What may come behind the text of a reply: how many tokens it cost.

The body of a reply is text and nothing else, unless the sender asked for more in a header and the
gateway says in one that it comes. Then a byte that no UTF-8 text holds ends the text, and JSON
follows it, so whatever stands between the two passes both on without knowing.
"""

from __future__ import annotations

import json

HEADER = "x-gprochat-usage"
"""In a request: tell it; in an answer: it may come."""
WANTED = "end"
"""The value of the header."""

_MARK = b"\xff"
_LONGEST = 200


def tail(sent: int, received: int) -> bytes:
    """The bytes that tell of so many tokens."""
    return _MARK + json.dumps({"sent": sent, "received": received}).encode()


def _is_count(*numbers: int) -> bool:
    # A bool is an int to Python.
    return all(type(number) is int and 0 <= number < 1 << 53 for number in numbers)


class Tail:
    """Takes the bytes of a body, cut anywhere; gives those of the text and keeps the rest.

    Where nothing was `announced`, every byte belongs to the text.
    """

    def __init__(self, *, announced: bool = False) -> None:
        self._announced = announced
        self._met = False
        self._rest = b""

    def cut(self, data: bytes) -> bytes:
        """What of these bytes is text."""
        if not self._announced:
            return data
        if self._met:
            text, behind = b"", data
        else:
            text, mark, behind = data.partition(_MARK)
            self._met = bool(mark)
        self._rest = (self._rest + behind)[:_LONGEST]
        return text

    @property
    def tokens(self) -> tuple[int, int] | None:
        """The tokens sent and received; None where nobody told, or nonsense."""
        try:
            told = json.loads(self._rest)
        except ValueError:
            return None
        match told:
            case {"sent": int(sent), "received": int(received)} if _is_count(sent, received):
                return sent, received
        return None
