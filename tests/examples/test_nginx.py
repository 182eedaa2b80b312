"""The nginx example in front of two real replicas, with a certificate made on the spot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import trustme

from gprochat_magic import GPROChat, wire
from gprochat_magic.clock import Clock
from gprochat_magic.messages import Messages
from tests.gateway.serving import Serving, serving
from tests.gateway.stores import storing
from tests.kernels import kernel

EXAMPLE = Path(__file__).parents[2] / "examples" / "nginx" / "gprochat.conf"
PATIENCE = 20
MAIN = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/gprochat.conf;
}}
"""
asynchronous = pytest.mark.asyncio


@dataclass
class Front:
    """nginx over two replicas: its address, who may sign, and whom its certificate is signed by."""

    endpoint: str
    secret: str
    authority: Path
    replicas: tuple[Serving, Serving]

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    async def ask(self, prompt: str) -> str:
        """What the package's client gets, through TLS."""
        messages: Messages = [{"role": "user", "content": prompt}]
        pieces = GPROChat.create_async_generator(
            "",
            messages,
            api_endpoint=self.endpoint,
            secret_key=self.secret,
            ssl_context=self.context,
        )
        return "".join([piece async for piece in pieces])

    def body(self, prompt: str = "json") -> bytes:
        """A signed body."""
        built = wire.build(
            [{"role": "user", "content": prompt}], secret=self.secret, timestamp=_clock.now()
        )
        return built.body

    async def post(self, body: bytes, *, host: str = "localhost") -> bytes:
        """The raw answer to a body, for a host."""
        reader, writer = await self.connect()
        writer.write(self.head(body, host) + body)
        answer = await asyncio.wait_for(reader.read(-1), PATIENCE)
        writer.close()
        return answer

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = urlsplit(self.endpoint).port
        return await asyncio.open_connection(
            "127.0.0.1", port, ssl=self.context, server_hostname="localhost"
        )

    @staticmethod
    def head(body: bytes, host: str = "localhost") -> bytes:
        return (
            f"POST {wire.PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()

    def serving(self) -> Serving:
        """The replica to which nginx has a connection: it had no other request before."""
        for replica in self.replicas:
            port = urlsplit(replica.endpoint).port
            links = psutil.Process(replica.process.pid).net_connections("tcp")
            if any(link.laddr[1] == port and link.status == "ESTABLISHED" for link in links):
                return replica
        raise AssertionError("no replica is asked")


_clock = Clock()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def command() -> str:
    """Where nginx is. Without one the tests are skipped, but not where they must run."""
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no nginx, and these tests must run here")
    return found or pytest.skip("there is no nginx")


def configured(folder: Path, port: int, replicas: tuple[Serving, Serving]) -> Path:
    """The example with the addresses of this test in it, and a file that includes it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "pem"))
    text = EXAMPLE.read_text()
    changes = {
        "server 127.0.0.1:8711;": f"server {urlsplit(replicas[0].endpoint).netloc};",
        "server 127.0.0.1:8712;": f"server {urlsplit(replicas[1].endpoint).netloc};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "server_name gate.example;": "server_name localhost;",
        "/etc/nginx/tls/gate.example.pem;": f"{folder}/pem;",
        "/etc/nginx/tls/gate.example.key;": f"{folder}/key;",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "gprochat.conf").write_text(text)
    user = "user root;" if os.getuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(MAIN.format(folder=folder, user=user))
    return main


@contextlib.contextmanager
def fronted(folder: Path) -> Iterator[Front]:
    """Two replicas that share a store, with nginx in front."""
    found, secret = command(), token_hex(32)
    with storing() as store, contextlib.ExitStack() as stack:
        shared = ("--redis", store.url, "--allowed-host", "localhost")
        replicas = (
            stack.enter_context(serving(*shared, secret=secret)),
            stack.enter_context(serving(*shared, secret=secret)),
        )
        port = free_port()
        main = configured(folder, port, replicas)
        errors = str(folder / "error.log")
        process = subprocess.Popen([found, "-e", errors, "-c", str(main)])
        try:
            _wait_for(port, process)
            endpoint = f"https://localhost:{port}{wire.PATH}"
            yield Front(endpoint, secret, folder / "authority.pem", replicas)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5).close()
            return
        time.sleep(0.02)
    raise AssertionError("nginx did not start")


@asynchronous
async def test_through_tls(tmp_path: Path) -> None:
    """Signed prompts pass by either replica, as they are made; replays and foreign hosts do not."""
    with fronted(tmp_path) as front:
        assert [True] * 4 == ['"name"' in await front.ask("json") for _ in range(4)]
        for replica in front.replicas:
            assert replica.wait_for("default POST /api/generate 200 .* complete")

        body = front.body()
        statuses = [(await front.post(body))[9:12] for _ in range(3)]
        assert [b"200", b"409", b"409"] == statuses
        assert b"421" == (await front.post(front.body(), host="evil.example"))[9:12]

        # The first words come while the reply, which takes minutes, is still being made.
        done = sum("complete" in line for each in front.replicas for line in each.logged)
        reader, writer = await front.connect()
        body = front.body("slow long 20000")
        writer.write(front.head(body) + body)
        await asyncio.wait_for(reader.readuntil(b" 200 OK\r\n"), PATIENCE)
        await reader.readuntil(b"\r\n\r\n")
        assert int(await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE), 16)
        assert done == sum("complete" in line for each in front.replicas for line in each.logged)
        writer.transport.abort()


def test_a_replica_dies_under_a_cell(tmp_path: Path) -> None:
    """A cell keeps the text it got and shows a clear error; the next one is answered."""
    with (
        fronted(tmp_path) as front,
        kernel(
            GPROCHAT_API_ENDPOINT=front.endpoint,
            GPROCHAT_SECRET_KEY=front.secret,
            SSL_CERT_FILE=str(front.authority),
        ) as k,
    ):
        killed: list[Serving] = []

        def kill(message: dict[str, Any]) -> None:
            if not killed and message["msg_type"] == "update_display_data":
                killed.append(front.serving())
                killed[0].process.kill()

        broken = k.run("%%gprochat\nslow long 20000", kill)

        assert killed
        assert "StreamInterruptedError" == broken.error["ename"]
        assert 2 == len(broken.error["traceback"])
        kept = k.value("__import__('gprochat_magic').Chat().last.text")
        assert kept
        assert "ok" == k.run("%gprochat json").status
