"""Who answers: what is said of backends, models and keys, in a real kernel."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.backends.far import Far, far
from tests.backends.scripted import DONE, HOLD, delta, event, head, whole
from tests.kernels import PATIENCE, Kernel, Ran, kernel

KEY = "canary-of-a-key-0123456789abcdef"


def listing(*names: str) -> list[bytes]:
    """The answer that lists models."""
    return [whole("200 OK", json.dumps({"data": [{"id": name} for name in names]}).encode())]


@pytest.fixture(scope="module")
def far_model() -> Iterator[Far]:
    with far() as running:
        yield running


KEYRING = f"""
import os, threading

asked = []

def get_password(service, user):
    asked.append(user)
    way = os.environ.get("TEST_KEYRING", "none")
    if way == "locked":
        threading.Event().wait()
    if way == "fails":
        raise RuntimeError("no back end: {KEY}")
    return "{KEY}" if way == "has it" else None
"""


@pytest.fixture(scope="module")
def environment(far_model: Far, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Providers on this machine, and a keyring that does as a variable says."""
    folder = tmp_path_factory.mktemp("keyring")
    (folder / "keyring.py").write_text(KEYRING)
    return {
        "OPENAI_BASE_URL": far_model.model.url,
        "OLLAMA_BASE_URL": far_model.model.url,
        "LMSTUDIO_BASE_URL": "http://127.0.0.1:1/v1",
        "OPENAI_API_KEY": "",
        "PYTHONPATH": f"{folder}:{Path.cwd()}",
        "GPROCHAT_STORE": str(folder / "history.sqlite"),
        "GPROCHAT_RETRIES": "0",
    }


@pytest.fixture(scope="module")
def one_kernel(environment: dict[str, str]) -> Iterator[Kernel]:
    with kernel(**environment) as started:
        yield started


@pytest.fixture
def k(one_kernel: Kernel, far_model: Far) -> Kernel:
    far_model.model.script = [head(), delta("ok"), DONE]
    far_model.model.lists = listing("llama3.2:latest", "qwen3")
    one_kernel.run("import os; os.environ['TEST_KEYRING'] = 'none'\n%gprochat backend demo")
    far_model.model.asked.clear()
    return one_kernel


def test_the_survey_says_what_answers(k: Kernel) -> None:
    """Servers of this machine are asked; the others are not, only looked up for a key."""
    said = k.run("%gprochat backend").stdout
    told = dict(line.split(maxsplit=1) for line in said.splitlines()[1:])

    assert said.startswith("demo, behind the embedded gateway.")
    assert told["ollama"].endswith(" has llama3.2:latest, qwen3")
    assert told["lmstudio"] == "no connection to 127.0.0.1:1; is it running?"
    assert told["gemini"].startswith("generativelanguage.googleapis.com, with")


def test_a_choice_says_whether_it_can_answer(k: Kernel) -> None:
    """A model that is there, one that is not listed, none, and nobody at all."""
    answers = "answers from the next prompt on"
    assert k.run("%gprochat backend ollama/llama3.2").stdout == f"ollama/llama3.2 {answers}.\n"
    said = k.run("%gprochat backend ollama/llama9").stdout
    assert said.endswith("if it can: its server lists llama3.2:latest, qwen3.\n")
    said = k.run("%gprochat backend ollama").stdout
    assert said.endswith("-m names its model: llama3.2:latest, qwen3.\n")
    said = k.run("%gprochat backend lmstudio/x").stdout
    assert said.startswith("lmstudio/x is chosen, but does not answer now: no connection to 127.")


@pytest.mark.parametrize(
    ("lists", "why"),
    [([], "hung up before it answered"), ([HOLD], "lists no models within 2 s")],
    ids=["hangs up", "is silent"],
)
def test_a_server_that_lists_nothing_is_chosen_all_the_same(
    lists: list[bytes], why: str, k: Kernel, far_model: Far
) -> None:
    """It may answer prompts."""
    far_model.model.lists = lists
    said = k.run("%gprochat backend ollama/x").stdout

    assert "ollama/x is chosen, but does not answer now" in said
    assert why in said
    assert k.run("%gprochat hello").shown[0]["text/plain"] == "ok"


def test_the_model_in_force_is_the_backends(k: Kernel) -> None:
    """Where only the backend's name tells of a model, it is that one that is marked and told."""
    k.run("%gprochat backend ollama/qwen3")

    assert "  llama3.2:latest\n* qwen3\n" in k.run("%gprochat models").stdout
    assert "qwen3" in k.run("%gprochat").stdout.splitlines()[0]
    k.run("%gprochat backend ollama")
    assert "*" not in k.run("%gprochat models").stdout


def test_tab_offers_what_the_server_lists(k: Kernel, far_model: Far) -> None:
    """Asked once, also where the backend was set without a subcommand."""
    k.run("%config GPROChatMagics.backend = 'ollama/x'")
    offered = [completions(k, "%gprochat -m ") for _ in range(2)]

    assert {"qwen3", "llama3.2:latest"} <= offered[0]
    assert offered[0] == offered[1]
    assert len(far_model.model.asked) == 1
    assert "ollama/qwen3" in completions(k, "%gprochat backend o")


def completions(k: Kernel, line: str) -> set[str]:
    """What Tab offers at the end of a line."""
    k.client.complete(line)
    while True:
        reply = k.client.get_shell_msg(timeout=PATIENCE)
        if reply["msg_type"] == "complete_reply":
            return set(reply["content"]["matches"])


def typed(k: Kernel, line: str, key: str) -> Ran:
    """A cell that asks for something unseen, and is given it."""
    wanted = k.client.execute(line, allow_stdin=True)
    asked = k.client.get_stdin_msg(timeout=PATIENCE)
    assert asked["content"]["password"] is True
    k.client.input(key)
    return k.finish(wanted)


@pytest.mark.parametrize("way", ["has it", "none", "fails", "locked"])
def test_F129_keyrings(way: str, k: Kernel, far_model: Far) -> None:
    """A key that it has is used; one that is missing, fails or waits is no trouble but a line."""
    k.run(f"import os; os.environ['TEST_KEYRING'] = {way!r}")
    chosen = k.run("%gprochat backend openai/qwen3")
    ran = k.run("%gprochat hello")

    assert KEY not in str([*chosen.messages, *ran.messages])
    assert "Traceback" not in str([chosen.outputs, ran.outputs])
    if way == "has it":
        assert ran.shown[0]["text/plain"] == "ok"
        assert far_model.model.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    else:
        assert "wants a key; none is in OPENAI_API_KEY" in ran.error["evalue"]
        assert "%gprochat key asks its key" in ran.error["traceback"][1]


def test_F127_a_typed_key_is_used_and_never_told(
    k: Kernel, far_model: Far, environment: dict[str, str]
) -> None:
    """The running backend has it at once; no output, history or setting does."""
    k.run("%gprochat backend openai/qwen3")
    assert "wants a key" in str(k.run("%gprochat -q before").outputs)
    said = typed(k, "%gprochat key", KEY)
    ran = k.run("%gprochat after")
    last = far_model.model.asked[-1]
    shown = [said, ran, k.run("%history -g\n%config GPROChatMagics\n%gprochat set\nprint(In)")]
    shown.append(k.run("%gprochat doctor\n%gprochat backend\n%gprochat models\n%gprochat"))
    k.run("%gprochat backend demo")
    k.run("%gprochat backend openai/qwen3")
    again = k.run("%gprochat again")

    assert said.stdout.startswith("The key goes to openai from the next prompt on")
    assert last.headers["authorization"] == f"Bearer {KEY}"
    assert ran.shown[0]["text/plain"] == again.shown[0]["text/plain"] == "ok"
    assert KEY not in str([each.messages for each in shown])
    with closing(sqlite3.connect(environment["GPROCHAT_STORE"])) as history:
        assert KEY not in "\n".join(history.iterdump())


def test_a_key_is_no_argument(k: Kernel, far_model: Far) -> None:
    """As a prompt it would go to a model; it goes nowhere, and is not repeated."""
    k.run("%gprochat backend ollama/qwen3\n%gprochat new quiet")
    asked = len(far_model.model.asked)
    ran = k.run("%gprochat key sk-0123456789abcdef")

    assert "%gprochat key asks for it unseen" in ran.stdout
    assert "0123456789" not in ran.stdout
    assert len(far_model.model.asked) == asked
    assert k.run("%gprochat key insights").shown[0]["text/plain"] == "ok"


def test_a_key_for_nobody(k: Kernel) -> None:
    """What takes no key, and what is no backend, is said before anybody types."""
    assert "there is no backend 'olama'" in k.run("%gprochat key olama").error["evalue"]
    assert (
        "demo takes no key" in k.run("%gprochat backend demo\n%gprochat key demo").error["evalue"]
    )


NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "05_your_own_model.ipynb"


@pytest.mark.parametrize("found", [True, False], ids=["a server", "nobody"])
def test_the_notebook(found: bool, far_model: Far, tmp_path: Path) -> None:
    """It runs anywhere: what answers on this machine is asked, and where nothing does, the demo."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
    counts = event({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 7}})
    far_model.model.script = [head(), delta("a reply of the server"), counts, DONE]
    far_model.model.lists = listing("mine")
    for cell in notebook.cells:
        # The ports of this machine are whoever's.
        cell.source = re.sub(r"http://localhost:\d+/v1", "http://127.0.0.1:1/v1", cell.source)
    if found:
        search = next(cell for cell in notebook.cells if "urlopen" in cell.source)
        search.source = search.source.replace("http://127.0.0.1:1/v1", far_model.model.url, 1)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = str([cell.get("outputs") for cell in notebook.cells])

    assert ("a reply of the server" in outputs) == found
    assert ("Counted(sent=20, received=7)" in outputs) == found
    assert "no connection to 127.0.0.1:9; is it running?" in outputs
