"""A secret typed in a cell works, and the user is told, once, where it is now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.gateways import Served, served
from tests.kernels import Kernel, kernel

CANARY = "canary-of-a-secret-0123456789abcdef"
TOLD = "This cell, In[] and IPython's history now hold the secret that you typed."


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served(secrets=[CANARY]) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history") / "history.sqlite"


@pytest.fixture(scope="module")
def one_kernel(far: Served, store: Path) -> Iterator[Kernel]:
    environment = {"GPROCHAT_API_ENDPOINT": far.environment["GPROCHAT_API_ENDPOINT"]}
    with kernel(**environment, GPROCHAT_STORE=str(store), GPROCHAT_RETRIES="0") as started:
        yield started


@pytest.fixture
def k(one_kernel: Kernel) -> Kernel:
    """A kernel whose settings are those of its environment: an endpoint, and no key."""
    # IPython keeps what %config was told for the next load.
    one_kernel.run("get_ipython().config.pop('GPROChatMagics', None)\n%reload_ext gprochat_magic")
    return one_kernel


def test_F128_config_of_the_key(k: Kernel, store: Path) -> None:
    """It signs, one notice names the better way, and nothing of ours shows or stores it."""
    ran = k.run(f"%config GPROChatMagics.secret_key = '{CANARY}'")

    assert ran.stdout.count(TOLD) == 1
    assert "Better: %gprochat key, or GPROCHAT_SECRET_KEY" in ran.stdout
    later = k.run("%gprochat hi\n%gprochat set\n%config GPROChatMagics\n%gprochat doctor")
    assert later.status == "ok"
    assert TOLD not in later.stdout
    assert CANARY not in str(later.outputs) + ran.stdout
    k.run("%unload_ext gprochat_magic")
    with closing(sqlite3.connect(store)) as history:
        assert CANARY not in "\n".join(history.iterdump())


def test_F128_a_key_from_elsewhere_is_no_news(k: Kernel) -> None:
    """A key that the cell does not hold, as read from a file, is set without a word."""
    k.run(f"kept = {CANARY!r}")
    ran = k.run("from gprochat_magic import config\nconfig.current().secret_key = kept")

    assert ran.status == "ok"
    assert ran.stdout == ""


def test_F128_a_proxy_with_a_password(k: Kernel) -> None:
    """The flag works and is told of; the password is in no output, nor in the error."""
    k.run(
        f"kept = {CANARY!r}\nfrom gprochat_magic import config\nconfig.current().secret_key = kept"
    )
    ran = k.run("%gprochat --proxy http://user:hunter2@127.0.0.1:9 hi")

    assert ran.error["ename"] == "ProxyError"
    assert ran.stdout.count(TOLD) == 1
    assert "GPROCHAT_PROXY" in ran.stdout
    assert "hunter2" not in str(ran.outputs)
    assert TOLD not in k.run("%gprochat --proxy http://127.0.0.1:9 hi").stdout


@pytest.mark.parametrize(
    "cell",
    [
        "%config GPROChatMagics.secret_key = '{typed}'",
        "%config GPROChatMagics.proxy = 'http://user:{typed}@127.0.0.1:9'",
        "get_ipython().find_line_magic('gprochat').__self__.secret_key = '{typed}'",
    ],
)
def test_F128_a_secret_typed_in_a_cell_is_in_force(k: Kernel, cell: str) -> None:
    """However it was set; the cell says where it is now, and what to do instead."""
    ran = k.run(cell.replace("{typed}", CANARY))

    assert ran.status == "ok"
    assert ran.stdout.count(TOLD) == 1
    assert "GPROCHAT_" in ran.stdout
    in_force = k.value("__import__('gprochat_magic.config').config.current().proxy + ''")
    key = k.value("__import__('gprochat_magic.config').config.current().secret_key.reveal()")
    assert CANARY in (in_force + key)
    assert CANARY not in ran.stdout + k.run("%gprochat\n%config GPROChatMagics").stdout


def test_F128_no_notice_for_what_is_no_secret(k: Kernel) -> None:
    """A proxy without a password, an emptied key."""
    ran = k.run(
        "%config GPROChatMagics.proxy = 'http://127.0.0.1:9'\n"
        "%config GPROChatMagics.secret_key = ''"
    )

    assert ran.status == "ok"
    assert ran.outputs == []


@pytest.mark.parametrize(
    "line",
    [
        "%gprochat set proxy http://user:hunter2@127.0.0.1:9",
        "%config GPROChatMagics.proxy = 'http://user:hunter2@127.0.0.1:9'",
        "%gprochat set api_endpoint http://user:hunter2@127.0.0.1:9/api",
    ],
)
def test_F128_a_setting_with_a_password(k: Kernel, line: str) -> None:
    """It is set, told of once, and shown without its password."""
    ran = k.run(line)
    shown = k.run("%gprochat set\n%gprochat\n%config GPROChatMagics")

    assert ran.stdout.count(TOLD) == 1
    assert "hunter2" not in ran.stdout + str(shown.outputs)
    assert "****@127.0.0.1:9" in shown.stdout


def test_F128_one_notice_for_a_cell(k: Kernel) -> None:
    """Two secrets in one cell are one notice; the next cell that holds one has its own."""
    lines = [
        "%gprochat set proxy http://u:hunter2@h:1",
        f"%config GPROChatMagics.secret_key='{CANARY}'",
    ]

    assert k.run("\n".join(lines)).stdout.count(TOLD) == 1
    assert k.run("%gprochat set proxy http://u:hunter3@h:1").stdout.count(TOLD) == 1


def test_F128_set_refuses_a_key(k: Kernel) -> None:
    """`set secret_key` does nothing but say where the key belongs, and where this one is now."""
    ran = k.run(f"%gprochat set secret_key {CANARY}")

    assert "%gprochat key asks for it unseen" in ran.stdout
    assert "the history hold what you typed" in ran.stdout
    assert CANARY not in ran.stdout
    assert k.value("bool(__import__('gprochat_magic').config.current().secret_key)") is False
