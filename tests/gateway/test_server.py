"""A gateway's life: where it listens, who reaches it, how it starts and how it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from gprochat_magic import gateway
from gprochat_magic.errors import ConfigError
from gprochat_magic.messages import Messages

if TYPE_CHECKING:
    from tests.gateway.conftest import Serve, Stub

asynchronous = pytest.mark.asyncio
SECRET = "made up for this test, long enough"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory with a short path, in which sockets are made."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    yield directory
    shutil.rmtree(directory)


def sockets() -> set[tuple[int, str]]:
    """The open sockets of this process."""
    return {(c.fd, str(c.laddr)) for c in psutil.Process().net_connections("all")}


class TestPlace:
    @asynchronous
    async def test_a_private_socket_is_the_default(self, runtime: Path) -> None:
        """Without further words a gateway listens on a socket that only its owner can reach."""
        served = await gateway.start()
        path = Path(str(served.socket))

        assert "http://localhost/api/generate" == served.endpoint
        assert (runtime, 0o700) == (path.parent.parent, stat.S_IMODE(path.parent.stat().st_mode))
        assert path.is_socket()
        await served.close()
        assert [] == list(runtime.iterdir())

    @asynchronous
    async def test_a_long_path_falls_back(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where no socket path is short enough, loopback takes its place, and nothing is left."""
        deep = runtime / ("d" * 100)
        deep.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
        monkeypatch.setattr(tempfile, "tempdir", str(deep))

        served = await gateway.start()

        assert served.socket is None
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api/generate", served.endpoint)
        assert [] == list(deep.iterdir())
        await served.close()
        with pytest.raises(ConfigError, match="Unix socket"):
            await gateway.start(unix=True)

    @asynchronous
    async def test_F111_tcp_is_reached_on_loopback_only(self, serve: Serve) -> None:
        """A gateway on TCP has a port of the system's choice on 127.0.0.1 and on nothing else."""
        client = await serve()
        port = int(client.host.rpartition(":")[2])
        own = {
            (address.family, address.address.partition("%")[0])
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family in (socket.AF_INET, socket.AF_INET6)
        } | {(socket.AF_INET6, "::1")}

        reached = set()
        for family, address in own:
            with socket.socket(family) as attempt:
                attempt.settimeout(5)
                if attempt.connect_ex((address, port)) == 0:
                    reached.add(address)

        assert {"127.0.0.1"} == reached

    @asynchronous
    async def test_F111_nothing_is_written_to_disk(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A gateway leaves no file with its port or its secret; the socket is all there is."""
        monkeypatch.setattr(tempfile, "tempdir", str(runtime))
        first, second = await gateway.start(unix=False), await gateway.start()

        files = [path for path in runtime.rglob("*") if path.is_file()]

        assert [] == files
        await first.close()
        await second.close()

    @asynchronous
    async def test_localhost_and_further_hosts(self, serve: Serve) -> None:
        """Our own names and those that were given are served; others are not."""
        client = await serve(host="localhost", hosts=["gate.example"], secrets=[SECRET])
        port = client.host.rpartition(":")[2]
        names = [f"127.0.0.1:{port}", f"localhost:{port}", "gate.example", "other.example"]

        answers = [await client.send(client.post(headers={"Host": name})) for name in names]

        assert [200, 200, 200, 421] == [answer.status for answer in answers]

    @asynchronous
    @pytest.mark.parametrize("name", ["LocalHost", "localhost.", "gate.localhost"])
    async def test_F111_a_name_of_this_machine_is_not_looked_up(
        self, serve: Serve, name: str
    ) -> None:
        """It is 127.0.0.1, whatever a resolver would say."""
        client = await serve(host=name)

        assert client.host.startswith("127.0.0.1:")
        assert 200 == (await client.send(client.post())).status

    @asynchronous
    async def test_ipv6_loopback(self, serve: Serve) -> None:
        """A gateway may listen on ::1; its name has brackets."""
        client = await serve(host="::1")

        assert re.fullmatch(r"http://\[::1\]:\d+/api/generate", client.served.endpoint)
        assert client.served.alive


class TestStart:
    @asynchronous
    @pytest.mark.parametrize("weak", ["", "short", "x" * 40 + ":", "x" * 31])
    async def test_F116_weak_secret(self, runtime: Path, weak: str) -> None:
        """A gateway with a weak secret does not start, and leaves nothing behind."""
        before = sockets()

        with pytest.raises(ConfigError):
            await gateway.start(secrets=[SECRET, weak])

        assert before == sockets()
        assert [] == list(runtime.iterdir())

    @asynchronous
    async def test_a_taken_port_is_reported(self, serve: Serve) -> None:
        """A port that is taken is an error of the caller, with a hint."""
        port = int((await serve()).host.rpartition(":")[2])

        with pytest.raises(ConfigError, match=str(port)) as caught:
            await gateway.start(port=port)

        assert "port" in caught.value.hint

    @asynchronous
    @pytest.mark.parametrize("options", [{}, {"secrets": [SECRET]}, {"hosts": ["gate.example"]}])
    async def test_F118_open_addresses_need_secret_and_hosts(self, options: dict[str, Any]) -> None:
        """Beyond this machine a gateway needs a configured secret and the names it is asked by."""
        with pytest.raises(ConfigError, match="other machines"):
            await gateway.start(host="0.0.0.0", **options)

    @asynchronous
    async def test_secrets_differ_and_never_show(self, serve: Serve) -> None:
        """Each gateway makes its own secret, and its repr does not show it."""
        first, second = (await serve()).served, (await serve(unix=True)).served

        assert first.secret != second.secret
        assert len(first.secret.reveal()) == 64
        for served in (first, second):
            assert served.secret.reveal() not in repr(served) + str(vars(served))

    @asynchronous
    async def test_the_demo_answers_by_default(self, serve: Serve) -> None:
        """A gateway without a backend is in front of the demo."""
        client = await serve(backend=None)

        assert "This is a demo" in (await client.send(client.post())).text


class Silent:
    """A backend that begins, or says one word, and then waits for ever."""

    name = "silent"

    def __init__(self, *words: str, stubborn: bool = False) -> None:
        self.words = words
        self.stubborn = stubborn
        self.begun = asyncio.Event()
        self.closed = asyncio.Event()

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The words, then nothing."""
        try:
            for word in self.words:
                yield word
            self.begun.set()
            await asyncio.sleep(3600)
        finally:
            self.closed.set()
            if self.stubborn:
                await asyncio.sleep(1.5)


class TestClose:
    @asynchronous
    @pytest.mark.parametrize("unix", [False, True])
    async def test_nothing_is_left(self, runtime: Path, serve: Serve, unix: bool) -> None:
        """Closing ends replies, connections and tasks, half sent requests too, within a second."""
        tasks, before = asyncio.all_tasks(), sockets()
        backend = Silent("so far")
        client = await serve(backend=backend, unix=unix)
        streams = [await client.connect() for _ in range(3)]
        request = client.post(headers={"Connection": "keep-alive"})
        streams[0][1].write(request)
        streams[1][1].write(request[:50])
        streams[2][1].write(client.post()[:-1])
        await backend.begun.wait()

        async with asyncio.timeout(1):
            await client.served.close()

        assert backend.closed.is_set()
        assert tasks == asyncio.all_tasks()
        heard = await streams[0][0].read(-1)
        assert b"so far" in heard
        assert not heard.endswith(b"0\r\n\r\n")
        for _, writer in streams:
            writer.close()
            await writer.wait_closed()
        assert before == sockets()
        assert [] == list(runtime.iterdir())

    @asynchronous
    async def test_again(self, serve: Serve) -> None:
        """Closing twice, also at once, is closing once."""
        served = (await serve()).served

        await asyncio.gather(served.close(), served.close())
        await served.close()

        assert not served.alive

    @asynchronous
    async def test_a_reader_who_does_not_read(self, serve: Serve, stub: Stub) -> None:
        """A reader who stopped reading does not hold the gateway or its sockets."""
        before = sockets()
        stub.pieces = ["x" * 2**26]
        client = await serve()
        reader, writer = await client.connect()
        writer.write(client.post())
        await reader.readuntil(b"200 OK")

        async with asyncio.timeout(2):
            await client.served.close()

        # What is left is the reader's own end.
        assert 1 == len(sockets() - before)
        writer.transport.abort()
        await asyncio.sleep(0.05)
        assert before == sockets()

    @asynchronous
    async def test_a_stubborn_backend_is_not_waited_for(self, serve: Serve) -> None:
        """A backend that will not let go holds up the closing for about a second at most."""
        backend = Silent(stubborn=True)
        client = await serve(backend=backend)
        _, writer = await client.connect()
        writer.write(client.post())
        await backend.begun.wait()

        async with asyncio.timeout(1.4):
            await client.served.close()
        writer.close()
        await asyncio.sleep(0.6)

    @asynchronous
    async def test_fifty_lives(self, runtime: Path) -> None:
        """Starting and closing fifty times leaves no socket, task or file."""
        tasks, before = asyncio.all_tasks(), sockets()

        for _ in range(50):
            served = await gateway.start()
            await served.close()

        assert (tasks, before, []) == (asyncio.all_tasks(), sockets(), list(runtime.iterdir()))

    def test_the_directory_goes_when_the_process_ends(self, runtime: Path) -> None:
        """A process that ends without closing its gateway leaves no socket behind."""
        code = (
            "import asyncio as a; from gprochat_magic import gateway as g; print(a.run(g.start()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )

        assert str(runtime) in done.stdout
        assert [] == list(runtime.iterdir())


def age(folder: Path, seconds: float = 3600) -> None:
    """Let a folder be so old."""
    then = time.time() - seconds
    os.utime(folder, (then, then))


class TestLeftOvers:
    @pytest.fixture
    def killed(self, runtime: Path) -> Path:
        """The folder that a gateway has left that was killed."""
        code = (
            "import asyncio, os, signal; from gprochat_magic import gateway\n"
            "async def main():\n"
            "    await gateway.start()\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "asyncio.run(main())"
        )
        subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
        [folder] = runtime.iterdir()
        return folder

    @asynchronous
    async def test_those_of_a_killed_one_are_swept(self, killed: Path, serve: Serve) -> None:
        """The next gateway removes its folder, though not before one could listen there."""
        assert (killed / "s").is_socket()
        await serve(unix=True)
        assert killed.exists()

        age(killed)
        await serve(unix=True)

        assert not killed.exists()

    @asynchronous
    async def test_what_may_be_in_use_stays(self, killed: Path, serve: Serve) -> None:
        """A gateway that listens, however old; one with anything else in it; another machine's."""
        running = await serve(unix=True)
        alive = Path(str(running.served.socket)).parent
        other = killed.with_name("gprochat-00000000-x")
        shutil.copytree(killed, other, ignore=lambda folder, names: names)
        (killed / "more").touch()
        for folder in (alive, killed, other):
            age(folder)

        await serve(unix=True)

        assert alive.exists()
        assert 200 == (await running.send(running.post())).status
        assert (killed / "more").exists()
        assert other.exists()


class TestAlive:
    @asynchronous
    async def test_while_it_listens(self, serve: Serve) -> None:
        """A gateway is alive from its start until it is closed."""
        served = (await serve()).served

        assert served.alive
        await served.close()
        assert not served.alive

    @asynchronous
    async def test_F112_listening_ended_by_others(self, serve: Serve) -> None:
        """A gateway whose listening was ended behind its back is dead."""
        served = (await serve()).served

        served._listener.close()

        assert not served.alive

    @asynchronous
    async def test_F112_socket_file_removed(self, serve: Serve) -> None:
        """A gateway whose socket a cleaner removed is dead."""
        served = (await serve(unix=True)).served

        Path(str(served.socket)).unlink()

        assert not served.alive

    def test_F112_loop_ended(self) -> None:
        """A gateway whose loop is gone is dead, and its sockets go with it."""
        before = sockets()
        with asyncio.Runner() as runner:
            served = runner.run(gateway.start(unix=False))

        assert not served.alive
        del served
        gc.collect()
        assert before == sockets()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @asynchronous
    async def test_forked_child(self) -> None:
        """A forked child has no gateway, and its end leaves the parent's alone."""
        code = (
            "import asyncio, os, sys\n"
            "from gprochat_magic import gateway\n"
            "async def main():\n"
            "    served = await gateway.start()\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        sys.exit(7 if served.alive else 0)\n"
            "    code = os.waitpid(child, 0)[1]\n"
            "    print(code, served.alive, os.path.exists(served.socket))\n"
            "    await served.close()\n"
            "asyncio.run(main())\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)

        assert b"0 True True" == out.strip()

    @asynchronous
    async def test_nobody_needs_to_hold_it(self) -> None:
        """A gateway that was dropped goes on serving, since the loop holds it."""
        dropped = urlsplit((await gateway.start(unix=False)).endpoint)
        gc.collect()

        socket.create_connection(("127.0.0.1", dropped.port or 0), 5).close()

        # Other tests of this process may have one in the background.
        held = [
            it
            for it in gc.get_objects()
            if type(it) is gateway.Gateway and it.endpoint == dropped.geturl()
        ]
        assert [it.alive for it in held] == [True]
        await held[0].close()
