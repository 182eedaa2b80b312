"""%gprochat map and chat.map in a real kernel: values, one usage line, Stop and going on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.batch.scripted import Far, scripted
from tests.kernels import Kernel, kernel

VIEW = "application/vnd.jupyter.widget-view+json"
DATA = """
import pandas as pd
from gprochat_magic import Chat
df = pd.DataFrame({"review": ["good", "bad"], "n": [1, 2]}, index=["i", "j"])
many = list(range(100))
class Box: pass
box = Box()
box.rows = {"a": ["x", "y"]}
"""


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    with scripted() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def k(far: Far, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with data and a file for what is kept."""
    store = str(tmp_path_factory.mktemp("map") / "history.sqlite")
    with kernel(**far.environment, GPROCHAT_STORE=store) as started:
        assert started.run(DATA).status == "ok"
        yield started


@pytest.fixture(autouse=True)
def afresh(far: Far) -> None:
    far.backend.forget()
    far.backend.script, far.backend.seconds = (lambda prompt, time: prompt.upper()), 0.0


def test_a_line(k: Kernel, far: Far) -> None:
    """-o and --col: the frame with the answers, in a variable; the bar is shown, and its end."""
    ran = k.run('%gprochat map -o out --col answer "Classify {review}, don\'t ask" df')

    assert ran.status == "ok", ran.stdout
    assert "rows answered: 2 of 2, 0 from the cache" in ran.stdout
    [bar] = ran.shown
    assert set(bar) == {"text/plain"}  # no widget is left, which no saved notebook could show
    assert re.fullmatch(r"100%\|█+\| 2/2 \[.*, failed=0, cached=0\]", bar["text/plain"])
    views = [each for each in ran.of("display_data") if VIEW in each["content"]["data"]]
    assert len(views) == 1
    assert ["Classify good, don't ask", "Classify bad, don't ask"] == sorted(
        far.backend.asked, reverse=True
    )
    assert k.value("list(out.columns), list(out.index), out['answer']['j'], out.failed") == (
        ["review", "n", "answer"],
        ["i", "j"],
        "CLASSIFY BAD, DON'T ASK",
        [],
    )


def test_a_cell(k: Kernel, far: Far) -> None:
    """The body is the template, several lines of it; the value is the cell's."""
    ran = k.run('%%gprochat map df -c 2\nClassify {review}\nas {"n": {n}}')

    assert "CLASSIFY GOOD" in ran.shown[-1]["text/plain"]
    assert {'Classify good\nas {"n": 1}', 'Classify bad\nas {"n": 2}'} == set(far.backend.asked)
    assert k.value("list(_)") == ['CLASSIFY GOOD\nAS {"N": 1}', 'CLASSIFY BAD\nAS {"N": 2}']


def test_an_assignment_and_a_path(k: Kernel, far: Far) -> None:
    """The value can be assigned; the data may be an attribute or an item."""
    k.run('x = %gprochat map -q "Say {it}" box.rows["a"]')

    assert k.value("list(x)") == ["SAY X", "SAY Y"]


def test_flags_reach_the_request(k: Kernel, far: Far) -> None:
    """Model, system prompt and parameters go along; JSON becomes columns; a trial is cut."""
    far.backend.script = lambda prompt, time: '{"mood": 1}'
    k.run('y = %gprochat map -q -f json -m m2 -s "Be brief" -t 0.5 -p seed=3 --limit 1 "{n}?" df')
    asked = far.backend.options[-1]

    assert ("m2", 0.5, 3) == (asked["model"], asked["temperature"], asked["seed"])
    assert asked["messages"][0]["content"] == "Be brief"
    assert k.value("y.to_dict('list'), y.estimate[:15]") == ({"mood": [1]}, "the other 1 row")


def test_refresh_asks_anew(k: Kernel, far: Far) -> None:
    """Without it the second map is free."""
    for flags, asked in (("", 2), ("", 2), ("--refresh", 4)):
        k.run(f'%gprochat map -q {flags} "Again {{review}}" df')
        assert far.backend.asked.total() == asked


BAD = [
    ('%gprochat map "{reviw}" df', "no column 'reviw'. Did you mean {review}?"),
    ('%gprochat map "all the same" df', "the template names no column"),
    ('%gprochat map "{x}" nothing', "nothing is called nothing"),
    ('%gprochat map "{x}" []', "nothing is called []: DATA is a variable"),
    ("%gprochat map df", "a template in quotes and then the data"),
    ("%gprochat map", "a template in quotes and then the data"),
    ('%gprochat map "{x}"', "a template in quotes and then the data"),
    ('%gprochat map -c 0 "{n}" df', "a whole number above 0"),
    ('%gprochat map -c -2 "{n}" df', "a whole number above 0"),
    ('%gprochat map --limit x "{n}" df', "a whole number above 0"),
    ('%gprochat map --per-minute 0 "{n}" df', "a number above 0"),
    ('%gprochat map -f html "{n}" df', "invalid choice"),
    ('%gprochat map --col c "{it}" many', "only a DataFrame"),
    ('%gprochat map -f json --col c "{n}" df', "JSON has columns of its own"),
    ('%gprochat map --wrong "{n}" df', "no flag --wrong"),
    ('%gprochat map -c 2 -c 3 "{n}" df', "given twice"),
    ('%gprochat map --client df "{n}" df', "client must be a dask"),
    ('%gprochat map "{it}" box', "a Box is no rows"),
    ("%%gprochat map df df2\nx", ""),
    ("%%gprochat map df -c 0\n{n}", "a whole number above 0"),
    ("%%gprochat map -c 3\n{n}", "the data in the first line"),
]


def test_bad_input_is_one_usage_line_and_nothing_is_sent(k: Kernel, far: Far) -> None:
    """Whatever is wrong: one line that says what, and no request."""
    for line, words in BAD:
        ran = k.run(line)
        if not words:  # more than one name is the beginning of a prompt
            assert far.backend.asked.total() == 1
            far.backend.forget()
            continue
        told = "".join(o["text"] for o in ran.outputs if o["output_type"] == "stream")
        assert (ran.status, ran.reply["content"]["ename"]) == ("error", "UsageError"), line
        assert told.startswith("UsageError: "), line
        assert words in told, line
        assert told.count("\n") == 1, line
        assert far.backend.asked.total() == 0, line


def test_a_sentence_that_begins_with_map_is_a_prompt(k: Kernel, far: Far) -> None:
    """Only what fits the subcommand is one."""
    k.run("%gprochat -n 0 map of Europe in 1800?")
    k.run("%gprochat map the steps of a proof")
    k.run("%%gprochat map of the moon\nin short")

    assert far.backend.asked.total() == 3


def test_help_and_tab(k: Kernel) -> None:
    """Help lists its own flags; Tab offers them, and variables."""
    told = k.run("%gprochat help map").stdout
    assert "--per-minute" in told
    assert "how many requests at a time" in told
    offered = 'get_ipython().Completer.complete(line_buffer="{0}", cursor_pos=len("{0}"))[1]'
    assert "--per-minute" in k.value(offered.format("%gprochat map --pe"))
    assert "df" in k.value(offered.format("%gprochat map d"))


MAPS = {
    "magic": '%gprochat map -c 4 "{what} {{it}}" many',
    "sync": 'Chat().map("{what} {{it}}", many, concurrency=4)',
    "awaited": 'await Chat().amap("{what} {{it}}", many, concurrency=4)',
}


@pytest.mark.parametrize("how", MAPS)
def test_F133_stop_keeps_what_is_done(k: Kernel, far: Far, how: str) -> None:
    """Interrupted, a cell says how many rows are kept; run again, it asks for the others."""
    far.backend.seconds = 0.05
    cell = MAPS[how].format(what=how)
    running = k.start(cell)
    assert far.backend.wait_answered(30)
    k.interrupt()
    ran = k.finish(running)
    before = far.backend.answered.total()

    assert ran.status == "error"
    # A cancelled task can only be let go, so an awaited one says it beside the bar.
    told = ran.stdout if how == "awaited" else "\n".join(ran.error["traceback"])
    assert "of 100 rows are done and kept" in told
    assert "Run the cell again to go on" in told
    assert re.match(r" *\d\d?%\|.*/100 \[", ran.shown[0]["text/plain"])
    assert how == "awaited" or len(ran.error["traceback"]) == 2
    far.backend.seconds = 0.0
    assert k.run(f"again = {cell}").status == "ok"
    assert k.value("[each for each in again]") == [f"{how} {n}".upper() for n in range(100)]
    assert far.backend.answered.total() - 100 <= 5  # those being asked, and one being written
    assert before < 100
    assert k.value("1 + 1") == 2


def test_a_notebook_without_a_screen(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under nbclient the bar and the answers are in the saved notebook, and no traceback is."""
    for name, value in {**far.environment, "GPROCHAT_STORE": str(tmp_path / "h")}.items():
        monkeypatch.setenv(name, value)
    cells = ["%load_ext gprochat_magic", DATA, '%gprochat map "{review}" df']
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=60).execute()

    bar, *_, answers = notebook.cells[-1].outputs
    assert "2/2" in bar["data"]["text/plain"]
    assert "GOOD" in answers["data"]["text/plain"]
    assert VIEW not in str(notebook.cells[-1].outputs)


FOURTH = Path(__file__).parents[2] / "notebooks" / "04_map_over_data.ipynb"


def test_the_fourth_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs from top to bottom with nothing configured, beside the data that it writes."""
    monkeypatch.setenv("GPROCHAT_STORE", str(tmp_path / "history.sqlite"))
    notebook = nbformat.read(FOURTH, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert "Moby-Dick" in (tmp_path / "openings.csv").read_text(encoding="utf-8")
    shown = [o["data"]["text/plain"] for cell in code for o in cell.outputs if "data" in o]
    assert any("the other 17 rows would take about" in text for text in shown)
    flat = [" ".join(text.split()) for text in shown]
    assert any(text.startswith("({'name': 'demo'") and text.endswith("20, 0)") for text in flat)
    assert "['str', 'BadRequestError', 'str']" in flat
