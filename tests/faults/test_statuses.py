"""Statuses: which are tried again, after how long, and what is said of those that are not."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from gprochat_magic import errors, gateway, wire
from gprochat_magic.clock import Clock
from gprochat_magic.messages import Messages
from gprochat_magic.target import Target
from tests.conftest import Mocked
from tests.faults import CANARY, QUICK, chunk, head, play, send, serving, whole

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("no_leaks")]

URL = "https://host.invalid/api/generate?key=query-canary"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def answer(mocked: Mocked, status: int, body: str | bytes = "", **headers: str) -> None:
    """Queue an answer; underscores in names of headers are dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    mocked.post(URL, status=status, body=body, headers=named)


def reply(mocked: Mocked, text: str = "fine") -> None:
    """Queue a whole reply."""
    answer(mocked, 200, text, Content_Length=str(len(text.encode())), Content_Type="text/plain")


def requests(mocked: Mocked) -> int:
    """How many requests were made."""
    return sum(map(len, mocked.requests.values()))


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_F20_request_refused(mocked: Mocked, waits: list[float], status: int) -> None:
    """A refused request is not made again; the server's words are told in plain text."""
    answer(mocked, status, "no \x1b[31msuch\x00 model", Content_Type="text/plain")
    outcome = await send(URL)

    assert (errors.BadRequestError, 1, "failed") == (outcome.kind, outcome.attempts, outcome.state)
    assert outcome.error is not None
    assert f"the server answered {status}: no [31msuch model" == str(outcome.error)
    assert status == outcome.error.status
    assert not outcome.error.retryable


@pytest.mark.parametrize("body", ["x" * 100_000, "я" * 50_000, "{" + "x" * 100_000])
async def test_F20_long_words_are_cut(mocked: Mocked, body: str) -> None:
    """At most two kilobytes of an error body are kept."""
    answer(mocked, 400, body)
    outcome = await send(URL)

    assert outcome.error is not None
    assert 1000 < len(str(outcome.error).encode()) <= 2048 + len("the server answered 400: ")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no such model", "code": 7}},
        {"error": "no such model"},
        {"detail": "no such model"},
        {"message": "no such model", "code": 7},
        {"error": True, "message": "no such model"},
        {"error": {"message": "no such model"}, "padding": "x" * 10_000},
    ],
)
async def test_F20_error_objects_are_their_message(mocked: Mocked, body: dict[str, Any]) -> None:
    """Of an error object only its message is told, wherever the common servers put it."""
    answer(mocked, 400, json.dumps(body), Content_Type="application/json")
    outcome = await send(URL)

    assert "the server answered 400: no such model" == str(outcome.error)


@pytest.mark.parametrize("padding", [0, 2040, 2048 - len("the server answered 400: ")])
async def test_F20_server_that_repeats_the_secret(mocked: Mocked, padding: int) -> None:
    """A server that repeats secret or signature, also across the cut, does not get them shown."""
    sent: dict[str, str] = {}

    def told(url: object, **options: Any) -> None:
        sent.update(options["headers"], sign=json.loads(options["data"])["sign"])

    mocked.post(URL, status=400, body=" " + "x" * padding + CANARY, callback=told)
    outcome = await send(URL)

    assert outcome.error is not None
    assert CANARY[:4] not in str(outcome.error)


@pytest.mark.parametrize("repeats", [lambda r: r.body, lambda r: r.head])
async def test_F20_server_that_repeats_the_request(repeats: Any) -> None:
    """A server that repeats the request back does not get its signatures shown."""

    async def script(connection: Any) -> None:
        request = await connection.request()
        await connection.send(head("Connection: close", status="400 Bad") + repeats(request))

    async with serving(script) as raw:
        outcome = await send(raw)
        request = raw.requests[0]

    assert outcome.error is not None
    for signature in (request.content["sign"], request.headers[wire.SIGNATURE_HEADER]):
        assert signature not in str(outcome.error)


async def test_F20_error_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status is told although its body never ends."""
    monkeypatch.setattr("gprochat_magic.body.GATHERING", 0.2)

    async def forever(connection: Any) -> None:
        await connection.reader.read()

    async with serving(play(head("Content-Length: 9", status="404 No") + b"lost", forever)) as raw:
        outcome = await send(raw)

    assert "the server answered 404: lost" == str(outcome.error)


async def test_F20_compressed_error_body(mocked: Mocked) -> None:
    """A compressed error body is left out rather than shown as noise."""
    answer(mocked, 400, b"\x1f\x8b\x08noise", Content_Encoding="gzip")
    outcome = await send(URL)

    assert "the server answered 400" == str(outcome.error)


async def test_F21_bad_signature(mocked: Mocked) -> None:
    """A refused signature is told once, with where the secret is set."""
    answer(mocked, 401, "bad signature")
    outcome = await send(URL)

    assert (errors.AuthError, 1, 1) == (outcome.kind, outcome.attempts, requests(mocked))
    assert outcome.error is not None
    assert "GPROCHAT_SECRET_KEY" in outcome.error.hint


class Server:
    """A server whose clock differs: it refuses what is more than five minutes off."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def __call__(self, connection: Any) -> None:
        """The script."""
        request = await connection.request()
        now = time.time() + self.seconds
        date = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
        late = abs(request.content["time"] / 1000 - now) > 300
        await connection.send(whole("skew", date, status="401 No") if late else whole("fine"))


@pytest.mark.parametrize("seconds", [600, -600, 86_400])
async def test_F22_clock_skew(waits: list[float], seconds: float) -> None:
    """A clock that is off is learnt from the server, once: the next send is right at once."""
    clock = Clock()
    async with serving(Server(seconds)) as raw:
        first = await send(raw, sent="fine", clock=clock)
        second = await send(raw, sent="fine", clock=clock)
        times = [request.content["time"] for request in raw.requests]

    assert ("complete", 2) == (first.state, first.attempts)
    assert ("complete", 1) == (second.state, second.attempts)
    assert times[-2] < times[-1]
    assert not any(waits)


async def test_F22_skew_that_stays(waits: list[float]) -> None:
    """A server that goes on to blame the clock is asked twice."""
    far = whole("skew", f"Date: {DATE}", status="401 No")
    nearer = whole("skew", "Date: Sun, 06 Nov 2005 08:49:37 GMT", status="401 No")
    async with serving(play(far), play(nearer)) as raw:
        outcome = await send(raw)

    assert (errors.AuthError, 2) == (outcome.kind, outcome.attempts)
    assert outcome.error is not None
    assert "clock" in outcome.error.hint


async def test_F22_one_server_does_not_set_the_clock_of_another() -> None:
    """What one server's clock shows changes no timestamp for another."""
    clock = Clock(lambda: 1_000_000.0)
    before = clock.now("https://a.example/x")
    clock.learn("https://b.example/x", 5_000_000.0)
    after = clock.now("https://a.example/x")

    assert (1_000_000_000, 1_000_000_001) == (before, after)
    assert 5_000_000_000 == clock.now("https://b.example/y")


PAGE = "<!DOCTYPE html><html><head><title>Just a\n moment &amp; more</title></head>{}</html>"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("not yours", ": not yours"),
        (PAGE.format("<script>challenge()</script>" * 500), ": Just a moment & more"),
        ("<html><p>no title</p></html>", ": a web page"),
    ],
)
async def test_F23_forbidden(mocked: Mocked, body: str, said: str) -> None:
    """A 403 is an error of rights; a challenge page is told by its title."""
    answer(mocked, 403, body, Content_Type="text/html")
    outcome = await send(URL)

    assert (errors.AuthError, 1) == (outcome.kind, outcome.attempts)
    assert f"the server answered 403{said}" == str(outcome.error)


class Echo:
    """A backend that repeats the last message."""

    name = "echo"

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The last message."""
        yield str(messages[-1]["content"])


class Stuck(Clock):
    """A clock that gives each timestamp twice."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []

    def now(self, endpoint: str = "") -> int:
        """The last timestamp if it was given only once, else a new one."""
        if len(self.given) % 2 == 0:
            self.given.append(super().now(endpoint))
        else:
            self.given.append(self.given[-1])
        return self.given[-1]


async def test_F24_replay(waits: list[float]) -> None:
    """A request taken for a replay is made once more with a larger timestamp."""
    served = await gateway.start(backend=Echo(), unix=False)
    try:
        clock, target = Stuck(), Target(served.endpoint, served.secret)
        first = await send(served.endpoint, target=target, clock=clock, sent="hello")
        second = await send(served.endpoint, target=target, clock=clock, sent="hello")
    finally:
        await served.close()

    assert ("complete", 1) == (first.state, first.attempts)
    assert ("complete", 2) == (second.state, second.attempts)
    assert clock.given[0] == clock.given[1] < clock.given[2]


async def test_F24_replay_that_stays(mocked: Mocked, waits: list[float]) -> None:
    """A server that calls everything a replay is asked twice."""
    for _ in range(3):
        answer(mocked, 409, "replay")
    outcome = await send(URL)

    assert (errors.BadRequestError, 2) == (outcome.kind, outcome.attempts)


@pytest.mark.parametrize(
    ("header", "value", "seconds"),
    [
        ("Retry-After", "7", 7),
        ("Retry-After", "0.25", 0.25),
        ("Retry-After", "60", 60),
        ("retry-after-ms", "1500", 1.5),
    ],
)
async def test_F25_too_many_requests(
    mocked: Mocked, waits: list[float], header: str, value: str, seconds: float
) -> None:
    """A 429 is waited for exactly as long as the server asks, and the wait is announced."""
    answer(mocked, 429, "slow down", **{header: value})
    reply(mocked)
    outcome = await send(URL, sent="fine")

    assert ("complete", 2, [seconds]) == (outcome.state, outcome.attempts, waits)
    assert [seconds] == [waiting.seconds for waiting in outcome.waits]
    assert "429" in outcome.waits[0].reason


async def test_F25_stop_while_waiting() -> None:
    """A send that waits to ask again stops at once, and does not ask."""
    waiting = asyncio.Event()
    async with serving(play(whole("", "Retry-After: 50", status="429 Slow"))) as raw:
        sending = asyncio.create_task(send(raw, on_wait=lambda _: waiting.set()))
        await waiting.wait()
        await asyncio.sleep(0)
        sending.cancel()
        done, _ = await asyncio.wait([sending], timeout=1)

        assert {sending} == done
        assert sending.cancelled()
        assert 1 == len(raw.requests)


@pytest.mark.parametrize(
    "until",
    [
        "Sun, 06 Nov 1994 08:49:47 GMT",
        "Sunday, 06-Nov-94 08:49:47 GMT",
        "Sun Nov  6 08:49:47 1994",
    ],
)
async def test_F26_retry_after_a_date(
    mocked: Mocked, waits: list[float], until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date to wait for is read against the server's own `Date`, not against our clock."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    answer(mocked, 429, Retry_After=until, Date=DATE)
    reply(mocked)
    outcome = await send(URL, sent="fine")
    monkeypatch.undo()
    time.tzset()

    assert ("complete", [10.0]) == (outcome.state, waits)


@pytest.mark.parametrize("header", [{"Date": DATE}, {}], ids=["past", "no date"])
async def test_F26_date_that_tells_nothing(
    mocked: Mocked, waits: list[float], header: dict[str, str]
) -> None:
    """A date in the past, or without the server's own to compare, means the usual wait."""
    answer(mocked, 429, Retry_After="Sun, 06 Nov 1994 08:49:07 GMT", **header)
    reply(mocked)
    outcome = await send(URL, sent="fine")

    assert "complete" == outcome.state
    assert waits[0] <= 0.5


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"), [("3600", 3600), ("60.5", 60.5), ("1e999", math.inf)]
)
async def test_F27_retry_after_too_long(
    mocked: Mocked, waits: list[float], status: int, value: str, seconds: float
) -> None:
    """A wait of more than a minute is not begun: the error names it."""
    answer(mocked, status, Retry_After=value)
    outcome = await send(URL)

    assert outcome.error is not None
    assert (1, [], seconds) == (outcome.attempts, waits, outcome.error.retry_after)
    assert (errors.RateLimitError if status == 429 else errors.ServerError) is outcome.kind


@pytest.mark.parametrize(
    "value", ["-5", "nan", "0", "garbage", "", "Fri, 01 Jan 100000 00:00:00 GMT", "1" * 5000 + "x"]
)
async def test_F27_retry_after_nonsense(mocked: Mocked, waits: list[float], value: str) -> None:
    """A wait that makes no sense is replaced by the usual one."""
    answer(mocked, 429, Retry_After=value, Date=DATE)
    reply(mocked)
    outcome = await send(URL, sent="fine")

    assert ("complete", 2) == (outcome.state, outcome.attempts)
    assert 0.375 <= waits[0] <= 0.5


async def test_F27_waits_add_up(mocked: Mocked, waits: list[float]) -> None:
    """Two waits that are each allowed, and together too long, are not both made."""
    for _ in range(3):
        answer(mocked, 429, Retry_After="59")
    outcome = await send(URL)

    assert (errors.RateLimitError, [59.0]) == (outcome.kind, waits)
    assert outcome.error is not None
    assert "59 s" in outcome.error.hint


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
async def test_F28_server_errors(mocked: Mocked, waits: list[float], status: int) -> None:
    """A server that fails is asked again twice, and then told of; one that recovers is not."""
    for _ in range(5):
        answer(mocked, status, "overloaded")
    outcome = await send(URL)
    mocked.clear()
    answer(mocked, status)
    answer(mocked, status)
    reply(mocked)
    recovered = await send(URL, sent="fine")

    assert (errors.ServerError, 3, "failed") == (outcome.kind, outcome.attempts, outcome.state)
    assert ("complete", 3) == (recovered.state, recovered.attempts)
    assert 4 == len(waits)


@pytest.mark.parametrize("status", [501, 505, 599])
async def test_F28_server_errors_that_stay(mocked: Mocked, status: int) -> None:
    """A server that will not serve this is asked once."""
    answer(mocked, status)
    outcome = await send(URL)

    assert (errors.ServerError, 1) == (outcome.kind, outcome.attempts)


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_F28_server_that_says_that_it_is_no_use(mocked: Mocked, status: int) -> None:
    """A server that asks not to be asked again is asked once."""
    answer(mocked, status, "no", X_Should_Retry="false", Retry_After="1")
    outcome = await send(URL)

    assert ("failed", 1) == (outcome.state, outcome.attempts)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_F29_redirect(status: int) -> None:
    """A redirect is refused: the other host gets no connection."""
    async with serving() as other:
        elsewhere = whole("", f"Location: {other.url}", status=f"{status} Elsewhere")
        async with serving(play(elsewhere)) as raw:
            outcome = await send(raw)

        assert (errors.RedirectRefusedError, 1) == (outcome.kind, outcome.attempts)
        assert 0 == other.connections


@pytest.mark.parametrize("status", [200, 204, 205])
async def test_F30_empty(mocked: Mocked, waits: list[float], status: int) -> None:
    """A success without a reply is an error, and is not asked again."""
    answer(mocked, status)
    outcome = await send(URL)

    assert (errors.EmptyReplyError, 1, "failed") == (outcome.kind, outcome.attempts, outcome.state)


@pytest.mark.parametrize("status", [204, 205])
async def test_F30_nothing_can_follow(mocked: Mocked, status: int) -> None:
    """What comes with a status that has no body is no reply."""
    answer(mocked, status, "stray", Content_Length="5")
    outcome = await send(URL)

    assert (errors.EmptyReplyError, "") == (outcome.kind, outcome.text)


@pytest.mark.parametrize("body", ["\ufeff", ""], ids=["byte order mark", "nothing"])
async def test_F30_no_text_in_the_body(body: str) -> None:
    """A body that holds no text is as good as none."""
    async with serving(play(whole(body))) as raw:
        outcome = await send(raw)

    assert (errors.EmptyReplyError, 1, "failed") == (outcome.kind, outcome.attempts, outcome.state)


@pytest.mark.parametrize("status", [200, 201, 203, 206, 226])
async def test_F30_other_successes_are_replies(mocked: Mocked, status: int) -> None:
    """Any success with a body is a reply."""
    answer(mocked, status, "fine", Content_Length="4", Content_Type="text/plain")
    outcome = await send(URL, sent="fine")

    assert ("fine", "complete") == (outcome.text, outcome.state)


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"])
async def test_F31_web_page(mocked: Mocked, kind: str) -> None:
    """A web page is not a reply; it is told by its title."""
    answer(mocked, 200, PAGE.format("<p>Sign in</p>"), Content_Type=kind)
    outcome = await send(URL)

    assert (errors.UnexpectedContentError, 1) == (outcome.kind, outcome.attempts)
    assert "a web page in place of a reply: Just a moment & more" in str(outcome.error)


async def test_F31_text_that_holds_html(mocked: Mocked) -> None:
    """A plain text that holds HTML is a reply."""
    page = PAGE.format("<p>the page you asked for</p>")
    answer(mocked, 200, page, Content_Type="text/plain", Content_Length=str(len(page)))
    outcome = await send(URL, sent=page)

    assert (page, "complete") == (outcome.text, outcome.state)


@pytest.mark.parametrize("error", [{"message": "quota is used up"}, "quota is used up", True])
async def test_F32_error_object(error: object) -> None:
    """An error object with a success status is an error with its message, however it is cut."""
    body = json.dumps({"code": 7, "error": error, "message": "quota is used up"})
    chunks = b"".join(map(chunk, body)) + b"0\r\n\r\n"
    async with serving(
        play(head("Content-Type: application/json", "Transfer-Encoding: chunked") + chunks)
    ) as raw:
        outcome = await send(raw)

    assert (errors.UnexpectedContentError, 1) == (outcome.kind, outcome.attempts)
    assert str(outcome.error).endswith("quota is used up")


@pytest.mark.parametrize(
    "text", ['{"answer": 42}', "[1]", '{"cut', '{"error": null, "message": "all well"}']
)
async def test_F32_json_that_is_a_reply(text: str) -> None:
    """JSON that tells of no error is a reply."""
    async with serving(play(whole(text, "Content-Type: application/json"))) as raw:
        outcome = await send(raw, sent=text)

    assert (text, "complete") == (outcome.text, outcome.state)


async def test_F32_json_that_grows_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply in JSON that streams is not held back for long to see whether it is an error."""
    monkeypatch.setattr("gprochat_magic.body.GATHERING", 0.1)
    kind = head("Content-Type: application/json", "Transfer-Encoding: chunked")

    async def until_heard(connection: Any) -> None:
        await connection.server.heard.wait()

    script = play(kind + chunk('{"answer":'), until_heard, chunk(" 42}") + b"0\r\n\r\n")
    async with serving(script) as raw:
        outcome = await send(raw, sent='{"answer": 42}', limits=QUICK)

    assert ('{"answer": 42}', "complete") == (outcome.text, outcome.state)
