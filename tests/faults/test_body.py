"""Faults in the body: text is kept, and nothing is called complete that is not proven."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import gzip
import hashlib
import itertools
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gprochat_magic import errors, wire
from gprochat_magic.limits import Limits
from gprochat_magic.target import Pool
from tests.faults import (
    CANARY,
    CHUNKED,
    END,
    Connection,
    RawServer,
    chunk,
    drip,
    half_close,
    head,
    hold,
    once_heard,
    play,
    reset,
    send,
    serving,
    settle,
    whole,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("no_leaks")]

PRIVET = "Привет, как дела? 🙂"
BRIEF = Limits(total=20, connect=5, first_byte=10, idle=0.3)


async def close(connection: Connection) -> None:
    """A step that does nothing: the end of the script closes the connection."""


@pytest.mark.parametrize("ending", [close, reset, half_close], ids=lambda step: step.__name__)
async def test_F40_content_length_short(ending: Any) -> None:
    """A body shorter than its length is interrupted, and never asked for again."""
    answer = head("Content-Length: 99") + b"Hal"
    async with serving(play(answer, once_heard, ending)) as raw:
        outcome = await send(raw, sent="Hal")

    assert (errors.StreamInterruptedError, "interrupted") == (outcome.kind, outcome.state)
    assert ("Hal", 1, 1) == (outcome.text, outcome.attempts, outcome.requests)


async def test_F41_chunked_without_terminator() -> None:
    """A chunked body without its last chunk is interrupted, also where all of it came at once."""
    async with serving(play(head(CHUNKED) + chunk("Hal") + chunk("lo"))) as raw:
        outcome = await send(raw, sent="Hallo")

    assert (errors.StreamInterruptedError, "interrupted") == (outcome.kind, outcome.state)
    assert ("Hallo", 1) == (outcome.text, outcome.attempts)


async def test_F41_cut_in_the_first_character() -> None:
    """A body that broke off inside its first character is not asked for again: a byte had come."""
    first = PRIVET.encode()[:1]
    async with serving(play(head(CHUNKED) + chunk(first), settle)) as raw:
        outcome = await send(raw, sent=PRIVET)

    assert (errors.StreamInterruptedError, "failed", 1) == (
        outcome.kind,
        outcome.state,
        outcome.requests,
    )


async def test_F41_reader_that_was_busy_while_it_broke() -> None:
    """What arrived before the break is not lost on a reader that was busy elsewhere."""
    broken = asyncio.Event()

    async def more(connection: Connection) -> None:
        await connection.server.heard.wait()
        await connection.send(chunk("lo"))
        connection.writer.close()
        await connection.writer.wait_closed()
        await settle(connection)
        broken.set()

    async with serving(play(head(CHUNKED) + chunk("Hal"), more)) as raw:
        outcome = await send(raw, sent="Hallo", on_piece=broken.wait)

    assert ("Hallo", "interrupted") == (outcome.text, outcome.state)


async def test_F42_reset_midway() -> None:
    """A reset in the middle keeps the text."""
    async with serving(play(head(CHUNKED) + chunk("Hal"), once_heard, reset)) as raw:
        outcome = await send(raw, sent="Hal")

    assert (errors.StreamInterruptedError, "interrupted") == (outcome.kind, outcome.state)
    assert ("Hal", 1) == (outcome.text, outcome.attempts)


@pytest.mark.parametrize("ending", [hold, close], ids=["open", "closed"])
@pytest.mark.parametrize(
    "bad", [b"zz\r\nlo\r\n", b"2\r\nloXX2\r\nlo\r\n", b"-2\r\nlo\r\n", b"f" * 40 + b"\r\nlo"]
)
async def test_F43_bad_chunk_midway(bad: bytes, ending: Any) -> None:
    """A chunk that is malformed ends the send within the idle limit, connection closed or not."""
    async with serving(play(head(CHUNKED) + chunk("Hal"), once_heard, bad, ending)) as raw:
        outcome = await asyncio.wait_for(send(raw, sent="Hallo", limits=BRIEF), 5)

    assert isinstance(outcome.error, errors.StreamInterruptedError)
    assert ("interrupted", 1) == (outcome.state, outcome.attempts)
    assert outcome.text in ("Hal", "Hallo")


@pytest.mark.parametrize("headers", [CHUNKED, "Content-Length: 99"])
async def test_F44_half_close(headers: str) -> None:
    """A server that closes its direction only is as one that closes both."""
    body = chunk("Hal") if headers == CHUNKED else b"Hal"
    async with serving(play(head(headers) + body, once_heard, half_close)) as raw:
        outcome = await send(raw, sent="Hal")

    assert (errors.StreamInterruptedError, "Hal") == (outcome.kind, outcome.text)
    assert "interrupted" == outcome.state


@pytest.mark.parametrize("ending", [close, reset, half_close], ids=lambda step: step.__name__)
@pytest.mark.parametrize(
    "framing", [(), ("Transfer-Encoding: identity",), ("Connection: close",)], ids=str
)
async def test_F45_end_not_proven(framing: tuple[str, ...], ending: Any) -> None:
    """Without length or chunks the text is kept, wherever it was cut, and called unverified."""
    body = "Да 🙂".encode()
    for cut in range(1, len(body) + 1):
        answer = head(*framing) + body[:cut]
        async with serving(play(answer, settle, ending)) as raw:
            outcome = await send(raw, sent=body)

        text = body[:cut].decode("utf-8", "replace")
        assert (text, "unverified", None) == (outcome.text, outcome.state, outcome.error)


async def test_F45_nothing_at_all() -> None:
    """Without length or chunks, no byte of a body is no reply."""
    async with serving(play(head())) as raw:
        outcome = await send(raw)

    assert (errors.EmptyReplyError, "failed", 1) == (outcome.kind, outcome.state, outcome.attempts)


PACKED = {
    "gzip": gzip.compress(b"fine"),
    "deflate": zlib.compress(b"fine"),
    "br": b"\x0b\x01\x80fine\x03",
    "x-unknown": b"fine",
    "identity, gzip": gzip.compress(b"fine"),
}


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("header", ["Content-Encoding", "Transfer-Encoding"])
async def test_F46_compressed(coding: str, header: str) -> None:
    """A compressed reply is refused, whole or cut, by either header."""
    for body in (PACKED[coding], PACKED[coding][:-4]):
        async with serving(play(head(f"{header}: {coding}"), body)) as raw:
            outcome = await send(raw)
            request = raw.requests[0]

        assert (errors.ProtocolError, "failed") == (outcome.kind, outcome.state)
        assert ("", 1) == (outcome.text, outcome.attempts)
        assert "identity" == request.headers["accept-encoding"]


async def test_F46_identity_is_no_compression() -> None:
    """A reply that says it is not compressed is a reply."""
    async with serving(play(whole("fine", "Content-Encoding: identity"))) as raw:
        outcome = await send(raw, sent="fine")

    assert ("fine", "complete") == (outcome.text, outcome.state)


async def weighed(raw: RawServer) -> dict[str, Any]:
    """A send from a process of its own: how it ended, and what it cost."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.weighed",
        raw.url,
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await child.communicate()
    result: dict[str, Any] = json.loads(told)
    return result


async def test_F47_gzip_bomb() -> None:
    """Three hundred megabytes packed into 300 kB are not unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"\0" * 2**20
    bomb = b"".join(packer.compress(block) for _ in range(300)) + packer.flush()
    answer = head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb
    async with serving(play(answer)) as raw:
        cost = await weighed(raw)

    assert ("ProtocolError", "failed", 0) == (cost["error"], cost["state"], cost["size"])
    assert cost["grown"] < 20 * 2**20


async def test_F48_endless_reply() -> None:
    """A reply of 100 MB is cut at 8 MiB to the byte, and its connection is closed."""
    sent = 0

    async def flood(connection: Connection) -> None:
        nonlocal sent
        block = b"x" * 2**20
        for _ in range(100):
            await connection.send(block)
            sent += len(block)

    async with serving(play(head(), flood)) as raw:
        cost = await weighed(raw)

    assert ("ReplyTooLargeError", "interrupted") == (cost["error"], cost["state"])
    assert 8 * 2**20 == cost["size"]
    assert cost["grown"] < 64 * 2**20
    assert sent < 40 * 2**20


@pytest.mark.parametrize(("size", "state"), [(2**23, "complete"), (2**23 + 1, "interrupted")])
async def test_F48_to_the_byte(size: int, state: str) -> None:
    """A reply of exactly the limit is complete; one byte more is not, and is not in the text."""
    async with serving(play(whole("x" * size))) as raw:
        outcome = await send(raw, sent="x" * size)

    assert (state, 2**23) == (outcome.state, len(outcome.text))


async def test_F48_cut_inside_a_character() -> None:
    """A cut inside a character leaves that character out."""
    text = "x" + "я" * 2**22
    async with serving(play(whole(text))) as raw:
        outcome = await send(raw, sent=text)

    assert errors.ReplyTooLargeError is outcome.kind
    assert text[:-1] == outcome.text


async def test_F49_drip() -> None:
    """A reply that drips within the idle limit ends at the limit for the whole."""
    limits = Limits(total=1, connect=5, first_byte=10, idle=0.5)
    async with serving(play(head(CHUNKED), drip([chunk("x")] * 100, seconds=0.1))) as raw:
        outcome = await send(raw, sent="x" * 100, limits=limits)

    assert (errors.DeadlineExceeded, "interrupted") == (outcome.kind, outcome.state)
    assert isinstance(outcome.error, TimeoutError)
    assert outcome.text.startswith("xxx")


async def test_F49_reader_that_is_always_behind() -> None:
    """The limit for the whole holds too where there is always something to read."""
    flow = play(head(CHUNKED), drip([chunk("x" * 1000)] * 10_000, seconds=0))

    async def slowly() -> None:
        await asyncio.sleep(0.05)

    async with serving(flow) as raw:
        outcome = await send(raw, limits=Limits(total=0.5), on_piece=slowly)

    assert (errors.DeadlineExceeded, "interrupted") == (outcome.kind, outcome.state)


async def test_F49_silence_at_the_end_of_the_whole() -> None:
    """A silence is not waited out beyond the limit for the whole."""
    async with serving(play(head(CHUNKED) + chunk("Hal"), hold)) as raw:
        outcome = await send(raw, sent="Hal", limits=Limits(total=0.3, idle=10))

    assert (errors.DeadlineExceeded, "interrupted") == (outcome.kind, outcome.state)


async def test_F49_no_answer_within_the_whole() -> None:
    """The limit for the whole covers what comes before the reply as well."""
    async with serving(play(hold)) as raw:
        outcome = await send(raw, limits=Limits(total=0.3))

    assert (errors.DeadlineExceeded, "failed", 1) == (outcome.kind, outcome.state, outcome.requests)


@pytest.mark.parametrize("framing", [CHUNKED, "Content-Length: 99", "X-Framing: none"])
async def test_F50_silence_midway(framing: str) -> None:
    """A reply that falls silent ends after the idle limit, its text kept."""
    body = chunk("Hal") if framing == CHUNKED else b"Hal"
    async with serving(play(head(framing) + body, hold)) as raw:
        outcome = await send(raw, sent="Hal", limits=BRIEF)

    assert (errors.IdleTimeout, "interrupted", "Hal") == (
        outcome.kind,
        outcome.state,
        outcome.text,
    )
    assert isinstance(outcome.error, TimeoutError)
    assert 1 == outcome.attempts


async def test_F51_extra_bytes() -> None:
    """Bytes after the length are no part of the reply, and their connection is not used again."""
    extra = play(whole("fine") + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", hold)
    async with serving(extra, play(whole("next"))) as raw, contextlib.aclosing(Pool()) as pool:
        first = await send(raw, sent="fine", pool=pool)
        second = await send(raw, sent="next", pool=pool)

    assert ("fine", "complete") == (first.text, first.state)
    assert ("next", "complete", 2) == (second.text, second.state, second.connections)


async def test_F52_every_cut() -> None:
    """A text cut in two at any byte arrives exact."""
    body = ("\ufeffПривет 🙂 e\u0301 漢字\r\n\ufeff\ufffd" * 2).encode()
    expected = body.decode("utf-8-sig")
    for cut in range(1, len(body)):
        pieces = head(CHUNKED) + chunk(body[:cut]), settle, chunk(body[cut:]) + END
        async with serving(play(*pieces)) as raw:
            outcome = await send(raw, sent=expected)

        assert (expected, "complete", 0) == (outcome.text, outcome.state, outcome.replaced)


async def test_F52_byte_by_byte() -> None:
    """A text served one byte at a time arrives exact."""
    pieces = [chunk(bytes([byte])) for byte in PRIVET.encode()]
    steps = [step for piece in pieces for step in (piece, settle)]
    async with serving(play(head(CHUNKED), *steps, END)) as raw:
        outcome = await send(raw, sent=PRIVET)

    assert (PRIVET, "complete") == (outcome.text, outcome.state)
    assert list(PRIVET) == outcome.pieces


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(min_size=1, max_size=40), cuts=st.lists(st.integers(0, 160), max_size=8))
async def test_F52_any_text_any_cuts(text: str, cuts: list[int]) -> None:
    """Any text, cut anywhere, arrives exact but for NUL and a leading byte order mark."""
    body = ("." + text).encode()
    edges = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]
    steps = [step for piece in pieces for step in (chunk(piece), settle)]

    async with serving(play(head(CHUNKED), *steps, END)) as raw:
        outcome = await send(raw)

    assert ("." + text.replace("\0", "\ufffd"), "complete") == (outcome.text, outcome.state)


@pytest.mark.parametrize(
    ("body", "text", "replaced"),
    [
        (b"a\xffb", "a\ufffdb", 1),
        (b"\xff\xfe\xfd", "\ufffd" * 3, 3),
        (b"\xc3(", "\ufffd(", 1),
        (b"\xed\xa0\x80", "\ufffd" * 3, 3),
        (b"\xf0\x9f\x99x", "\ufffdx", 1),
        (b"ok\xef\xbf\xbdok", "ok\ufffdok", 0),
        (b"\xef\xbf\xbd\xff\xef\xbf\xbd", "\ufffd" * 3, 1),
    ],
)
async def test_F53_invalid_utf8(body: bytes, text: str, replaced: int) -> None:
    """Bytes that are no text become U+FFFD and are counted; the rest of the reply goes on."""
    for pieces in ([body + b"!"], [bytes([byte]) for byte in body + b"!"]):
        steps = [step for piece in pieces for step in (chunk(piece), settle)]
        async with serving(play(head(CHUNKED), *steps, END)) as raw:
            outcome = await send(raw, sent=body + b"!")

        assert (text + "!", "complete") == (outcome.text, outcome.state)
        assert replaced == outcome.replaced


@pytest.mark.parametrize(
    ("framing", "state"), [("Content-Length: 6", "complete"), ("X-None: 1", "unverified")]
)
async def test_F54_ends_inside_a_character(framing: str, state: str) -> None:
    """A reply that ends inside a character ends with U+FFFD; the framing says how it ended."""
    body = b"abc" + "🙂".encode()[:3]
    async with serving(play(head(framing) + body)) as raw:
        outcome = await send(raw, sent=body)

    assert ("abc\ufffd", state, 1) == (outcome.text, outcome.state, outcome.replaced)


async def test_F55_byte_order_mark() -> None:
    """One byte order mark at the start is removed, whole or in three; later ones are text."""
    body = codecs.BOM_UTF8 * 2 + "да".encode() + codecs.BOM_UTF8
    for pieces in ([body], [bytes([byte]) for byte in body]):
        steps = [step for piece in pieces for step in (chunk(piece), settle)]
        async with serving(play(head(CHUNKED), *steps, END)) as raw:
            outcome = await send(raw)

        assert ("\ufeffда\ufeff", "complete") == (outcome.text, outcome.state)


async def test_F56_control_characters() -> None:
    """Control characters are kept as they were sent, but for NUL."""
    text = "\x1b]8;;http://x\x07link\x1b]52;c;eA==\x07\x1b]0;title\x07\r\b\x7f\x9b\t\n"
    async with serving(play(whole("\0" + text + "\0"))) as raw:
        outcome = await send(raw)

    assert (f"\ufffd{text}\ufffd", "complete") == (outcome.text, outcome.state)
    assert 2 == outcome.replaced


async def test_F57_many_small_chunks() -> None:
    """A hundred thousand chunks of a byte arrive exact and cost little."""
    text = ("abcdefghij" * 10_000).encode()

    async def flow(connection: Connection) -> None:
        for at in range(len(text)):
            await connection.send(chunk(text[at : at + 1]))
            if at % 10 == 0:
                await asyncio.sleep(0)
        await connection.send(END)

    async with serving(play(head(CHUNKED), flow)) as raw:
        cost = await weighed(raw)

    assert ("", "complete", 100_000) == (cost["error"], cost["state"], cost["size"])
    assert hashlib.sha256(text).hexdigest() == cost["digest"]
    assert cost["seconds"] < 5


@pytest.mark.parametrize("prompt", ["a\ud83db", "\udc00", "\ude42\ud83d", "🙂\ud83d"])
async def test_F58_lone_surrogates(prompt: str) -> None:
    """Half a character in a prompt is replaced before it is signed, so the signature holds."""
    async with serving() as raw:
        outcome = await send(raw, sent="fine", prompt=prompt)
        content = raw.requests[0].content

    text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in prompt)
    assert "complete" == outcome.state
    assert text == content["messages"][0]["parts"][0]["text"]
    assert wire.sign(content["time"], text, CANARY) == content["sign"]


async def test_F59_prompt_too_large() -> None:
    """A prompt over the gateway's limit is refused before anything is sent, with its size."""
    async with serving() as raw:
        outcome = await send(raw, prompt="я" * (wire.MAX_BODY // 2))

    assert (errors.BadRequestError, 0, 0) == (outcome.kind, outcome.attempts, outcome.connections)
    assert "4.0 MiB" in str(outcome.error)


async def test_F59_prompt_that_just_fits() -> None:
    """A prompt just below the limit is sent."""
    fits = "x" * (wire.MAX_BODY - 1000)
    async with serving() as raw:
        outcome = await send(raw, prompt=fits, sent="fine")

    assert "complete" == outcome.state
    assert wire.MAX_BODY - 1000 < len(raw.requests[0].body) <= wire.MAX_BODY
