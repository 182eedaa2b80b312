"""The access log's lines, by themselves."""

from __future__ import annotations

import contextlib
import io
import os

from gprochat_magic.gateway.journal import Journal
from gprochat_magic.gateway.record import Record


def line_of(record: Record) -> list[str]:
    """The words of a request's line."""
    out = io.StringIO()
    Journal(out)(record)
    return out.getvalue().split(" ")


def test_a_line_has_nine_words() -> None:
    """Whatever a stranger chose stays one word, is cut, and steers no terminal."""
    odd = Record("r1", "GE T", "/a b\x1b[2J\n" + "x" * 500 + "?secret", client="ada lovelace")
    odd.begin(404)
    odd.end()

    words = line_of(odd)

    assert 9 == len(words)
    assert ["ada%20lovelace", "GE%20T"] == words[1:3]
    assert words[3].startswith("/a%20b%1B%5B2J%0Axxx")
    assert len(words[3]) < 200
    assert ["404", "r1", "left\n"] == [words[4], words[7], words[8]]


def test_what_is_not_known() -> None:
    """No client, no status: a dash."""
    words = line_of(Record("r1", "POST", "/x?secret"))

    assert ["-", "POST", "/x", "-"] == words[1:5]


def test_a_log_that_nobody_reads() -> None:
    """A log whose reader has gone costs no request."""
    read, write = os.pipe()
    os.close(read)
    out = os.fdopen(write, "w")
    journal = Journal(out)

    journal(Record("r1", "POST", "/"))
    journal(Record("r2", "POST", "/"))

    with contextlib.suppress(BrokenPipeError):
        out.close()
