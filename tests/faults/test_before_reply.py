"""Faults before the reply starts: few attempts, no leaks, and an error that says what it was."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path

import pytest
import trustme

from gprochat_magic import errors, retry
from gprochat_magic.config import Secret
from gprochat_magic.limits import Limits
from gprochat_magic.provider import GPROChat
from gprochat_magic.target import Pool, Target
from tests.faults import (
    CANARY,
    CHUNKED,
    Connection,
    close_now,
    deaf_port,
    drip,
    head,
    hold,
    play,
    refusing_port,
    reset,
    send,
    serving,
    settle,
    silent,
    whole,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("no_leaks")]

AUTHORITY = trustme.CA()
SOON = Limits(total=20, connect=0.2, first_byte=0.5, idle=10)


def at(port: int) -> str:
    """An endpoint on a port."""
    return f"http://localhost:{port}/api/generate?key=query-canary"


async def test_F01_connection_refused(waits: list[float]) -> None:
    """A refused connection is tried twice more, with longer waits, and then named."""
    with refusing_port() as port:
        outcome = await send(at(port))

    assert (errors.ConnectError, 3, "failed") == (outcome.kind, outcome.attempts, outcome.state)
    assert f"localhost:{port}" in str(outcome.error)
    assert 0.375 <= waits[0] <= 0.5 < 0.75 <= waits[1] <= 1
    assert waits == [waiting.seconds for waiting in outcome.waits]


async def test_F01_embedded_gateway_is_restarted_instead(waits: list[float]) -> None:
    """A target that can be renewed is, once and without a wait, when it refuses connections."""
    renewed = 0
    async with serving() as fresh:

        async def renew() -> Target:
            nonlocal renewed
            renewed += 1
            return Target(fresh.url, Secret("another"))

        with refusing_port() as port:
            outcome = await send(
                fresh, target=Target(at(port), Secret(CANARY), renew=renew), sent="fine"
            )

    assert ("complete", 2, 1) == (outcome.state, outcome.attempts, renewed)
    assert [0.0] == waits
    assert [] == outcome.waits


async def test_F02_dns_failure(waits: list[float]) -> None:
    """A name without an address is looked up twice and named."""
    outcome = await send("http://host.invalid/api/generate?key=query-canary")

    assert outcome.error is not None
    assert (errors.ConnectError, "dns", 2) == (outcome.kind, outcome.error.kind, outcome.attempts)
    assert "host.invalid" in str(outcome.error)


async def test_F03_connect_timeout(waits: list[float]) -> None:
    """A connection that nobody takes is given up after its limit, three times."""
    with deaf_port() as port:
        outcome = await send(at(port), limits=Limits(connect=0.2))

    assert (errors.ConnectTimeout, 3, "failed") == (outcome.kind, outcome.attempts, outcome.state)
    assert isinstance(outcome.error, TimeoutError)
    assert 5 == Limits().connect


def tls(host: str = "localhost", *, days: int = 1, signed: bool = True) -> ssl.SSLContext:
    """What a server shows: a certificate for a host, that ends so many days from now."""
    now = datetime.datetime.now(datetime.UTC)
    made = (AUTHORITY if signed else trustme.CA()).issue_cert(
        host,
        not_before=now - datetime.timedelta(days=10),
        not_after=now + datetime.timedelta(days=days),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    """What a client trusts: the authority of these tests, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    return context


@pytest.mark.parametrize(
    ("server", "context"),
    [
        pytest.param(tls(signed=False), None, id="authority unknown to the system"),
        pytest.param(tls(signed=False), trusting(), id="another authority"),
        pytest.param(tls(days=-1), trusting(), id="expired"),
        pytest.param(tls("other.example"), trusting(), id="wrong name"),
    ],
)
async def test_F04_certificate_not_to_be_trusted(
    server: ssl.SSLContext, context: ssl.SSLContext | None
) -> None:
    """A certificate that cannot be trusted ends the send: no retry, and not a byte of a request."""
    async with serving(tls=server) as raw:
        outcome = await send(raw, ssl_context=context)

    assert (errors.TLSVerificationError, 1, 0) == (
        outcome.kind,
        outcome.attempts,
        outcome.requests,
    )
    assert outcome.connections <= 1


async def test_F04_certificate_of_a_private_authority() -> None:
    """A server whose authority is passed as `ssl_context` is trusted."""
    async with serving(tls=tls()) as raw:
        outcome = await send(raw, sent="fine", ssl_context=trusting())

    assert ("fine", "complete") == (outcome.text, outcome.state)


async def test_F05_https_to_a_silent_plain_port(waits: list[float]) -> None:
    """TLS to a plain port that says nothing ends in time and asks whether it is http."""
    async with serving(silent) as raw:
        raw.scheme = "https"
        outcome = await send(raw, limits=Limits(connect=0.2))

    assert isinstance(outcome.error, errors.ConnectError)
    assert "Is this server http" in outcome.error.hint
    assert 0 == outcome.requests


async def test_F05_https_to_a_plain_port_that_answers() -> None:
    """TLS to a plain port that answers in plain text is not tried again."""

    async def plain(connection: Connection) -> None:
        await connection.reader.read(1)
        await connection.send(whole("Bad Request", status="400 Bad Request"))

    async with serving(plain) as raw:
        raw.scheme = "https"
        outcome = await send(raw)

    assert (errors.ConnectError, 1) == (outcome.kind, outcome.attempts)
    assert outcome.error is not None
    assert "Is this server http" in outcome.error.hint


async def test_F06_proxy_refused(waits: list[float]) -> None:
    """A proxy that refuses is tried once more; its user and password are never shown."""
    async with serving() as raw:
        with refusing_port() as port:
            outcome = await send(raw, proxy=f"http://user:proxy-canary@localhost:{port}")

    assert (errors.ProxyError, 2) == (outcome.kind, outcome.attempts)
    assert 0 == outcome.connections


async def test_F06_proxy_without_an_address(waits: list[float]) -> None:
    """A proxy whose name is unknown is to blame, and not the server behind it."""
    outcome = await send(at(1), proxy="http://user:proxy-canary@host.invalid:3128")

    assert (errors.ProxyError, 2) == (outcome.kind, outcome.attempts)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_F07_proxy_wants_a_password(scheme: str) -> None:
    """A 407, to a request or to CONNECT, is an error of the proxy and is not tried again."""
    refusal = whole("no", status="407 Proxy Authentication Required")
    async with serving(play(refusal)) as proxy:
        outcome = await send(
            f"{scheme}://host.invalid/api/generate?key=query-canary",
            proxy=f"http://user:proxy-canary@localhost:{proxy.port}",
        )

    assert (errors.ProxyError, 1) == (outcome.kind, outcome.attempts)
    assert 1 == len(proxy.requests)


@pytest.mark.parametrize("proxy", ["socks5://localhost:{}", "localhost:{}", "ftp://localhost:{}"])
async def test_F08_proxy_that_is_no_http_proxy(proxy: str) -> None:
    """A proxy of another scheme is refused before anything is sent to anyone."""
    async with serving() as raw:
        with pytest.raises(errors.ConfigError) as caught:
            async for _ in GPROChat.create_async_generator(
                "",
                [{"role": "user", "content": "hello"}],
                proxy=proxy.format(raw.port),
                api_endpoint=raw.url,
                secret_key=CANARY,
            ):
                pass

        assert 0 == raw.connections
        assert "proxy" in str(caught.value)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A password file for every host, and a way to set a proxy for all."""
    (tmp_path / "netrc").write_text("default login user password proxy-canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return monkeypatch


async def test_F09_environment_is_ignored(environment: pytest.MonkeyPatch) -> None:
    """Proxies and passwords of the environment are not used unless asked for."""
    async with serving() as proxy:
        environment.setenv("HTTP_PROXY", f"http://localhost:{proxy.port}")
        environment.setenv("http_proxy", f"http://localhost:{proxy.port}")
        outcome = await send("http://host.invalid/x", limits=Limits(retries=0))

    assert (errors.ConnectError, 0) == (outcome.kind, proxy.connections)


async def test_F09_environment_is_used_when_asked_for(environment: pytest.MonkeyPatch) -> None:
    """With `trust_env` the proxy of the environment carries the request."""
    async with serving() as proxy:
        environment.setenv("http_proxy", f"http://localhost:{proxy.port}")
        outcome = await send("http://host.invalid/x", trust_env=True)

    assert ("fine", "complete") == (outcome.text, outcome.state)
    assert "POST http://host.invalid/x HTTP/1.1" == proxy.requests[0].line


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_F09_loopback_never_sees_the_environment(
    environment: pytest.MonkeyPatch, host: str
) -> None:
    """A server on this machine is reached directly and without passwords, also with `trust_env`."""
    async with serving() as raw, serving() as proxy:
        environment.setenv("http_proxy", f"http://localhost:{proxy.port}")
        environment.setenv("no_proxy", "")
        outcome = await send(f"http://{host}:{raw.port}/x", trust_env=True)

    assert ("fine", 0) == (outcome.text, proxy.connections)
    assert "authorization" not in raw.requests[0].headers


@pytest.mark.parametrize("first", [close_now, play()], ids=["before", "after the request"])
async def test_F10_closed_before_the_status_line(first: Connection, waits: list[float]) -> None:
    """A connection closed before the status line is tried again, signed anew."""
    async with serving(first, first, play(whole())) as raw:  # type: ignore[arg-type]
        outcome = await send(raw, sent="fine")

    assert ("fine", "complete", 3) == (outcome.text, outcome.state, outcome.attempts)
    times = [request.content["time"] for request in raw.requests]
    assert sorted(set(times)) == times
    assert 1 == len({request.headers["x-request-id"] for request in raw.requests})


async def test_F10_closed_three_times(waits: list[float]) -> None:
    """A server that always hangs up is asked three times, no more."""
    async with serving(play()) as raw:
        outcome = await send(raw)

    assert (errors.ConnectError, 3, 3) == (outcome.kind, outcome.attempts, outcome.requests)


async def test_F11_reset_before_the_status_line(waits: list[float]) -> None:
    """A connection reset before the status line is tried again."""
    async with serving(play(reset), play(whole())) as raw:
        outcome = await send(raw, sent="fine")

    assert ("fine", "complete", 2) == (outcome.text, outcome.state, outcome.attempts)


async def test_F12_half_a_header_block(waits: list[float]) -> None:
    """Half a header block is tried again, and its bytes are not shown."""
    half = b"HTTP/1.1 200 OK\r\nX-Told: query-canary"
    async with serving(play(half), play(whole())) as raw:
        recovered = await send(raw, sent="fine")
    async with serving(play(half)) as raw:
        outcome = await send(raw)

    assert ("complete", 2) == (recovered.state, recovered.attempts)
    assert (errors.ConnectError, 3) == (outcome.kind, outcome.attempts)
    assert "X-Told" not in str(outcome.error)


async def test_F13_idle_connection_closed_by_the_server(waits: list[float]) -> None:
    """A kept connection that the server closed costs neither an attempt nor a wait."""

    async def once(connection: Connection) -> None:
        await connection.request()
        await connection.send(whole())
        await connection.request()

    async with serving(once, play(whole())) as raw, contextlib.aclosing(Pool()) as pool:
        await send(raw, pool=pool)
        outcome = await send(raw, pool=pool, sent="fine")

    assert ("complete", 1, 3) == (outcome.state, outcome.attempts, outcome.requests)
    assert [] == outcome.waits


async def test_F13_is_forgiven_once(waits: list[float]) -> None:
    """Stale connections in a row are attempts like others from the second on."""
    used = asyncio.Barrier(5)

    async def once(connection: Connection) -> None:
        await connection.request()
        await used.wait()
        await connection.send(whole())
        await connection.request()

    async with serving(once) as raw, contextlib.aclosing(Pool()) as pool:
        await asyncio.gather(*(send(raw, pool=pool) for _ in range(5)))
        outcome = await send(raw, pool=pool, limits=Limits(retries=1))

    assert (errors.ConnectError, 2, 8) == (outcome.kind, outcome.attempts, outcome.requests)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="no status line"),
        pytest.param(head("X-Long: " + "x" * 9000) + b"fine", id="long header"),
        pytest.param(head(CHUNKED) + b"zz\r\nfine\r\n0\r\n\r\n", id="bad first chunk size"),
    ],
)
async def test_F14_answer_that_is_not_http(answer: bytes) -> None:
    """What is no HTTP is named so, once, and no status is made up for it."""
    async with serving(play(answer)) as raw:
        outcome = await send(raw)

    assert (errors.ProtocolError, 1) == (outcome.kind, outcome.attempts)
    assert outcome.error is not None
    assert outcome.error.status is None
    assert str(outcome.error).endswith("does not answer as HTTP says")


async def test_F14_bad_first_chunk_size_after_the_headers() -> None:
    """A bad first chunk size in a packet of its own ends the send within its limits, once."""
    async with serving(play(head(CHUNKED), settle, b"zz\r\nfine\r\n", hold)) as raw:
        outcome = await send(raw, limits=SOON)

    assert isinstance(outcome.error, (errors.StreamInterruptedError, errors.FirstTokenTimeout))
    assert ("failed", 1) == (outcome.state, outcome.attempts)


async def test_F15_many_informational_answers() -> None:
    """Two thousand informational answers do not hide the reply."""
    hints = head(status="103 Early Hints") * 2000
    async with serving(play(hints, whole())) as raw:
        outcome = await send(raw, sent="fine")

    assert ("fine", "complete", 1) == (outcome.text, outcome.state, outcome.attempts)


async def test_F16_headers_that_drip() -> None:
    """Headers that come line by line do not stretch the time to the first byte."""
    lines = [b"HTTP/1.1 200 OK\r\n", *(b"X-%d: x\r\n" % n for n in range(200))]
    async with serving(play(drip(lines, seconds=0.05))) as raw:
        outcome = await send(raw, limits=SOON)

    assert (errors.FirstTokenTimeout, 1) == (outcome.kind, outcome.attempts)


@pytest.mark.parametrize("answer", [b"", head(CHUNKED)], ids=["nothing", "headers only"])
async def test_F17_silence(answer: bytes) -> None:
    """A server that says nothing is given up in time, and not asked again."""
    async with serving(play(answer, hold)) as raw:
        outcome = await send(raw, limits=SOON)

    assert (errors.FirstTokenTimeout, 1, 1) == (outcome.kind, outcome.attempts, outcome.requests)
    assert isinstance(outcome.error, TimeoutError)
    assert (120, 2) == (Limits().first_byte, Limits().retries)


async def test_F01_waits_end_after_a_while(waits: list[float]) -> None:
    """However many retries are set, waiting ends before it takes too long in all."""
    policy = retry.Policy(1000, lambda waiting: None)

    async def attempt() -> None:
        async for trial in policy.attempts():
            with trial:
                raise errors.ConnectError("refused")

    with pytest.raises(errors.ConnectError):
        await attempt()

    assert max(waits) <= 8
    assert sum(waits) <= retry.PATIENCE
