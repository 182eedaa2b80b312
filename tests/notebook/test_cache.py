"""--cache and --refresh in a real kernel: the same text again, and no request for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from gprochat_magic.gateway.backends import BackendError
from tests.gateways import Served, served
from tests.kernels import Kernel, Ran, kernel


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture
def far(gateway: Served) -> Served:
    """A gateway that was asked nothing yet."""
    backend = gateway.backend
    backend.asked.clear()
    backend.pieces, backend.pause, backend.refusal = ["ok"], 0.0, None
    return gateway


@pytest.fixture(scope="module")
def one_kernel(gateway: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    store = str(tmp_path_factory.mktemp("history") / "history.sqlite")
    with kernel(**gateway.environment, GPROCHAT_STORE=store, GPROCHAT_WIRE="turns") as started:
        yield started


@pytest.fixture
def k(one_kernel: Kernel) -> Kernel:
    """A kernel that keeps its replies in a file, with an empty conversation and no reply kept."""
    one_kernel.run("%gprochat new\n%gprochat cache clear")
    return one_kernel


def text(ran: Ran) -> str:
    assert ran.status == "ok", ran.error
    return str(ran.shown[0]["text/plain"])


def footer(ran: Ran) -> str:
    return str(ran.shown[0]["text/html"]).rpartition("<small>")[2].partition("</small>")[0]


def test_the_same_request_is_sent_once(far: Served, k: Kernel) -> None:
    """The second cell has the same text, a turn as usual, and a footer that says so."""
    far.backend.pieces = ["first ", "answer"]
    first = k.run("%gprochat -n 0 --cache why")
    far.backend.pieces = ["another"]
    second = k.run("x = %gprochat -n 0 --cache why")

    assert text(first) == text(second) == "first answer"
    assert len(far.backend.asked) == 1
    assert "cached" not in footer(first)
    assert "cached" in footer(second)
    assert "left out" not in footer(second)  # what -n 0 leaves out is what was asked for
    assert k.value("x.state, x.turn, 'cached' in x.notes") == ("complete", 2, True)
    assert "1 cached replies, 0.0 kB" in k.run("%gprochat cache").stdout


@pytest.mark.parametrize(
    "other",
    [
        "%gprochat -n 0 --cache why then?",
        "%gprochat -n 0 --cache -m other why?",
        "%gprochat -n 0 --cache -s brief why?",
        "%gprochat -n 0 --cache -t 1 why?",
        "%gprochat -n 0 --cache -p seed=1 why?",
        "%gprochat --cache why?",
        "%gprochat -n 0 why?",
    ],
)
def test_another_request_is_sent(far: Served, k: Kernel, other: str) -> None:
    """Prompt, model, system, parameters and earlier turns decide; without the flag it is asked."""
    k.run("%gprochat -q -n 0 --cache why?")
    k.run(other)

    assert len(far.backend.asked) == 2


def test_refresh_asks_anew_and_overwrites(far: Served, k: Kernel) -> None:
    """The reply of --refresh is what --cache gives from then on."""
    k.run("%gprochat -q -n 0 --cache why?")
    far.backend.pieces = ["newer"]

    assert text(k.run("%gprochat -n 0 --refresh why?")) == "newer"
    assert text(k.run("%gprochat -n 0 --cache why?")) == "newer"
    assert len(far.backend.asked) == 2


def test_a_reply_that_is_not_whole_is_not_kept(far: Served, k: Kernel) -> None:
    """A reply that failed or was cut off is asked for again."""
    far.backend.refusal = BackendError(400, "no")
    assert k.run("%gprochat -n 0 --cache why?").status == "error"
    far.backend.refusal = None
    far.backend.pieces, far.backend.pause = ["text "] * 200, 0.02

    def watch(message: dict[str, object]) -> None:
        if message["msg_type"] == "display_data":
            k.interrupt()

    assert k.run("%gprochat -n 0 --cache why?", watch).status == "error"
    far.backend.pieces, far.backend.pause = ["whole"], 0
    assert text(k.run("%gprochat -n 0 --cache why?")) == "whole"
    assert len(far.backend.asked) == 3


def test_clear_forgets(far: Served, k: Kernel) -> None:
    """After `cache clear` it is asked again."""
    k.run("%gprochat -q -n 0 --cache why?")

    assert k.run("%gprochat cache clear").stdout == "1 cached replies are forgotten.\n"
    k.run("%gprochat -q -n 0 --cache why?")
    assert len(far.backend.asked) == 2


def test_python_has_the_cache_too(far: Served, k: Kernel) -> None:
    """`ask(..., cache=...)` takes and refuses the same."""
    k.run("from gprochat_magic import ask\nask('why?', turns=0, cache='use')")
    ran = k.run("print(ask('why?', turns=0, cache='use').notes)\nask('why?', cache='maybe')")

    assert "'cached'" in ran.stdout
    assert ran.error["ename"] == "ConfigError"
    assert len(far.backend.asked) == 1


def test_a_whole_notebook_again_is_free(
    far: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run in a new kernel gives the same text in each cell and sends nothing."""
    settings = {**far.environment, "GPROCHAT_STORE": str(tmp_path / "h"), "GPROCHAT_WIRE": "turns"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    cells = ["%load_ext gprochat_magic", "%gprochat --cache one", "%%gprochat --cache\ntwo {_}"]
    saved = []
    for answer in ("the first run", "never shown"):
        far.backend.pieces = [answer]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        NotebookClient(notebook, timeout=60).execute()
        saved.append([cell.outputs[0].data["text/plain"] for cell in notebook.cells[1:]])

    assert saved == [["the first run"] * 2] * 2
    assert len(far.backend.asked) == 2
