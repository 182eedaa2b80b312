"""Text of turns on its way to a file and back: to the store, and to each form of export."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gprochat_magic import transcript
from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.messages import well_formed
from gprochat_magic.store import Store
from tests.properties import tried
from tests.properties.test_waits import HALVES

SUFFIXES = (".md", ".json", ".ipynb")
AWKWARD = st.sampled_from(
    [
        "\x00",
        "\ufeff",
        "\r\n",
        "\r",
        "\n\n",
        "\x85",
        "\u2028",
        "```",
        "# ",
        "-->",
        "\x0c",
        " ",
        "<!-- gprochat 00000000 user -->\n",
        "\n<!-- gprochat 00000000 end -->\n",
        "\x1b[0m",
        "**1. You**\n\n",
        "%%gprochat\n",
    ]
)
SOUND = st.lists(
    AWKWARD | st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=6
).map("".join)
ANY = st.lists(HALVES | SOUND, min_size=1, max_size=4).map("".join)
LONG = ("0123456789abcde\0" * 2**16) + "\ufeff\r\n"


def of(pairs: list[tuple[str, str]], model: str = "m") -> Conversation:
    made = Conversation("made")
    for prompt, reply in pairs:
        made.append(Turn(prompt, reply=reply, state="complete", model=model))
    return made


def told(conversation: Conversation) -> list[tuple[str, str]]:
    return [(turn.prompt, turn.reply) for turn in conversation.line()]


def through(conversation: Conversation, suffix: str) -> Conversation:
    """The conversation after it was written to a file and read from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "conversation" + suffix)
        transcript.export(conversation, path, replace=False)
        return transcript.load(path, "read")


@pytest.mark.parametrize("suffix", SUFFIXES)
@tried()
@given(st.lists(st.tuples(SOUND, SOUND), min_size=1, max_size=3), SOUND)
@example([(LONG, LONG)], "m")
@example([("a\r\nb", "\ufeff\n")], "a\n\nb")
def test_F98_a_file_gives_the_same_turns(
    suffix: str, pairs: list[tuple[str, str]], model: str
) -> None:
    """Any text comes back from a file character by character, whatever the model was called."""
    assert pairs == told(through(of(pairs, model), suffix))


@tried()
@given(SOUND.map(lambda text: "." + text.replace("\r", "")))
def test_a_file_with_other_line_ends_is_read(text: str) -> None:
    """A file whose every line end an editor has changed gives the turns with those of others."""
    whole = transcript.write(of([(text, text)]), ".md").replace("\n", "\r\n")

    assert [(text, text)] == told(transcript.read(whole, ".md", "read"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@tried()
@given(ANY, ANY)
def test_F58_halves_of_characters_are_no_obstacle(suffix: str, prompt: str, reply: str) -> None:
    """Lone surrogates, which a file of another program can spell, are U+FFFD from then on."""
    whole = transcript.write(of([(prompt, reply)]), suffix)
    # As another program writes it: every character but ASCII as an escape.
    whole = whole if suffix == ".md" else json.dumps(json.loads(whole))
    loaded = transcript.read(whole, suffix, "read")

    assert [(well_formed(prompt), well_formed(reply))] == told(loaded)
    assert told(loaded) == told(through(loaded, suffix))


@tried(0.4)
@given(ANY, ANY)
@example(LONG, LONG)
def test_F98_the_store_gives_the_same_turn(prompt: str, reply: str) -> None:
    """Any text comes back from the store; halves of characters as U+FFFD."""
    store = Store(":memory:")
    try:
        key = store.create("made")
        store.save(key, Turn(prompt, reply=reply, state="complete")).result(10)
        loaded = store.load(key)
    finally:
        store.close()

    assert [(well_formed(prompt), well_formed(reply))] == [
        (t.prompt, t.reply) for t in loaded.turns
    ]
    assert not loaded.damaged


@pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning")  # as damage may be
@tried(2)
@given(st.sampled_from(SUFFIXES), SOUND, st.integers(0, 400), SOUND)
def test_a_damaged_file_is_refused_or_read(suffix: str, text: str, at: int, put: str) -> None:
    """A file that was changed anywhere is a conversation or one clear error."""
    whole = transcript.write(of([(text, text)]), suffix)
    try:
        loaded = transcript.read(whole[:at] + put + whole[at + 1 :], suffix, "read")
    except transcript.ConfigError:
        return

    assert loaded.line()
