"""A message, and how several become the one prompt that is signed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gprochat_magic.errors import BadRequestError
from gprochat_magic.messages import format_prompt, text_of, well_formed


@given(st.text())
def test_one_message_is_its_text(text: str) -> None:
    """The prompt of a single message is its text, unchanged."""
    assert text == format_prompt([{"role": "user", "content": text}])


def test_several_messages_are_lines() -> None:
    """Several messages become a line each, and a last one for the answer."""
    prompt = format_prompt(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?\nTwo?"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "{three}"},
        ]
    )

    assert prompt == "System: Be brief.\nUser: One?\nTwo?\nAssistant: \nUser: {three}\nAssistant:"


def test_parts_are_joined() -> None:
    """A content in parts is its texts in a row."""
    message: Any = {"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]}

    assert text_of(message) == "ab"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "robot", "content": "x"},
        {"content": "x"},
        {"role": None, "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [{"image": "x"}]},
        {"role": "user", "content": [{"text": 5}]},
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_messages_that_are_none(message: Any, count: int) -> None:
    """What is no message is refused, alone and among others."""
    with pytest.raises(BadRequestError):
        format_prompt([message] * count)


def test_no_message() -> None:
    """An empty list is refused."""
    with pytest.raises(BadRequestError):
        format_prompt([])


@given(st.text(st.characters(codec=None)))
def test_well_formed(text: str) -> None:
    """Whatever a prompt holds can be encoded afterwards, and sound text is not changed."""
    sound = well_formed(text)

    assert sound.encode().decode() == sound
    assert sound == text or any("\ud800" <= character <= "\udfff" for character in text)


def test_well_formed_joins_halves() -> None:
    """Two halves that belong together become their character; others become U+FFFD."""
    assert well_formed("\ud83d\ude42 \ud83d. \ude42") == "🙂 \ufffd. \ufffd"
    assert well_formed("\ufeffx") == "\ufeffx"
