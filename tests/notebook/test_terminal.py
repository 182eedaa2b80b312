"""Code and fixes in a real terminal: what is written, and what the next prompt holds."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.gateways import Served, served
from tests.notebook.test_formats import MIXED, says

CODE = "x = {1: 2}\r\nprint(x)\r\n"


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


class Terminal:
    """IPython in a pseudo-terminal, with the extension loaded."""

    def __init__(self, far: Served, home: Path, *flags: str, term: str) -> None:
        environment = {**far.environment, "GPROCHAT_STORE": ":memory:", "GPROCHAT_WIRE": "turns"}
        self._child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", "--no-banner", "--colors=NoColor", *flags],
            env={**os.environ, **environment, "IPYTHONDIR": str(home), "TERM": term},
            encoding="utf-8",
            timeout=60,
            dimensions=(60, 120),
        )
        self._count = 1
        self._child.expect(r"In \[1\]:")
        self.run("%load_ext gprochat_magic")

    def run(self, line: str) -> str:
        """Type a line; what is written until the next prompt, without control sequences."""
        self._count += 1
        self._child.send(f"{line}\r")
        self._child.expect(rf"In \[{self._count}\]:")
        return re.sub(r"\x1b(\[[^a-zA-Z]*[a-zA-Z]|\][^\x07]*\x07)", "", str(self._child.before))

    def wait_for(self, text: str) -> None:
        self._child.expect_exact(text)

    def close(self) -> None:
        self._child.close(force=True)


@pytest.fixture
def terminal(far: Served, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    term, *flags = getattr(request, "param", ["xterm"])
    opened = Terminal(far, tmp_path, *flags, term=term)
    yield opened
    opened.close()


def test_code_is_in_the_next_prompt_and_not_executed(far: Served, terminal: Terminal) -> None:
    """Only the code is written, once; the next prompt is filled with it and waits for Enter."""
    says(far, MIXED)
    written = terminal.run("%gprochat -f code show me")
    terminal.wait_for("print")
    ran = terminal.run("\x1b")

    assert written.count(CODE) == 1
    assert "Sure" not in written
    assert "the code is in the next cell" in written
    assert "{1: 2}\r\n" in ran


@pytest.mark.parametrize("terminal", [["xterm", "--simple-prompt"], ["dumb"]], indirect=True)
def test_a_prompt_that_cannot_be_filled_shows_the_block(far: Served, terminal: Terminal) -> None:
    """Without line editing the code is written, with a note; Enter then runs nothing unseen."""
    says(far, MIXED)
    written = terminal.run("%gprochat -f code show me")

    assert written.count(CODE) == 1
    assert "this prompt cannot insert a cell: copy the code from here" in written


@pytest.mark.parametrize("terminal", [["xterm", "--simple-prompt"]], indirect=True)
def test_json_and_fix_work_in_a_terminal(far: Served, terminal: Terminal) -> None:
    """The value of JSON is `_`; a fix sends the line that failed."""
    says(far, 'So: {"a": [1]}.')
    terminal.run("%gprochat -f json show me")
    assert "[1]" in terminal.run("_['a']")
    says(far, "Because.\n```python\n1/1\n```")
    terminal.run("1/0")
    written = terminal.run("%gprochat fix")

    assert "Because." in written
    assert "```python\n1/0\n```" in far.backend.prompts[-1]
    assert "ZeroDivisionError: division by zero" in far.backend.prompts[-1]


def test_prompts_are_sent_as_typed(far: Served, terminal: Terminal) -> None:
    """An apostrophe and a question mark reach the server from a terminal too."""
    says(far, "ok")
    for prompt in ("what's that", "what is this?", "{0} and \\frac{1}{2}"):
        terminal.run(f"%gprochat -n 0 {prompt}")

        assert far.backend.prompts[-1] == prompt


def test_a_panel_needs_a_notebook(terminal: Terminal) -> None:
    """The conversation is shown as it stands, and what to do instead."""
    written = terminal.run("%gprochat panel")

    assert "0 turns" in written
    assert "A panel needs a notebook; here, %gprochat TEXT asks." in written
