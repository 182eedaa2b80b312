"""The access log: a line for each request, with no word of prompt or reply in it."""

from __future__ import annotations

import datetime
import re
from typing import TextIO

from gprochat_magic.gateway.record import Record

_PLAIN = re.compile(r"[^A-Za-z0-9._@/+-]")
_LONGEST = 64


class Journal:
    """Writes a line for each request that is over.

    `time client method path status seconds bytes request-id ending`, apart by blanks; `-` stands
    for what is not known. What a stranger chose is cut, without blanks and control characters.
    """

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO | None = out

    def __call__(self, record: Record) -> None:
        """Write the line of a request. A log that cannot be written costs no reply."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        # A query is no part of any request of ours, and who knows what is in it.
        path = record.path.partition("?")[0]
        words = [
            now.replace("+00:00", "Z"),
            _word(record.client),
            _word(record.method),
            _word(path),
            str(record.status or "-"),
            f"{record.seconds:.3f}",
            str(record.size),
            record.request_id,
            record.ending,
        ]
        if self._out is None:
            return
        try:
            self._out.write(" ".join(words) + "\n")
            self._out.flush()
        except OSError:
            self._out = None  # whoever read it has gone


def _word(text: str) -> str:
    return _PLAIN.sub(_escaped, text[:_LONGEST]) or "-"


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))
