"""`--dry-run` and `context` in a real kernel: what would be sent, equal to what is sent then."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.kernels import Kernel, kernel

SECRET = "canary-of-the-secret-0123456789"


class Recorded(ThreadingHTTPServer):
    """A server that answers `ok` and keeps the bodies of its requests."""

    bodies: list[dict[str, Any]]


class Answer(BaseHTTPRequestHandler):
    server: Recorded

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


@pytest.fixture(scope="module")
def far() -> Iterator[Recorded]:
    with Recorded(("127.0.0.1", 0), Answer) as server:
        server.bodies = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def one_kernel(far: Recorded) -> Iterator[Kernel]:
    endpoint = f"http://127.0.0.1:{far.server_address[1]}/api/generate"
    with kernel(GPROCHAT_API_ENDPOINT=endpoint, GPROCHAT_SECRET_KEY=SECRET) as started:
        started.run("numbers = [1, 2]\npicture = b'\\x89PNG\\r\\n\\x1a\\n' + bytes(9_000)")
        yield started


@pytest.fixture
def k(one_kernel: Kernel, far: Recorded) -> Kernel:
    """A kernel whose conversation has two turns; the server has recorded nothing since."""
    one_kernel.run("%gprochat new")
    one_kernel.run("%config GPROChatMagics.wire = 'turns'")
    one_kernel.run("%gprochat -q first prompt\n%gprochat -q second prompt")
    far.bodies.clear()
    return one_kernel


def shown(k: Kernel, code: str) -> dict[str, Any]:
    """The request that a dry run prints."""
    ran = k.run(code)
    assert ran.status == "ok", ran.stdout
    first, _, rest = ran.stdout.partition("\n")
    assert first.startswith("To 127.0.0.1:")
    body: dict[str, Any] = json.loads(rest)
    return body


@pytest.mark.parametrize("wire", ["turns", "flat"])
@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("", "hello {numbers}"),
        ("-s 'be brief' -n 1 -m other", "hello"),
        ("--no-history", "hello"),
        ("-n all -x numbers -x vars", "\\frac{1}{2} and {0}"),
        ("--raw -q -o kept -f text", "hello {numbers}"),
        ("--new -c {fresh}", "hello"),
    ],
)
def test_a_dry_run_is_the_request(
    k: Kernel, far: Recorded, wire: str, flags: str, text: str
) -> None:
    """What --dry-run prints is what is sent then, but for time and signature, which it masks."""
    k.run(f"%config GPROChatMagics.wire = '{wire}'")
    flags = flags.replace("{fresh}", f"fresh-{wire}")
    if wire == "flat":
        flags = flags.replace("-m other", "")  # refused there
    history = k.run("%gprochat history").stdout
    dry = shown(k, f"%%gprochat --dry-run {flags}\n{text}\n")
    assert far.bodies == []
    assert history == k.run("%gprochat history").stdout

    quiet = "" if "-q" in flags else "-q"
    assert k.run(f"%%gprochat {flags} {quiet}\n{text}\n").status == "ok"
    [real] = far.bodies
    assert list(real) == list(dry)
    assert {"time": "****", "sign": "****"} == {name: dry[name] for name in ("time", "sign")}
    assert {**real, "time": "****", "sign": "****"} == dry


def test_a_dry_run_of_the_same_cell_again_is_the_rerun(k: Kernel, far: Recorded) -> None:
    """Where running a cell again replaces its turn, the dry run shows just what that sends."""

    def run(code: str) -> str:
        content = {
            "code": code, "silent": False, "store_history": True,
            "user_expressions": {}, "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        message = k.client.session.msg("execute_request", content, metadata={"cellId": "one"})
        k.client.shell_channel.send(message)
        return k.finish(message["header"]["msg_id"]).stdout

    run("%gprochat -q from this cell")
    dry = json.loads(run("%gprochat --dry-run from this cell, again").partition("\n")[2])
    run("%gprochat -q from this cell, again")

    assert far.bodies[-1]["messages"] == dry["messages"]
    assert len(dry["messages"]) == 5


def test_a_dry_run_leaves_out_no_more_than_base64(k: Kernel, far: Recorded) -> None:
    """A picture's base64 is cut for the eye; all else is the request."""
    dry = shown(k, "%gprochat --dry-run -i picture what is it?")
    k.run("%gprochat -q -i picture what is it?")
    [real] = far.bodies

    seen = dry["messages"][-1]["parts"][1]["inline_data"]
    sent = real["messages"][-1]["parts"][1]["inline_data"]
    assert seen["data"].startswith(sent["data"][:60] + "… (")
    assert f"({len(sent['data']):,} characters of base64)" in seen["data"]
    seen["data"] = sent["data"]
    assert real["messages"] == dry["messages"]


def test_a_dry_run_shows_no_secret_and_keeps_nothing(k: Kernel, far: Recorded) -> None:
    """Neither the secret nor a signature is printed; no turn, no conversation, no result."""
    before = k.run("%gprochat list").stdout
    ran = k.run("nothing = %gprochat --dry-run --new -c never -s x hello")
    k.run("import os; secret = os.environ['GPROCHAT_SECRET_KEY']")
    also = k.run("%gprochat --dry-run -x secret hello\n%gprochat context -x secret")

    assert SECRET not in ran.stdout + also.stdout
    assert k.value("nothing is None")
    assert before.splitlines() == k.run("%gprochat list").stdout.splitlines()
    assert far.bodies == []


@pytest.mark.parametrize("flags", ["-n 0 {text}", "--strict {nobody}", "-x nobody hi", "-q"])
def test_what_sending_refuses_a_dry_run_refuses(k: Kernel, far: Recorded, flags: str) -> None:
    """Too long a prompt, a bad name, no prompt: the same error, with and without it."""
    k.run("long = 'x' * 150_000\n" + "".join(f"l{n} = long\n" for n in range(30)))
    line = flags.replace("{text}", " ".join(f"{{l{n}}}" for n in range(30)))
    dry, real = k.run(f"%gprochat --dry-run {line}"), k.run(f"%gprochat {line}")

    assert dry.status == real.status == "error"
    assert dry.reply["content"]["evalue"] == real.reply["content"]["evalue"]
    assert far.bodies == []


def test_context_shows_what_would_be_sent(k: Kernel, far: Recorded) -> None:
    """`context` lists system, turns with sizes and tokens, what is left out, and the total."""
    said = k.run("%gprochat context -s 'be brief' -n 1").stdout

    assert "model: gemini-1.5-pro; wire: turns" in said
    assert "system: 8 characters, ~2 tokens: be brief" in said
    assert "earlier turns: 1; 1 left out" in said
    assert "  user: 13 characters, ~4 tokens: second prompt" in said
    assert "first prompt" not in said
    assert "together: ~7 tokens of 32,000" in said
    assert far.bodies == []


def test_context_shows_the_blocks(k: Kernel) -> None:
    """With -x, -i and text, `context` shows just the prompt that they would make."""
    said = k.run("%gprochat context -x numbers -i picture what is {numbers}?").stdout

    assert "  | numbers (list):\n  | ```\n  | [1, 2]\n  | ```\n" in said
    assert "  | what is [1, 2]?\n" in said
    assert "pictures: 1, 12,012 characters of base64" in said


def test_context_of_something_is_a_prompt(k: Kernel, far: Recorded) -> None:
    """`context of ...` is a question; a wrong flag behind `context` is a usage error."""
    k.run("%gprochat -q context of the poem")
    assert far.bodies[-1]["messages"][-1]["parts"][0]["text"] == "context of the poem"

    far.bodies.clear()
    assert "no flag --nope" in k.run("%gprochat context --nope").stdout
    assert "nothing is called that" in k.run("%gprochat context -x nobody").stdout
    assert far.bodies == []
