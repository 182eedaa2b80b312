"""Conversations in a real kernel: named, branched, searched, exported, there after a restart."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import pytest

from tests.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module")
def one_kernel(place: Path) -> Iterator[Kernel]:
    # The demo takes its time over long replies, and nothing here needs one.
    with kernel(GPROCHAT_STORE=str(place / "history.sqlite"), GPROCHAT_MAX_TOKENS="5") as started:
        yield started


@pytest.fixture
def k(one_kernel: Kernel, request: pytest.FixtureRequest) -> Kernel:
    """A kernel that talks in a fresh conversation named after the test."""
    one_kernel.run(f"%gprochat new {request.node.name}")
    return one_kernel


def prompts(k: Kernel) -> list[str]:
    found = k.value("[t.prompt for t in __import__('gprochat_magic').Chat().conversation.line()]")
    return list(found)


def refused(k: Kernel, line: str) -> str:
    """What a line is refused with, as the two lines that a user sees."""
    ran = k.run(line)
    assert ran.status == "error"
    return "\n".join(ran.error["traceback"]) if ran.error["traceback"] else ""


def test_a_conversation_is_found_after_a_restart(tmp_path: Path) -> None:
    """F72: after a kernel dies mid-reply, `use` brings back every turn and the partial reply."""
    with kernel(GPROCHAT_STORE=str(tmp_path / "h.sqlite")) as k:
        k.run("%gprochat new review")
        k.run("%gprochat -q json")
        k.start("%gprochat -q slow")
        _wait_for_text(tmp_path / "h.sqlite")
        k.manager.restart_kernel(now=True)
        k.client.wait_for_ready(timeout=60)
        k.run("%load_ext gprochat_magic")

        assert prompts(k) == []
        assert "review: 2 turns" in k.run("%gprochat").stdout
        assert "review: 2 turns in view" in k.run("%gprochat use").stdout
        assert prompts(k) == ["json", "slow"]
        said = k.run("%gprochat history").stdout
        assert "2  [interrupted]" in said
        assert "```json" in said


def _wait_for_text(path: Path) -> None:
    """Wait until a turn that is still running has some of its reply on disk."""
    for _ in range(600):
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute(
                "SELECT 1 FROM turn WHERE state = 'pending' AND reply != ''"
            ).fetchone()
        if found:
            return
        time.sleep(0.02)  # the file says nothing by itself
    raise AssertionError("no partial reply reached the disk")


def test_the_same_cell_again_replaces_its_turn(k: Kernel) -> None:
    """A rerun by text and place replaces the last turn; the old one is kept as an alternative."""
    k.run("%gprochat -q json")
    k.run("%gprochat -q json")

    assert prompts(k) == ["json"]
    assert "1  [2 of 2]" in k.run("%gprochat history").stdout


def test_the_same_text_elsewhere_is_a_turn_of_its_own(k: Kernel) -> None:
    """Without a cell id only the last turn can be meant: "continue" twice is two turns."""
    for cell in ("%gprochat -q json", "%gprochat -q code", "%gprochat -q json"):
        k.run(cell)

    assert prompts(k) == ["json", "code", "json"]


def test_a_cell_id_finds_the_turn_wherever_it_is(k: Kernel) -> None:
    """With the front end's cell id an earlier turn is replaced, and later ones are marked."""
    for cell_id, text in (("a", "first"), ("b", "second"), ("a", "first, better")):
        content = {
            "code": f"%gprochat -q {text}", "silent": False, "store_history": True,
            "user_expressions": {}, "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        message = k.client.session.msg("execute_request", content, metadata={"cellId": cell_id})
        k.client.shell_channel.send(message)
        assert k.finish(message["header"]["msg_id"]).status == "ok"

    assert prompts(k) == ["first, better", "second"]
    said = k.run("%gprochat history").stdout
    assert "2  [an earlier turn has changed since]" in said


def test_a_rerun_that_fails_leaves_the_old_turn(k: Kernel) -> None:
    """What failed without text does not take the place of what was answered."""
    k.run("prompt = 'json'")
    k.run("%gprochat -q {prompt}")
    k.run("prompt = 'error 400'")
    assert k.run("%gprochat -q {prompt}").status == "error"

    assert prompts(k) == ["json"]


def test_retry_keeps_the_old_answer(k: Kernel) -> None:
    """`retry` asks beside the old turn, also with another model, and `use :1.1` goes back."""
    k.run("%gprochat -q json")
    k.run("%gprochat retry -m other")

    assert "1  [2 of 2]" in k.run("%gprochat history").stdout
    assert k.value("__import__('gprochat_magic').Chat().conversation.line()[0].model") == "other"
    k.run("%gprochat use :1.1")
    assert "1  [1 of 2]" in k.run("%gprochat history").stdout


def test_edit_puts_the_prompt_into_the_next_cell(k: Kernel) -> None:
    """`edit N` goes back before turn N and offers its prompt; the old branch stays."""
    for text in ("first", "second", "third"):
        k.run(f"%gprochat -q {text}")
    ran = k.run("%gprochat edit 2")

    [payload] = ran.reply["content"]["payload"]
    assert payload["text"] == "%%gprochat --raw\nsecond"
    assert payload["replace"] is False
    k.run("%gprochat -q second, better")
    assert prompts(k) == ["first", "second, better"]
    k.run("%gprochat use :2.1")
    assert prompts(k) == ["first", "second", "third"]


def test_undo_takes_turns_out_of_view(k: Kernel) -> None:
    """`undo 2` forgets the last two turns in view; they are not sent any more."""
    for text in ("first", "second", "third"):
        k.run(f"%gprochat -q {text}")
    said = k.run("%gprochat undo 2").stdout

    assert "2 turns taken back, 1 in view" in said
    assert prompts(k) == ["first"]


def test_fork_copies_the_line_in_view(k: Kernel) -> None:
    """`fork` goes on in a copy; the original stays as it was."""
    k.run("%gprochat -q first")
    k.run("%gprochat fork copy-of-it")
    k.run("%gprochat -q second")

    assert prompts(k) == ["first", "second"]
    k.run("%gprochat use test_fork_copies_the_line_in_view")
    assert prompts(k) == ["first"]


def test_a_prompt_can_go_elsewhere(k: Kernel) -> None:
    """-c sends into another conversation without going there; --new begins one."""
    k.run("%gprochat -q here")
    k.run("%gprochat -q --new -c elsewhere there")
    assert prompts(k) == ["there"]
    k.run("%gprochat use test_a_prompt_can_go_elsewhere")
    k.run("%gprochat -q -c elsewhere there again")

    assert prompts(k) == ["here"]
    k.run("%gprochat use elsewhere")
    assert prompts(k) == ["there", "there again"]


def test_search_finds_words_in_every_conversation(k: Kernel) -> None:
    """`search` names the conversation and shows the text around the words, Cyrillic included."""
    k.run("%gprochat -q Сколько лапок у сороконожки")

    said = k.run("%gprochat search сороконожки").stdout
    assert said.startswith("test_search_finds_words_in_every_conversation")
    assert "сороконожки" in said
    assert "Nothing is found" in k.run("%gprochat search xyzzyplugh").stdout


def test_list_rename_delete(k: Kernel) -> None:
    """Conversations are listed, renamed and deleted by name."""
    k.run("%gprochat -q hello")
    k.run("%gprochat rename test_list_rename_delete renamed")
    assert "* renamed" in k.run("%gprochat list").stdout
    k.run("%gprochat new other")
    said = k.run("%gprochat delete renamed").stdout

    assert "deleted, with 1 turns" in said
    assert "renamed" not in k.run("%gprochat list").stdout


def test_a_name_with_spaces_is_quoted(k: Kernel) -> None:
    """As of a conversation that was named after a notebook; Tab quotes it as well."""
    k.run('%gprochat new "My analysis"\n%gprochat -q hello')
    assert k.run('%gprochat fork "a copy: mine"').stdout.startswith("a copy: mine: a copy of 1")
    k.run('%gprochat rename "a copy: mine" copied:1\n%gprochat use "My analysis"')
    assert prompts(k) == ["hello"]
    k.run('%gprochat retry\n%gprochat use "My analysis":1.1')
    assert "1  [1 of 2]" in k.run("%gprochat history").stdout
    offered = k.client.complete("%gprochat use My", reply=True, timeout=60)["content"]["matches"]
    assert offered == ['"My analysis"']
    k.run("%gprochat use copied:1")
    assert "My analysis: deleted" in k.run('%gprochat delete "My analysis"').stdout
    assert prompts(k) == ["hello"]


_TURNS = "[(t.prompt, t.reply) for t in __import__('gprochat_magic').Chat().conversation.line()]"


@pytest.mark.parametrize("suffix", [".md", ".json", ".ipynb"])
def test_export_and_import(k: Kernel, tmp_path: Path, suffix: str) -> None:
    """What was exported comes back turn by turn, and is not written over by accident."""
    k.run("%gprochat -q json")
    k.run("%gprochat -q code")
    before = k.value(_TURNS)
    path = tmp_path / f"saved here{suffix}"
    assert "2 turns written" in k.run(f'%gprochat export "{path}"').stdout
    assert "is there already" in refused(k, f'%gprochat export "{path}"')
    assert k.run(f'%gprochat export "{path}" --force').status == "ok"
    said = k.run(f'%gprochat import "{path}"').stdout
    k.run(said.partition("; ")[2].partition(" goes")[0])

    assert k.value(_TURNS) == before
    if suffix == ".ipynb":
        nbformat.validate(nbformat.read(path, as_version=4))
    if suffix == ".json":
        roles = [message["role"] for message in json.loads(path.read_text())["messages"]]
        assert roles == ["user", "assistant"] * 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%gprochat use nobody-knows-it", "there is no conversation named"),
        ("%gprochat delete {name}", "is the conversation in use"),
        ("%gprochat new {name}", "called {name} already"),
        ("%gprochat rename {name} {name}", "called {name} already"),
        ("%gprochat import no-such-file.json", "cannot be read"),
        ("%gprochat export file.txt", "are not known"),
        ("%gprochat export /no/such/folder/file.md", "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_lost(
    k: Kernel, line: str, expected: str, request: pytest.FixtureRequest
) -> None:
    """A wrong name or file is a clear error; the conversation is as it was."""
    name = "kept" + str(abs(hash(line)))[:6]
    k.run(f"%gprochat new {name}")
    k.run("%gprochat -q hello")

    assert expected.format(name=name) in refused(k, line.format(name=name))
    assert prompts(k) == ["hello"]


def test_a_near_name_is_suggested(k: Kernel) -> None:
    """An unknown name suggests the one that is like it."""
    k.run("%gprochat new budgeting")

    assert "budgeting" in refused(k, "%gprochat use budgetting")
