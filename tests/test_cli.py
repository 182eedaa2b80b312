"""`gprochat ask` and `history` as processes: what they print, keep, and end with."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gprochat_magic import conversations
from gprochat_magic.cli import main
from tests.gateways import served

COMMAND = (sys.executable, "-m", "gprochat_magic")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A history file of the test's own."""
    return tmp_path / "history.sqlite"


Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Here]:
    """Runs a command in this process: its exit code, and what it wrote to stdout and stderr."""
    monkeypatch.setenv("GPROCHAT_STORE", str(store))
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    yield command
    conversations.close()


def environment(store: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "GPROCHAT_STORE": str(store), **variables}


def run(
    store: Path, *arguments: str, typed: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """A command with this on stdin, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(store, **variables),
    )


def begun(store: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """A command that has begun to print."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(store),
    )
    assert process.stdout is not None
    assert process.stdout.read(1)
    return process


class TestAsk:
    def test_the_prompt_is_typed_or_piped(self, store: Path) -> None:
        """Words, stdin, or both: one prompt; the reply goes to stdout and nothing else does."""
        with served() as gateway:
            gateway.backend.pieces = ["При", "вет"]
            here = gateway.environment
            done = [
                run(store, "ask", "what", "is it?", **here),
                run(store, "ask", typed="piped text\n", **here),
                run(store, "ask", "explain this:", typed="line 1\nline 2\n", **here),
            ]

        assert [(0, "Привет\n", "")] * 3 == [(d.returncode, d.stdout, d.stderr) for d in done]
        prompts = ["what is it?", "piped text", "explain this:\n\nline 1\nline 2"]
        assert prompts == gateway.backend.prompts

    def test_characters_that_a_pipe_does_not_know(self, store: Path) -> None:
        """Bytes that are no text, and a reply that cannot be written there, cost a mark each."""
        with served() as gateway:
            gateway.backend.pieces = ["ответ: ", "é"]
            done = subprocess.run(
                [*COMMAND, "ask"],
                input=b"caf\xe9 \xff",
                capture_output=True,
                timeout=60,
                env=environment(store, **gateway.environment, PYTHONIOENCODING="ascii"),
            )

        assert (0, b"?????: ?\n", b"") == (done.returncode, done.stdout, done.stderr)
        assert ["caf\ufffd \ufffd"] == gateway.backend.prompts

    def test_flags_go_along(self, store: Path) -> None:
        """Model, instructions and parameters reach the model, as the magics send them."""
        flags = ("-m", "m", "-s", "be brief", "-t", "0.5", "--max-tokens", "7")
        with served() as gateway:
            done = run(store, "ask", *flags, "hi", **gateway.environment, GPROCHAT_WIRE="turns")

        assert (0, "") == (done.returncode, done.stderr)
        messages, options = gateway.backend.asked[0]
        assert ["system", "user"] == [message["role"] for message in messages]
        assert {"model": "m", "temperature": 0.5, "max_tokens": 7} == options

    def test_earlier_turns_go_along(self, store: Path) -> None:
        """A second prompt to a conversation carries the first; one without a name begins anew."""
        with served() as gateway:
            for arguments in (["-c", "x", "one"], ["-c", "x", "two"], ["three"]):
                run(store, "ask", *arguments, **gateway.environment)

        assert "one" == gateway.backend.prompts[0]
        assert "User: one\nAssistant: ok\nUser: two\nAssistant:" == gateway.backend.prompts[1]
        assert "three" == gateway.backend.prompts[2]

    def test_a_reply_cannot_steer_the_terminal(self, store: Path) -> None:
        """Escape sequences of a reply are not printed, also where they come in pieces."""
        with served() as gateway:
            gateway.backend.pieces = ["a\x1b]0;ti", "tle\x07b\x1b[2J\r", "c\td\n"]
            done = run(store, "ask", "hi", **gateway.environment)

        assert "abc\td\n" == done.stdout

    def test_an_error_is_two_lines(self, store: Path) -> None:
        """What went wrong and what to do, on stderr, with exit code 1; no traceback."""
        done = run(store, "ask", "error 400")

        assert (1, "") == (done.returncode, done.stdout)
        lines = done.stderr.splitlines()
        assert 2 == len(lines)
        assert lines[0].startswith("BadRequestError: ")
        assert lines[1].startswith("  → ")

    def test_a_reply_that_breaks_off(self, store: Path) -> None:
        """The text that came is printed and kept, and the error follows on stderr."""
        done = run(store, "ask", "-c", "broken", "cut")

        assert 1 == done.returncode
        assert done.stdout.strip()
        assert "StreamInterruptedError" in done.stderr
        assert "[interrupted]" in run(store, "history", "show", "broken").stdout

    def test_ctrl_c(self, store: Path) -> None:
        """Ctrl-C stops the reply with exit code 130 and one line; the text so far is kept."""
        process = begun(store, ["ask", "-c", "stopped", "slow long 20000"])

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

        assert 130 == process.returncode
        assert b"Stopped. The text so far is kept in the conversation." == err.strip()
        assert out
        assert "[interrupted]" in run(store, "history", "show", "stopped").stdout

    def test_a_broken_pipe_is_quiet(self, store: Path) -> None:
        """A reader who has had enough ends the reply, without a word."""
        process = begun(store, ["ask", "-c", "piped", "slow long 20000"])
        assert process.stdout is not None
        assert process.stderr is not None

        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()

        assert (141, b"") == (process.wait(30), err)
        assert "[interrupted]" in run(store, "history", "show", "piped").stdout

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["ask"],
            ["ask", "-n", "x", "hi"],
            ["ask", "--no-history", "-c", "x", "hi"],
            ["ask", "--nonsense", "hi"],
            ["nonsense"],
        ],
    )
    def test_wrong_arguments(self, here: Here, store: Path, arguments: list[str]) -> None:
        """A wrong argument is exit code 2, and nothing is sent or kept."""
        with pytest.raises(SystemExit) as caught:
            here(*arguments)

        assert 2 == caught.value.code
        assert not store.exists()


class TestHistory:
    def test_the_same_as_everywhere(self, here: Here, store: Path, tmp_path: Path) -> None:
        """Turns of `ask` go on where they were, and are listed, shown, found and written."""
        assert "No conversations" in here("history")[1]
        assert 0 == run(store, "ask", "-c", "mine", "json").returncode
        assert 0 == here("ask", "-c", "mine", "the word of the second prompt")[0]

        assert "mine                         2 turns" in here("history")[1]
        shown = here("history", "show", "mine", "1")[1]
        assert "  > the word of the second prompt" in shown
        assert "> json" not in shown
        assert here("history", "search", "second", "prompt")[1].startswith("mine")

        file = tmp_path / "mine.json"
        export = ("history", "export", "mine", str(file))
        assert 0 == here(*export)[0]
        assert 4 == len(json.loads(file.read_text())["messages"])
        code, _, said = here(*export)
        assert 1 == code
        assert "--force" in said
        assert 0 == here(*export, "--force")[0]

    def test_what_there_is_not(self, here: Here) -> None:
        """An unknown conversation is an error in two lines that names the nearest one."""
        here("ask", "-c", "mine", "json")

        code, out, said = here("history", "show", "mime")

        assert (1, "") == (code, out)
        assert 2 == len(said.splitlines())
        assert "mine" in said

    def test_nothing_is_kept(self, here: Here) -> None:
        """--no-history leaves no conversation behind."""
        assert 0 == here("ask", "--no-history", "json")[0]

        assert "No conversations" in here("history")[1]


def test_help_is_light() -> None:
    """Help and version need neither aiohttp nor IPython."""
    code = (
        "import sys\n"
        "from gprochat_magic.cli import main\n"
        "try:\n    main(['--version'])\n"
        "except SystemExit:\n    pass\n"
        "sys.exit(str({'aiohttp', 'IPython', 'nbformat'} & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "set()" == done.stderr.strip()
