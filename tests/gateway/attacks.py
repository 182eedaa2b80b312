"""Requests that a gateway must not serve, each rightly signed but for what it attacks with."""

from __future__ import annotations

import gzip

from gprochat_magic import wire
from tests.gateway.conftest import Client

Attacks = dict[str, tuple[set[int], bytes]]
"""By name: the statuses that refuse a request, 0 for a closed connection; and its bytes."""


def attacks(client: Client) -> Attacks:
    """All of them, against this gateway."""
    return {
        **_hosts(client),
        **_pages(client),
        **_lines(client),
        **_signatures(client),
        **_bodies(client),
        **_framing(client),
    }


def _host(client: Client, value: str | None) -> bytes:
    return client.post(headers={"Host": value})


def _header(client: Client, **fields: str) -> bytes:
    return client.post(headers={name.replace("_", "-"): it for name, it in fields.items()})


def _line(client: Client, text: str) -> bytes:
    return client.post(line=text)


def _hosts(client: Client) -> Attacks:
    """Who is asked: names that are not ours, none, two, and whole addresses for a path."""
    port = client.host.rpartition(":")[2]
    return {
        "F100 rebound name": ({421}, _host(client, f"evil.example:{port}")),
        "F100 all addresses": ({421}, _host(client, f"0.0.0.0:{port}")),
        "F100 decimal": ({421}, _host(client, f"2130706433:{port}")),
        "F100 short form": ({421}, _host(client, f"127.1:{port}")),
        "F100 suffix": ({421}, _host(client, f"localhost:{port}.evil.example")),
        "F100 trailing dot": ({421}, _host(client, f"localhost.:{port}")),
        "F100 user": ({421, 400}, _host(client, f"evil@127.0.0.1:{port}")),
        "F100 other port": ({421}, _host(client, f"127.0.0.1:{int(port) ^ 1}")),
        "F100 no port": ({421}, _host(client, "localhost")),
        "F100 none": ({400}, _host(client, None)),
        "F100 two": ({400}, client.post(extra=f"Host: {client.host}\r\n")),
        "F100 absolute": ({400}, _line(client, f"POST http://{client.host}{wire.PATH} HTTP/1.1")),
        "F100 absolute foreign": (
            {400},
            _line(client, f"POST http://evil.example{wire.PATH} HTTP/1.1"),
        ),
    }


def _pages(client: Client) -> Attacks:
    """Who sends it: a page of another site, or one that asks first."""
    port = client.host.rpartition(":")[2]
    return {
        "F101 foreign origin": ({403}, _header(client, Origin="https://evil.example")),
        "F101 null origin": ({403}, _header(client, Origin="null")),
        "F101 own port's page": ({403}, _header(client, Origin=f"http://localhost:{port}")),
        "F101 cross-site": ({403}, _header(client, Sec_Fetch_Site="cross-site")),
        "F101 same-site": ({403}, _header(client, Sec_Fetch_Site="same-site")),
        "F101 page of the origin": (
            {403},
            _header(client, Origin="https://gprochat.com", Sec_Fetch_Site="cross-site"),
        ),
        "F101 preflight": (
            {403},
            client.post(
                b"",
                line=f"OPTIONS {wire.PATH} HTTP/1.1",
                headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
            ),
        ),
    }


def _lines(client: Client) -> Attacks:
    """Other methods, paths and versions."""
    return {
        "GET": ({405}, client.post(b"", line=f"GET {wire.PATH} HTTP/1.1")),
        "HEAD": ({405}, client.post(b"", line=f"HEAD {wire.PATH} HTTP/1.1")),
        "PUT": ({405}, _line(client, f"PUT {wire.PATH} HTTP/1.1")),
        "CONNECT": ({400, 403, 404}, client.post(b"", line=f"CONNECT {client.host} HTTP/1.1")),
        "other path": ({404}, _line(client, "POST / HTTP/1.1")),
        "encoded path": ({404}, _line(client, "POST /api/%67enerate HTTP/1.1")),
        "climbing path": ({404}, _line(client, "POST /x/../api/generate HTTP/1.1")),
        "query": ({404}, _line(client, f"POST {wire.PATH}?x=1 HTTP/1.1")),
        "HTTP/1.0": ({505}, _line(client, f"POST {wire.PATH} HTTP/1.0")),
        "HTTP/2": ({400, 505}, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        "upgrade": (
            {401, 400, 0},
            client.post(
                client.signed(sign="x"),
                headers={"Upgrade": "websocket", "Connection": "upgrade, close"},
            ),
        ),
    }


def _signatures(client: Client) -> Attacks:
    """Signatures and times that do not hold."""
    return {
        "F103 wrong sign": ({401}, client.post(client.signed(sign="0" * 64))),
        "F103 wrong body signature": ({401}, _header(client, **{wire.SIGNATURE_HEADER: "v1=0"})),
        "F103 empty body signature": ({401}, _header(client, **{wire.SIGNATURE_HEADER: ""})),
        "F103 other prompt": (
            {401},
            client.post(client.signed("hello").replace(b"hello", b"hullo")),
        ),
        "F104 time as text": ({400}, client.post(client.signed(time="1700000000000"))),
        "F105 old": ({401}, client.post(client.signed(time=1))),
    }


def _bodies(client: Client) -> Attacks:
    """Bodies that are not the protocol."""
    return {
        "F106 not JSON": ({400}, client.post(b"hello")),
        "F106 form": ({400}, client.post(b"a=" + client.signed())),
        "F106 NaN": ({400}, client.post(client.signed(options=float("nan")))),
        "F106 nested": ({400}, client.post(b"[" * 100_000)),
        "F106 surrogate": (
            {400},
            client.post(client.signed(messages=[{"role": "user", "parts": [{"text": "\udc00"}]}])),
        ),
    }


def _framing(client: Client) -> Attacks:
    """Lengths, codings and headers that could be read in two ways, or take too much."""
    body = client.signed()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return {
        "F107 two lengths": (
            {400},
            client.post(chunked, headers={"Transfer-Encoding": "chunked"}),
        ),
        "F107 long length first": (
            {400},
            client.post(chunked, headers={"Transfer-Encoding": "chunked", "Content-Length": "4"}),
        ),
        "F107 two Content-Lengths": ({400}, client.post(extra="Content-Length: 3\r\n")),
        "F107 negative length": ({400}, _header(client, Content_Length="-1")),
        "F107 other coding": (
            {400, 501},
            client.post(
                chunked, headers={"Transfer-Encoding": "gzip, chunked", "Content-Length": None}
            ),
        ),
        "F107 bad chunk": (
            {400},
            client.post(
                b"zz\r\nhello\r\n0\r\n\r\n",
                headers={"Transfer-Encoding": "chunked", "Content-Length": None},
            ),
        ),
        "F107 compressed": (
            {415},
            client.post(gzip.compress(client.signed()), headers={"Content-Encoding": "gzip"}),
        ),
        "F107 NUL in a header": ({400}, _header(client, X_A="a\0b")),
        "F107 long header": ({400}, _header(client, X_A="a" * 20_000)),
        "F107 folded header": ({400}, client.post(extra="X-A: b\r\n c\r\n")),
        "F107 space before colon": ({400}, client.post(extra="X-A : b\r\n")),
        "F107 200 headers": ({400}, client.post(extra="X-A: b\r\n" * 101)),
        "F107 announced 5 MiB": ({413}, _header(client, Content_Length=str(5 * 2**20))),
        "F108 noise": ({400}, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"),
    }
