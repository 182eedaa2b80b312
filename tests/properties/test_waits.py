"""What a server says of itself in headers and in words: waits, and errors."""

from __future__ import annotations

import json
import math
from email.utils import format_datetime, formatdate
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gprochat_magic import refusal
from gprochat_magic.config import Secret
from gprochat_magic.errors import RateLimitError
from gprochat_magic.gateway.backends.complaints import refused
from gprochat_magic.retry import LONGEST_WAIT, Policy, retry_after
from tests.properties import tried

DATE = st.datetimes().map(lambda when: format_datetime(when)) | st.integers(0, 2**33).map(
    formatdate
)
WORDS = st.sampled_from(
    ["Mon,", "1", "Jan", "1-Jan-", "2024", "10:00:00", "99:99", "GMT", "+9999", "-", ","]
)
SAID = (
    st.floats().map(str)
    | st.integers().map(str)
    | DATE
    | st.lists(WORDS, max_size=6).map(" ".join)
    | st.text(max_size=12)
    | st.sampled_from(["1e999", "-1e999", "nan", "-0", "1_0", "Mon, 01 Jan 100000 00:00:00 GMT"])
)
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), SAID)
HALVES = st.sampled_from(["\ud83d", "\ude00", "a\ud800", "\udfffb", "😀"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | HALVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
ERROR = st.dictionaries(st.sampled_from(["message", "code", "type", "details", "x"]), JSON)


@tried(4)
@given(HEADERS)
def test_F27_a_wait_is_a_wait(headers: dict[str, str]) -> None:
    """Whatever the headers say: nothing, or above zero; and nobody sleeps longer than a minute."""
    asked = retry_after(headers)
    assert asked is None or asked > 0

    error = RateLimitError("slow down", status=429, retry_after=asked, retryable=True)
    delay = Policy(2, lambda waiting: None).again(error)
    assert delay is None or 0 < delay <= LONGEST_WAIT
    assert delay is not None or (asked or 0) > LONGEST_WAIT


@tried()
@given(st.integers(1, 2**32), st.integers(-(10**6), 10**6))
def test_F26_a_date_counts_from_the_servers_own(now: int, off: int) -> None:
    """An HTTP date asks for the seconds between it and the answer's date, if any are left."""
    headers = {
        "retry-after": formatdate(max(1, now + off), usegmt=True),
        "date": formatdate(now, usegmt=True),
    }
    wait = max(1, now + off) - now

    assert (wait if wait > 0 else None) == retry_after(headers)


@tried(2)
@given(
    st.dictionaries(st.sampled_from(["error", "detail", "x"]), JSON | ERROR),
    st.integers(400, 599),
    HEADERS,
)
@example({"error": "\ud800"}, 400, {})
def test_F20_any_error_object_is_told(
    value: dict[str, Any], status: int, headers: dict[str, str]
) -> None:
    """Whatever a server says in its error, there are words that can be shown, sent and kept."""
    body = json.dumps(value).encode()
    words = refusal.words(body)
    assert len(words.encode()) <= refusal.MOST_WORDS
    assert words == " ".join(words.split())

    error = refused(status, headers, body, where="x", key=Secret())
    assert error.message.encode()
    assert 400 <= error.status < 600
    assert error.retry_after is None or 0 < error.retry_after < math.inf


@tried()
@given(st.binary(max_size=80))
def test_F23_any_bytes_are_told(body: bytes) -> None:
    """Bytes that are no error of ours become words without control characters."""
    for words in (
        refusal.words(body),
        refusal.words(b"<title>" + body),
        refusal.words(b"{" + body),
    ):
        words.encode()
        assert words.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in words)
