"""A reply behaves as its text, and knows what is inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gprochat_magic.conversation import Turn
from gprochat_magic.reply import Reply, usage

CODE = "Look:\n\n```python\nx = 1\n```\n\nand\n\n~~~sh\nls\n~~~\n"


def test_it_behaves_as_its_text() -> None:
    """In str, len, `in`, f-strings, truth and comparison."""
    reply = Reply("Привет")

    assert str(reply) == f"{reply}" == "Привет"
    assert f"{reply:>8}" == "  Привет"
    assert (len(reply), "вет" in reply, bool(reply), bool(Reply(""))) == (6, True, True, False)
    assert reply == "Привет"
    assert reply == Reply("Привет", model="other")
    assert reply != 6
    assert len({reply, Reply("Привет")}) == 1


def test_code_blocks_in_order() -> None:
    """Language and exact source of each; `code` joins the sources."""
    reply = Reply(CODE)

    assert [tuple(block) for block in reply.blocks] == [("python", "x = 1\n"), ("sh", "ls\n")]
    assert reply.code == "x = 1\n\nls"
    assert Reply("prose").code == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("3", 3),
        ('Here:\n```json\n{"a": [1, 2]}\n```\nDone.', {"a": [1, 2]}),
        ('I think {so} that [1, {"b": null}] is it.', [1, {"b": None}]),
        ('```\nnot json\n```\nbut {"a": "}"} is', {"a": "}"}),
    ],
)
def test_json_wherever_it_is(text: str, value: object) -> None:
    """The whole text, a fence, or inside prose."""
    assert Reply(text).json() == value


def test_no_json_is_a_value_error() -> None:
    """And says so."""
    with pytest.raises(ValueError, match="no JSON"):
        Reply("{nothing} here").json()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(_VALUES, max_size=3) | st.dictionaries(st.text(max_size=5), _VALUES, max_size=3))
def test_json_inside_prose_survives(value: Any) -> None:
    """Whatever object or list a model puts between its words."""
    assert Reply(f"Sure! {json.dumps(value)} Anything else?").json() == value


@pytest.mark.parametrize(
    ("state", "stopped"),
    [("complete", False), ("unverified", False), ("interrupted", True), ("failed", True)],
)
def test_stopped(state: Any, stopped: bool) -> None:
    """It says whether the text broke off."""
    assert Reply("x", state=state).stopped is stopped


def test_shown_it_is_html_and_plain_text_never_markdown() -> None:
    """A front end gets what was rendered here, with nothing live in it."""
    bundle = Reply("**bold** <script>alert(1)</script> \x1b[31mred")._repr_mimebundle_()

    assert set(bundle) == {"text/html", "text/plain"}
    assert "<strong>bold</strong>" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert "\x1b" not in bundle["text/plain"]


def test_usage_is_an_estimate_of_both_sides() -> None:
    """A quarter of the bytes of what was sent and what came."""
    guessed = usage(Turn("abcd", reply="abcdefgh"), "abcd")

    assert guessed == (1, 2)
    assert guessed.estimated


def test_reported_usage_is_no_estimate() -> None:
    """What a model's server counted wins."""
    counted = usage(Turn("abcd", reply="abcdefgh", sent=70, received=9), "abcd")

    assert counted == (70, 9)
    assert not counted.estimated
