"""`serve` as a process: what it demands, says and logs, and how it is told to change and to end."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gprochat_magic import wire
from gprochat_magic.clock import Clock
from gprochat_magic.config import Secret
from gprochat_magic.errors import StreamInterruptedError
from gprochat_magic.target import Target
from tests.faults.sending import send
from tests.gateway.conftest import Client, Refuse
from tests.gateway.serving import Serving, serving

asynchronous = pytest.mark.asyncio
PROMPT = "a prompt that no log may hold"


def client_of(running: Serving, secret: str = "") -> Client:
    """Requests to it, by hand, signed with its secret or with this one."""
    client = Client(running)
    client.served.secret = Secret(secret or running.secret.reveal())
    return client


def health(running: Serving) -> tuple[int, bytes]:
    """What /healthz answers to whoever asks."""
    parts = urlsplit(running.endpoint)
    path = parts.path.removesuffix(wire.PATH)
    try:
        with urllib.request.urlopen(f"http://{parts.netloc}{path}/healthz", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


@pytest.fixture(scope="module")
def plain() -> Iterator[Serving]:
    """The command with a secret and metrics, for all tests that change nothing."""
    with serving("--metrics", "0") as running:
        yield running


class TestStart:
    @asynchronous
    async def test_it_serves_what_it_says(self, plain: Serving) -> None:
        """The address that it tells, and the secret that it does not tell, are all one needs."""
        assert '"name"' in await plain.ask()

        assert "demo answers" in plain.wait_for("listens on")
        assert not [line for line in plain.said if plain.secret.reveal() in line]

    def test_anyone_may_ask_for_its_health(self, plain: Serving) -> None:
        """/healthz needs no signature and says nothing else."""
        assert (200, b"ok\n") == health(plain)

    @asynchronous
    async def test_the_log_has_no_prompt(self, plain: Serving) -> None:
        """A line of the log tells who asked, how it ended and how long it took; never a word."""
        await plain.ask(PROMPT)
        body = client_of(plain).signed(PROMPT, sign="0" * 64)
        odd = 'POST /a%0a"?' + PROMPT.replace(" ", "+") + " HTTP/1.1"
        await client_of(plain).send(client_of(plain).post(body))
        await client_of(plain).send(client_of(plain).post(line=odd))

        line = plain.wait_for(" complete$").split()
        assert ["default", "POST", "/api/generate", "200"] == line[1:5]
        assert float(line[5]) >= 0
        assert int(line[6]) > 0
        assert plain.wait_for(" - POST /api/generate 401 ")
        assert plain.wait_for(" - POST /a%250a%22 404 ")
        assert not [line for line in plain.logged if "prompt" in line]

    @asynchronous
    async def test_figures_are_told_on_loopback_to_no_page(self, plain: Serving) -> None:
        """Prometheus gets its figures on a port of their own; a page or another name gets none."""
        await plain.ask()
        plain.wait_for(" complete$")
        url = plain.wait_for("/metrics").partition(": ")[2]

        def get(**headers: str) -> tuple[int, str]:
            request = urllib.request.Request(url, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as no:
                return no.code, ""

        status, text = get()
        assert 200 == status
        assert 'gprochat_requests_total{client="default",ending="complete",status="200"}' in text
        assert "gprochat_reply_seconds_bucket" in text
        assert "python_info" not in text
        foreign = [{"Host": "evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}]
        assert [403, 403, 403] == [get(**headers)[0] for headers in foreign]

    @asynchronous
    async def test_F108_noise_is_not_repeated(self, plain: Serving) -> None:
        """What is no HTTP at all is refused, and its bytes are neither said nor logged."""
        for noise in (b"\x16\x03\x01 canary\r\n\r\n", b"GET / canary\r\n\r\n", b"canary" * 9000):
            assert (await client_of(plain).send(noise)).status in (0, 400)
        await plain.ask()
        plain.wait_for(" complete$")

        assert not [line for line in plain.said + plain.logged if "canary" in line]

    @asynchronous
    async def test_F22_a_clock_that_is_off(self, plain: Serving) -> None:
        """A client ten minutes behind learns the gateway's time, once, and is served."""
        clock = Clock(lambda: time.time() - 600)
        target = Target(plain.endpoint, plain.secret)

        outcomes = [await send("", prompt="json", target=target, clock=clock) for _ in range(2)]

        assert [2, 1] == [outcome.attempts for outcome in outcomes]
        assert ["complete", "complete"] == [outcome.state for outcome in outcomes]

    def test_F118_open_addresses_need_secret_and_hosts(self, refused: Refuse) -> None:
        """Beyond this machine it refuses to start without a secret, and without names."""
        for said in (
            refused("--host", "0.0.0.0", "--allowed-host", "gate.example", secret=""),
            refused("--host", "0.0.0.0"),
        ):
            code, lines = said
            assert 1 == code
            assert 2 == len(lines)
            assert "ConfigError" in lines[0]
            assert lines[1].startswith("  → ")

    @asynchronous
    async def test_F118_with_both_it_starts_and_warns(self) -> None:
        """With a secret and the names that clients use it starts, and warns of plain http."""
        with serving("--host", "0.0.0.0", "--allowed-host", "Gate.example") as running:
            port = urlsplit(running.place).port
            client = client_of(running)
            client.host = f"127.0.0.1:{port}"
            names = [f"gate.example:{port}", "gate.example", client.host, "evil.example"]

            posts = [client.post(headers={"Host": name}) for name in names]
            statuses = [(await client.send(post)).status for post in posts]

            assert [200, 200, 421, 421] == statuses
            assert running.wait_for("plain http")
            assert f"http://Gate.example:{port}/api/generate" == running.endpoint

    @pytest.mark.parametrize("weak", ["", "short", "x" * 40 + ":"])
    def test_F116_no_or_a_weak_secret(self, refused: Refuse, weak: str) -> None:
        """Nobody could sign, or anybody could: it does not start, and does not repeat it."""
        code, lines = refused(secret=weak)

        assert (1, 2) == (code, len(lines))
        assert "secret" in lines[0]
        assert not weak or weak not in "".join(lines)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--port", "70000"],
            ["--model", "m"],
            ["--backend", "gemini", "--base-url", "http://localhost:1/v1"],
            ["--backend", "ollama/x", "--model", "y"],
            ["--concurrent", "0"],
            ["--queue", "5"],
            ["--prefix", "no slash"],
            ["--secret", "x" * 32],
            ["--host", "::1", "--socket", "/tmp/s"],
            ["--allowed-host", "https://gate.example/"],
        ],
    )
    def test_wrong_arguments(self, refused: Refuse, arguments: list[str]) -> None:
        """A wrong argument is named, with exit code 2, and nothing starts."""
        code, lines = refused(*arguments)

        assert 2 == code
        assert arguments[0] in lines[-1]

    def test_a_password_on_the_command_line(self, refused: Refuse) -> None:
        """An address with a password is refused: others could see it in the list of processes."""
        code, lines = refused("--redis", "redis://:hidden@localhost:6379")

        assert 1 == code
        assert "GPROCHAT_REDIS_URL" in lines[1]
        assert "hidden" not in "".join(lines)

    def test_a_taken_port(self, refused: Refuse, plain: Serving) -> None:
        """A port that is taken is said in two lines."""
        port = str(urlsplit(plain.endpoint).port)

        code, lines = refused("--port", port)

        assert (1, 2) == (code, len(lines))
        assert port in lines[0]

    @asynchronous
    async def test_the_body_signature_may_be_required(self) -> None:
        """With --require-body-signature a prompt under the older signature alone is refused."""
        with serving("--require-body-signature", "--no-access-log") as running:
            client = client_of(running)

            assert 401 == (await client.send(client.post())).status
            assert '"name"' in await running.ask()
            assert [] == running.logged

    @asynchronous
    async def test_under_a_path(self) -> None:
        """With --prefix it is served under that path and nowhere else; signatures cover it."""
        with serving("--prefix", "/services/gprochat/", "--require-body-signature") as running:
            assert running.endpoint.endswith("/services/gprochat/api/generate")
            assert '"name"' in await running.ask()
            assert (200, b"ok\n") == health(running)
            client = client_of(running)
            assert 404 == (await client.send(client.post())).status

    def test_the_command_is_installed(self) -> None:
        """`gprochat` is the same as `python -m gprochat_magic`."""
        command = Path(sys.executable).with_name("gprochat")
        if not command.exists() and os.environ.get("CI") != "true":
            pytest.skip("the package was installed before it had the command")

        done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)

        assert done.stdout.startswith("gprochat-magic ")


class TestSocket:
    @asynchronous
    async def test_F110_a_socket_is_its_owners(self, tmp_path: Path) -> None:
        """A Unix socket may be used by its owner alone; one that was left behind is replaced."""
        path = tmp_path / "s"
        with serving("--socket", str(path)) as running:
            running.socket = str(path)
            client = client_of(running)
            client.host = "localhost"

            assert 200 == (await client.send(client.post())).status
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)
            with serving("--socket", str(path), ready=False) as second:
                assert 1 == second.over()
                assert "another gateway" in second.said[0]
        assert path.exists()
        with serving("--socket", str(path)) as again:
            assert 0 == again.end()
        assert not path.exists()

    def test_what_is_no_socket_stays(self, refused: Refuse, tmp_path: Path) -> None:
        """A file at that path is not removed."""
        path = tmp_path / "precious"
        path.write_text("precious")

        assert 1 == refused("--socket", str(path))[0]
        assert "precious" == path.read_text()


class TestEnd:
    @asynchronous
    async def test_running_replies_end(self) -> None:
        """After SIGTERM what runs ends whole, what comes is told to ask again, and it says so."""
        with serving() as running:
            client = client_of(running)
            reader, writer = await client.connect()
            writer.write(client.post(client.signed("slow json")))
            await reader.readuntil(b"200 OK")

            running.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(running.wait_for, "SIGTERM")

            assert (503, b"draining\n") == await asyncio.to_thread(health, running)
            later = await client.send(client.post())
            assert (503, "1") == (later.status, later.headers["retry-after"])
            assert (await reader.read(-1)).endswith(b"0\r\n\r\n")
            writer.close()
            assert 0 == await asyncio.to_thread(running.over)
            assert "Ended." == running.said[-1]

    @asynchronous
    @pytest.mark.parametrize("limited", [False, True])
    async def test_but_not_for_ever(self, limited: bool) -> None:
        """A second signal, or the end of the time for it, cuts replies; their reader can tell."""
        with serving("--drain", "1" if limited else "30") as running:
            reply = asyncio.create_task(running.ask("slow long 20001", retries=0))
            client = client_of(running)
            reader, writer = await client.connect()
            writer.write(client.post(client.signed("slow long 20000")))
            await reader.readuntil(b"200 OK")

            running.process.send_signal(signal.SIGINT)
            await asyncio.to_thread(running.wait_for, "SIGINT")
            if not limited:
                running.process.send_signal(signal.SIGINT)

            assert 0 == await asyncio.to_thread(running.over)
            assert "Ended; some replies were cut off." == running.said[-1]
            assert not (await reader.read(-1)).endswith(b"0\r\n\r\n")
            writer.close()
            with pytest.raises(StreamInterruptedError) as caught:
                await reply
            assert caught.value.partial


class TestLimits:
    @asynchronous
    async def test_requests_a_minute(self) -> None:
        """A client that asks too often is told when to ask again."""
        with serving("--requests-per-minute", "2") as running:
            client = client_of(running)
            answers = [await client.send(client.post(client.signed("json"))) for _ in range(3)]

            assert [200, 200, 429] == [answer.status for answer in answers]
            assert 50 < int(answers[2].headers["retry-after"]) <= 60

    @asynchronous
    async def test_replies_at_a_time(self) -> None:
        """One reply runs, one waits its turn, and the next is refused with a time to wait."""
        with serving("--concurrent", "1", "--queue", "1") as running:
            client = client_of(running)
            reader, writer = await client.connect()
            writer.write(client.post(client.signed("slow json")))
            await reader.readuntil(b"200 OK")
            second = asyncio.create_task(client.send(client.post(client.signed("json"))))
            await asyncio.sleep(0)

            statuses = set()
            for _ in range(50):
                answer = await client.send(client.post(client.signed("json")))
                statuses.add(answer.status)
                if answer.status == 429:
                    break

            assert (429, "2") == (answer.status, answer.headers["retry-after"])
            assert 200 == (await second).status
            writer.close()
