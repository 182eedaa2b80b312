"""The file of names and secrets of `serve`: who may ask, and secrets that are replaced."""

from __future__ import annotations

import signal
from pathlib import Path
from secrets import token_hex

import pytest

from gprochat_magic.errors import AuthError
from tests.gateway.conftest import Refuse
from tests.gateway.serving import serving

asynchronous = pytest.mark.asyncio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file with Ada's and Ben's secrets."""
    path = tmp_path / "secrets"
    path.touch(0o600)
    return path


@asynchronous
async def test_each_has_a_secret(file: Path) -> None:
    """Each name of the file may ask with its own secret, and the log knows who did."""
    ada, ben = token_hex(32), token_hex(32)
    # As an editor on Windows writes it.
    file.write_text(f"\ufeffada:{ada}\r\n\r\n# and\r\nben:{ben}\r\n", newline="")

    with serving("--secrets-file", str(file)) as running:
        await running.ask(secret=ada)
        await running.ask(secret=ben)

        assert running.wait_for(" ada POST .* 200 ")
        assert running.wait_for(" ben POST .* 200 ")
        # The secret of the environment is the client's, here, and opens nothing.
        with pytest.raises(AuthError):
            await running.ask()
        assert running.wait_for(" - POST .* 401 ")


@asynchronous
@pytest.mark.parametrize("told", [False, True])
async def test_a_secret_is_replaced_without_a_pause(file: Path, told: bool) -> None:
    """Old and new hold together, then the new alone; the file is read when it changes, or told.

    A file that is not in order changes nothing.
    """
    old, new = token_hex(32), token_hex(32)
    file.write_text(f"ada:{old}\n")

    with serving("--secrets-file", str(file)) as running:

        def write(text: str, said: str, times: int) -> None:
            file.write_text(text)
            if told:
                running.process.send_signal(signal.SIGHUP)
            running.wait_for(said, times=times)

        write(f"ada:{old}\nada:{new}\n", "2 of 1 clients", 1)
        assert await running.ask(secret=old)
        assert await running.ask(secret=new)
        write(f"ada:{new}\nada:short\n", "stay as they were", 1)
        assert await running.ask(secret=old)
        write(f"ada:{new}\n", "1 of 1 clients", 1)
        assert await running.ask(secret=new)
        with pytest.raises(AuthError):
            await running.ask(secret=old)
        assert not [line for line in running.said if old in line or new in line]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no secret"),
        ("ada\n", "line 1"),
        ("ada:short\n", "secret of ada"),
        ("a da:" + "x" * 32, "line 1"),
        (f"ada:{'x' * 32}\nben:{'x' * 32}\n", "twice"),
        (f"ada:{'x' * 32}\nada:{'y' * 32}\nada:{'z' * 32}\n", "3 secrets"),
    ],
)
def test_what_is_not_in_order(refused: Refuse, file: Path, text: str, words: str) -> None:
    """A file that is not in order is refused in two lines, without a secret in them."""
    file.write_text(text)

    code, lines = refused("--secrets-file", str(file))

    assert (1, 2) == (code, len(lines))
    assert words in lines[0]
    assert "x" * 32 not in "".join(lines)


def test_a_file_that_others_can_read(refused: Refuse, file: Path) -> None:
    """A file that others can read is refused, with what to do."""
    file.write_text(f"ada:{'x' * 32}\n")
    file.chmod(0o640)

    code, lines = refused("--secrets-file", str(file))

    assert 1 == code
    assert "read by others" in lines[0]
    assert f"chmod 600 {file}" in lines[1]
