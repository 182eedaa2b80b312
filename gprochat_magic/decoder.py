"""The bytes of a reply as text, however they are cut."""

from __future__ import annotations

import codecs


class TextDecoder:
    """Bytes to text however cut: UTF-8, a leading BOM dropped, NUL and bad bytes U+FFFD."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._tail = b""  # a U+FFFD that was really sent may arrive in pieces
        self.replaced = 0
        """How many characters of the text so far stand for bytes that could not be shown."""

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The text that these bytes complete; `final` turns half a character into U+FFFD."""
        text = self._utf8.decode(data, final)
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if "\ufffd" in text or "\0" in text:
            text = text.replace("\0", "\ufffd")
            self.replaced += text.count("\ufffd") - (self._tail + data).count(b"\xef\xbf\xbd")
        self._tail = (self._tail + data)[-2:]
        return text
