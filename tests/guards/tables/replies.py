"""Guards of a reply on its way in."""

from tests.guards.guard import Guard

_BEFORE = "tests/faults/test_before_reply.py::"
_BODY = "tests/faults/test_body.py::"
_STATUSES = "tests/faults/test_statuses.py::"

GUARDS = (
    Guard(
        "the framing proves the end",
        "transport.py",
        'return "complete" if self._framed else "unverified"',
        'return "complete"',
        (_BODY + "test_F45_end_not_proven",),
    ),
    Guard(
        "a body that breaks off is no end",
        "body.py",
        'raise StreamInterruptedError("the reply broke off before its end") from None',
        'return b""',
        (_BODY + "test_F40_content_length_short", _BODY + "test_F41_chunked_without_terminator"),
    ),
    Guard(
        "a compressed reply is refused",
        "attempt.py",
        "    if body.coded:\n",
        "    if False:\n",
        (_BODY + "test_F46_compressed",),
    ),
    Guard(
        "compression by Transfer-Encoding counts",
        "body.py",
        'content or self._codings("Transfer-Encoding") - {"identity", "chunked"}',
        "content",
        (_BODY + "test_F46_compressed",),
    ),
    Guard(
        "a reply has a largest size",
        "transport.py",
        "if size > wire.MAX_REPLY:",
        "if False:",
        (_BODY + "test_F48_to_the_byte",),
    ),
    Guard(
        "a large reply is cut to the byte",
        "transport.py",
        "text[: wire.MAX_REPLY - size]",
        "text",
        (_BODY + "test_F48_endless_reply", _BODY + "test_F48_to_the_byte"),
    ),
    Guard(
        "a silence has its own timer",
        "transport.py",
        "return Expiry(now + self.limits.idle, IdleTimeout, silent)",
        "return Expiry(self._deadline, DeadlineExceeded, silent)",
        (_BODY + "test_F50_silence_midway",),
    ),
    Guard(
        "a malformed body has the timer too",
        "transport.py",
        "        async with self._expiry(now):\n            return await body.read()\n",
        "        return await body.read()\n",
        (_BODY + "test_F43_bad_chunk_midway",),
    ),
    Guard(
        "the first byte has its own timer",
        "transport.py",
        "async with Expiry(until, FirstTokenTimeout, waited):",
        "async with Expiry(self._deadline, DeadlineExceeded, waited):",
        (_BEFORE + "test_F17_silence", _BEFORE + "test_F16_headers_that_drip"),
    ),
    Guard(
        "the whole has a timer: before the reply",
        "transport.py",
        "async with Expiry(self._deadline, DeadlineExceeded, self._late):",
        "if policy:",
        (_BODY + "test_F49_no_answer_within_the_whole",),
    ),
    Guard(
        "the whole has a timer: in a silence",
        "transport.py",
        "if self._deadline < now + self.limits.idle:",
        "if False:",
        (_BODY + "test_F49_silence_at_the_end_of_the_whole",),
    ),
    Guard(
        "the whole has a timer: with data at hand",
        "transport.py",
        "if now >= self._deadline:",
        "if False:",
        (_BODY + "test_F49_reader_that_is_always_behind",),
    ),
    Guard(
        "characters are joined over chunks",
        "decoder.py",
        "text = self._utf8.decode(data, final)",
        'text = data.decode("utf-8", "replace")',
        (_BODY + "test_F52_every_cut", "tests/test_decoder.py"),
    ),
    Guard(
        "half a character at the end is shown",
        "transport.py",
        'self._decoder.feed(b"", final=True)',
        'self._decoder.feed(b"")',
        (_BODY + "test_F54_ends_inside_a_character",),
    ),
    Guard(
        "a byte order mark is dropped",
        "decoder.py",
        'text = text.removeprefix("\\ufeff")',
        "pass",
        (_BODY + "test_F55_byte_order_mark",),
    ),
    Guard(
        "only the first byte order mark is dropped",
        "decoder.py",
        'text = text.removeprefix("\\ufeff")',
        'text = text.replace("\\ufeff", "")',
        (_BODY + "test_F55_byte_order_mark", "tests/test_decoder.py"),
    ),
    Guard(
        "NUL becomes U+FFFD",
        "decoder.py",
        'text = text.replace("\\0", "\\ufffd")',
        "pass",
        (_BODY + "test_F56_control_characters",),
    ),
    Guard(
        "a reply without text is an error",
        "transport.py",
        "            if not self._text:\n",
        "            if False:\n",
        (_STATUSES + "test_F30_no_text_in_the_body",),
    ),
    Guard(
        "a web page is no reply",
        "attempt.py",
        "    if kind in PAGES:\n",
        "    if False:\n",
        (_STATUSES + "test_F31_web_page",),
    ),
    Guard(
        "an error object is no reply",
        "attempt.py",
        "if is_object and refusal.is_error_object(await body.gather()):",
        "if False:",
        (_STATUSES + "test_F32_error_object",),
    ),
    Guard(
        "the connection is closed however it ends",
        "transport.py",
        "            if body is not None:\n                body.close()\n",
        "            pass\n",
        (_BODY + "test_F48_endless_reply", _BODY + "test_F50_silence_midway"),
    ),
)
