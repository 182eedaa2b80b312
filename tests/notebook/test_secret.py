"""The secret is nowhere but in the request's signature: a canary goes through every layer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateways import Served, served
from tests.kernels import Ran, kernel

CANARY = "canary-7d1e9b40-never-to-be-shown-anywhere"
PASSWORD = "canary-proxy-password"
SERVER = "127.0.0.1:9"

VERBOSE = """
%xmode Verbose
import logging, sys, pickle, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)
from gprochat_magic import Chat, GPROChat, GPROChatError, ask, config
"""

FAILURES = [
    "%gprochat hello",
    "%%gprochat\nhello",
    "%gprochat --timeout 0.001 hello",
    "%gprochat --proxy socks5://h:1 hello",
    "%gprochat --proxy http://127.0.0.1:9 hello",
    "%gprochat --nonsense",
    "%gprochat",
    "%gprochat doctor",
    "%gprochat history",
    "%config GPROChatMagics",
    "%config GPROChatMagics.secret_key",
    "%config GPROChatMagics.secret_key = 5",
    "%config GPROChatMagics.api_endpoint = 'ftp://x'",
    "%config GPROChatMagics.turns = 'many'",
    "%whos",
    "config.current()",
    "config.current().secret_key",
    "config.current().trait_values()",
    "vars(config.current())",
    "str(config.current().secret_key), f'{config.current().secret_key}'",
    "get_ipython().magics_manager.registry['GPROChatMagics'].__dict__",
    "ask('hello')",
    "await Chat().ask('hello')",
    "await GPROChat.create_async('', [{'role': 'user', 'content': 'hello'}])",
    "await GPROChat.create_async('', [{'role': 'nobody', 'content': 'hello'}])",
    "await GPROChat.create_async('', [])",
    "list(GPROChat.create_completion('', [{'role': 'user', 'content': 'x'}], retries='many'))",
    "GPROChat.generate_signature('not a number', None)",
    "%tb",
    "pickle.dumps(sys.last_value), repr(sys.last_value), sys.last_value.args",
    "1 / 0",
    "%tb",
    "Chat().conversation.line()",
    "print(__import__('gprochat_magic.notebook').notebook._loaded.copy())",
]
"""Cells that fail, list or show something."""


@pytest.fixture
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


def everything(folder: Path, ran: list[Ran]) -> str:
    """All that came out of a kernel, and all that it wrote."""
    said = json.dumps([[r.messages, r.reply] for r in ran], default=str)
    files = [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    return "\n".join([said, *files])


@pytest.mark.parametrize("wrong", ["nobody answers", "the key is refused"])
def test_F127_the_key_is_in_no_output_file_or_log(tmp_path: Path, far: Served, wrong: str) -> None:
    """Through errors of every kind, verbose tracebacks, listings, logs, pickles and history."""
    environment = {
        "GPROCHAT_SECRET_KEY": CANARY,
        "GPROCHAT_API_ENDPOINT": f"http://user:{PASSWORD}@{SERVER}/api/generate?key={PASSWORD}",
        "GPROCHAT_RETRIES": "0",
        "IPYTHONDIR": str(tmp_path),
    }
    if wrong == "the key is refused":
        environment["GPROCHAT_API_ENDPOINT"] = far.gateway.endpoint
    with kernel(**environment) as k:
        ran = [k.run(cell) for cell in [VERBOSE, *FAILURES]]
        names = [r.reply["content"]["ename"] for r in ran if r.status == "error"]
        k.manager.shutdown_kernel()
    found = everything(tmp_path, ran)

    assert CANARY not in found
    assert PASSWORD not in found
    assert CANARY[:20] not in found
    assert ("ConnectError" if wrong == "nobody answers" else "AuthError") in names
    assert "Secret(****)" in found
    assert "%gprochat doctor" in found


def test_F127_the_history_of_ipython_is_really_searched(tmp_path: Path) -> None:
    """The test above would see a key in IPython's own file: a typed word is there."""
    with kernel(IPYTHONDIR=str(tmp_path)) as k:
        ran = k.run("word = 'canary-typed'")
        k.manager.shutdown_kernel()

    [history] = tmp_path.rglob("history.sqlite")
    with sqlite3.connect(history) as connection:
        rows = connection.execute("SELECT source FROM history").fetchall()
    connection.close()
    assert ("word = 'canary-typed'",) in rows
    assert "canary-typed" in everything(tmp_path, [ran])


def test_F127_the_key_of_the_embedded_gateway(tmp_path: Path) -> None:
    """The one that is made for the process does not show either."""
    with kernel(IPYTHONDIR=str(tmp_path), GPROCHAT_MAX_TOKENS="5") as k:
        cells = [cell for cell in FAILURES if "proxy" not in cell]
        ran = [k.run(cell) for cell in [VERBOSE, "%gprochat hello", *cells, "%gprochat cut"]]
        k.run(
            "from gprochat_magic import embedded, engine\n"
            "async def key(): return (await embedded.shared().target('demo')).secret.reveal()"
        )
        secret = k.value("engine.shared().run(key())")
        k.manager.shutdown_kernel()

    assert len(secret) >= 32
    assert secret not in everything(tmp_path, ran)
