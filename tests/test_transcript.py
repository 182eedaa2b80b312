"""Conversations as files: what was written comes back; what is none of ours is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gprochat_magic import transcript
from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.errors import ConfigError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
AWKWARD = [
    "## 1. You\n\n<!-- gprochat 00000000 user -->\n**1. You**\n\ntext",
    "\n\n  leading and trailing  \n\n",
    "```python\nprint('x')\n```\n",
    "# gprochat\r\nwindows line ends\r\n",
    '{"role": "user"}',
]


def conversation(*pairs: tuple[str, str]) -> Conversation:
    made = Conversation("made")
    for prompt, reply in pairs:
        made.append(Turn(prompt, reply=reply, state="complete", model="m"))
    return made


def branched() -> Conversation:
    """Three turns, of which the second was asked twice and the first replaced."""
    made = conversation(("one", "1"), ("two", "2"), ("three", "3"))
    first, second, _ = made.line()
    made.branch(Turn("two, better", reply="2b", state="interrupted"), second.parent)
    made.replace(first, Turn("one, better", reply="1b", state="unverified"))
    return made


def told(made: Conversation) -> list[tuple[str, str]]:
    return [(turn.prompt, turn.reply) for turn in made.line()]


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
@pytest.mark.parametrize("suffix", [".json", ".ipynb"])
def test_any_text_comes_back(suffix: str, pairs: list[tuple[str, str]]) -> None:
    """Whatever the turns hold, a file of them gives the same turns."""
    text = transcript.write(conversation(*pairs), suffix)

    assert told(transcript.read(text, suffix, "read")) == pairs


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_any_text_comes_back_from_markdown(pairs: list[tuple[str, str]]) -> None:
    """Markdown as well, whose marks no text of a turn can forge."""
    text = transcript.write(conversation(*pairs), ".md")

    assert told(transcript.read(text, ".md", "read")) == pairs


@pytest.mark.parametrize("suffix", [".json", ".md", ".ipynb"])
@pytest.mark.parametrize("awkward", AWKWARD)
def test_text_that_looks_like_ours(suffix: str, awkward: str) -> None:
    """Headings, marks, fences and blank lines inside a turn stay inside it."""
    pairs = [(awkward, awkward), ("next", awkward)]
    text = transcript.write(conversation(*pairs), suffix)

    assert told(transcript.read(text, suffix, "read")) == pairs


def test_json_keeps_the_whole_tree() -> None:
    """Branches, states and marks come back, under fresh ids."""
    before = branched()
    after = transcript.read(transcript.write(before, ".json"), ".json", "read")

    def shape(made: Conversation) -> list[Turn]:
        places = {turn.id: str(place) for place, turn in enumerate(made.turns())}
        return [
            replace(turn, id=places[turn.id], parent=turn.parent and places[turn.parent])
            for turn in made.turns()
        ]

    assert shape(after) == shape(before)
    assert told(after) == told(before)
    assert not {t.id for t in after.turns()} & {t.id for t in before.turns()}


def test_json_of_other_tools_is_read() -> None:
    """The shape of chat completions: a list or an object, instructions, content in parts."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Still there?"},
    ]
    expected = [("Be brief.\n\nHi", "Hello"), ("Still there?", "")]

    for whole in (messages, {"messages": messages}):
        assert told(transcript.read(json.dumps(whole), ".json", "read")) == expected


def test_an_exported_notebook_is_a_notebook() -> None:
    """Prompts are cells that can be run as they are; replies are Markdown that fetches nothing."""
    reply = 'Look: ![x](https://evil.example/x.png) <img src="https://evil.example/y">\n`<b>` ok'
    text = transcript.write(conversation(("ask {this}", reply)), ".ipynb")

    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    prompt, shown = notebook.cells[1:]
    assert prompt.source == "%%gprochat --raw\nask {this}"
    assert "![x]" not in shown.source
    assert "<img" not in shown.source
    assert "`<b>` ok" in shown.source


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("", ".json"),
        ("[]", ".json"),
        ("{", ".json"),
        ('{"messages": 5}', ".json"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', ".json"),
        ('{"gprochat": {"head": "x", "turns": []}}', ".json"),
        ('{"gprochat": {"head": null, "turns": [{"prompt": 5}]}}', ".json"),
        (
            '{"gprochat": {"head": "a", "turns": [{"prompt": "x", "id": "a", "parent": "a"}]}}',
            ".json",
        ),
        (
            '{"gprochat": {"head": "a", "turns": [{"prompt": "x", "id": "a", "parent": "b"}]}}',
            ".json",
        ),
        ("[" * 100_000, ".json"),
        ("# just a heading", ".md"),
        ("not a notebook", ".ipynb"),
        ('{"cells": [{"cell_type": "code"}], "nbformat": 4, "nbformat_minor": 5}', ".ipynb"),
        ('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', ".ipynb"),
        ("text", ".txt"),
    ],
)
def test_what_is_no_conversation_is_refused(text: str, suffix: str) -> None:
    """Malformed files are one clear error, whatever is wrong with them."""
    with pytest.raises(ConfigError):
        transcript.read(text, suffix, "read")


def test_a_huge_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file past the limit is not even parsed."""
    monkeypatch.setattr(transcript, "LARGEST", 10)

    with pytest.raises(ConfigError, match="larger than"):
        transcript.read("x" * 11, ".json", "read")
