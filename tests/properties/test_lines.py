"""What a user types behind the magic, and what a page says to a panel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.error import UsageError

from gprochat_magic.notebook import commands, grammar, protocol
from tests.properties import tried
from tests.properties.test_waits import JSON

FLAG = st.sampled_from([*grammar.BY_NAME, "--", "-", "--nonsense", "-5", "--Model", "-m=x", "->"])
WORD = (
    FLAG
    | st.sampled_from([shape.name for shape in commands.SHAPES])
    | st.sampled_from(
        [
            "x",
            "0.5",
            "all",
            "'a b'",
            '"c\\"d"',
            "'open",
            "k=1",
            "code",
            "below",
            "9" * 5000,
            "%s",
            "1e999",
        ]
    )
    | st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=5)
)
LINE = st.lists(WORD, max_size=6).map(" ".join)
PROMPT = st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=20).map(str.strip)


@tried(8)
@given(LINE, st.none() | st.text(max_size=10))
@example("-n " + "9" * 5000, None)
def test_any_line_is_read_or_refused_in_one_line(line: str, cell: str | None) -> None:
    """Whatever is typed: a subcommand, a prompt with options, or one line on what is wrong."""
    try:
        read = grammar.parse(line, cell, commands.SHAPES)
    except UsageError as error:
        lines = str(error).splitlines()
    else:
        lines = ["read"]
        check(read, line, cell)

    assert 1 == len(lines)


def check(read: grammar.Line, line: str, cell: str | None) -> None:
    """The text of what was read is the end of what was typed."""
    if read.command:
        assert line.split()[0] == read.command
    elif cell is None:
        assert line.strip().endswith(read.text)
    else:
        assert read.text.endswith(cell.rstrip("\n"))


@tried(2)
@given(
    st.lists(
        st.sampled_from(["-q", "-m x", "-s 'be brief'", "-t 0.5", "--strict", "-n 3"]), unique=True
    ),
    PROMPT,
)
def test_behind_two_dashes_a_prompt_is_as_typed(flags: list[str], prompt: str) -> None:
    """What follows `--` is the prompt, character by character, whatever it looks like."""
    read = grammar.parse(" ".join([*flags, "--", prompt]), None, commands.SHAPES)

    assert ("", prompt) == (read.command, read.text)


EDGES = st.sampled_from(["x" * 200, "x" * 201, "\0", True, False, -1, -2, 2**53 - 1, 2**53, 1.0])
FIELD = EDGES | JSON | st.sampled_from(["x", 3]) | st.text(max_size=9)


def wishes(kind: str) -> st.SearchStrategy[Any]:
    """Messages of that kind, with the fields it needs and others."""
    needed = dict.fromkeys(protocol._ASKS[kind], FIELD)
    more = dict.fromkeys({"nonce", "text", "x"} - needed.keys(), FIELD)
    return st.fixed_dictionaries({"t": st.just(kind), **needed}, optional=more)


@tried(8)
@given(st.sampled_from([*protocol._ASKS]).flatmap(wishes) | JSON)
@example({"t": "stop", "rid": "x" * 201})
@example({"t": "alt", "mid": "x", "k": True})
def test_a_page_says_something_known_or_nothing(content: Any) -> None:
    """Any message of a page is one of the known, with known fields of bounded size, or none."""
    message = protocol.checked(content)
    if message is None:
        return

    known = {"t", *protocol._ASKS[message["t"]], *protocol._MAY_ADD.get(message["t"], ())}
    assert message.keys() <= known
    assert set(protocol._ASKS[message["t"]]) <= message.keys()
    for name, value in message.items():
        if name in ("k", "have"):
            assert type(value) is int
            assert -1 <= value < 2**53
        else:
            assert type(value) is str
            assert name == "text" or len(value) <= protocol.LONGEST_NAME
    assert message == protocol.checked(json.loads(json.dumps(message)))


@pytest.mark.parametrize("character", ["a", "ж", "😀", "\ud800"])
@tried(0.2)
@given(st.integers(-2, 2))
def test_a_prompt_is_too_long_by_bytes(character: str, off: int) -> None:
    """A page's prompt is measured in bytes, whatever it is written in."""
    size = len(character.encode("utf-8", "replace"))
    count = protocol.LONGEST_TEXT // size + off

    assert (count * size > protocol.LONGEST_TEXT) == protocol.is_too_long(character * count)
