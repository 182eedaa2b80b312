"""Conversations of a process: shared by name, kept at once, and never in the way of a reply."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gprochat_magic import Chat, ask, config, conversations, engine
from gprochat_magic.errors import ConfigError
from gprochat_magic.store import Store


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A history file of the test's own, in force."""
    file = tmp_path / "history.sqlite"
    monkeypatch.setenv("GPROCHAT_STORE", str(file))
    yield file
    conversations.close()
    engine.shared().stop()


def kept(path: Path, name: str) -> list[tuple[str, str]]:
    """What another process would find."""
    store = Store(path)
    try:
        return [(turn.prompt, turn.state) for turn in store.load(name).turns]
    finally:
        store.close()


def test_a_finished_turn_is_on_disk_when_the_reply_is_there(path: Path) -> None:
    """As `ask` returns, the turn is in the file, complete."""
    Chat("review").ask_blocking("json")

    assert kept(path, "review") == [("json", "complete")]


def test_chats_of_one_name_share_their_turns(path: Path) -> None:
    """Two chats of a name are one conversation, also one that was read from the file."""
    Chat("review").ask_blocking("json")
    conversations.close()
    again = Chat("review")
    again.ask_blocking("code")

    assert [turn.prompt for turn in Chat("review").conversation.line()] == ["json", "code"]
    assert again.conversation is Chat("review").conversation


def test_what_failed_is_kept_as_failed(path: Path) -> None:
    """A prompt that got no reply is in the history, and is not sent along later."""
    with pytest.raises(Exception, match="400"):
        Chat("review").ask_blocking("error 400")

    assert kept(path, "review") == [("error 400", "failed")]


def test_without_history_nothing_is_kept(path: Path) -> None:
    """`history=False` leaves no trace in the conversation."""
    ask("json", history=False)

    assert conversations.shared().current.conversation.line() == []


def test_memory_keeps_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """:memory: turns the file off; the conversation works all the same."""
    monkeypatch.setenv("GPROCHAT_STORE", ":memory:")
    monkeypatch.chdir(tmp_path)
    Chat("review").ask_blocking("json")
    conversations.close()

    assert [turn.prompt for turn in Chat("review").conversation.line()] == ["json"]
    assert list(tmp_path.iterdir()) == []
    conversations.close()


def test_F83_a_locked_file_is_not_in_the_way(path: Path) -> None:
    """While another program holds the file replies go on, once with a notice; then all is there."""
    chat = Chat("review")
    chat.ask_blocking("one")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        replies = [chat.ask_blocking(prompt) for prompt in ("two", "three", "four")]
        other.execute("ROLLBACK")
    conversations.close()

    assert [turn for turn, _ in kept(path, "review")] == ["one", "two", "three", "four"]
    notices = [note for reply in replies for note in reply.notes]
    assert len(notices) <= 1


def test_a_taken_name_is_refused(path: Path) -> None:
    """A new conversation does not take the name of another, whoever made it."""
    Chat("review").ask_blocking("json")

    with pytest.raises(ConfigError, match="called review already"):
        conversations.shared().new("review")


def test_names_are_one_printable_line(path: Path) -> None:
    """A name that could not be typed again is refused."""
    for name in ("", " ", "a\nb", "x" * 300, " padded "):
        with pytest.raises(ConfigError, match="one line"):
            conversations.shared().rename(Chat("x").conversation.name, name)


def test_settings_that_name_another_file_are_followed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing `store` changes where conversations are, from then on."""
    ask("json")
    other = tmp_path / "other.sqlite"
    monkeypatch.setenv("GPROCHAT_STORE", str(other))
    ask("code")

    assert conversations.shared().path == str(other)
    assert [turn.prompt for turn in Chat().conversation.line()] == ["code"]
    assert config.current().store == str(other)
