"""Data of every shape as rows, and answers in the same shape."""

from __future__ import annotations

import collections
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gprochat_magic import Chat
from gprochat_magic.errors import ConfigError, GPROChatError
from tests.batch.scripted import Far

Point = collections.namedtuple("Point", "x y")
FRAME = {"review": ["good", "bad"], "n": [1, 2]}


@pytest.mark.parametrize(
    ("template", "data", "expected"),
    [
        ("a {item}", ["x", "y"], ["A X", "A Y"]),
        ("a {it}", ("x", 2), ["A X", "A 2"]),
        ("a {it}", range(3), ["A 0", "A 1", "A 2"]),
        ("a {it}", (n * n for n in range(3)), ["A 0", "A 1", "A 4"]),
        ("a {it}", np.array([1.5, 2]), ["A 1.5", "A 2.0"]),
        ("a {k}", [{"k": 1, "l": 2}, {"k": 3}], ["A 1", "A 3"]),
        ("a {0} {1}", [(1, 2), (3, 4)], ["A 1 2", "A 3 4"]),
        ("a {y}", [Point(1, 2)], ["A 2"]),
    ],
)
def test_a_list_for_whatever_is_iterated_over(
    chat: Chat, template: str, data: Any, expected: list[str]
) -> None:
    """Lists, tuples, ranges, generators, arrays, rows that are dicts or tuples."""
    answers = chat.map(template, data, progress=False)

    assert expected == answers
    assert isinstance(answers, list)


@pytest.mark.parametrize("index", [[10, 20], ["a", "a"]])
def test_a_pandas_series_with_the_same_index(chat: Chat, index: list[Any]) -> None:
    """Frame and Series give a Series; what is computed from it is a plain one."""
    frame = pd.DataFrame(FRAME, index=index)
    of_frame = chat.map("{review} {n}", frame, progress=False)
    of_series = chat.map("{review}!", frame["review"], progress=False)

    pd.testing.assert_series_equal(pd.Series(["GOOD 1", "BAD 2"], index), pd.Series(of_frame))
    pd.testing.assert_series_equal(pd.Series(["GOOD!", "BAD!"], index), pd.Series(of_series))
    assert type(of_frame.str.len()) is pd.Series
    assert type(pickle.loads(pickle.dumps(of_frame))) is pd.Series


def test_polars(chat: Chat) -> None:
    """A polars frame or series gives a polars series."""
    frame = pl.DataFrame(FRAME)

    assert ["GOOD 1", "BAD 2"] == chat.map("{review} {n}", frame, progress=False).to_list()
    assert ["GOOD!"] == chat.map("{review}!", frame["review"], limit=1, progress=False).to_list()


@pytest.mark.parametrize("library", [pd, pl])
def test_json_is_spread_over_columns(chat: Chat, far: Far, library: Any) -> None:
    """Keys become columns in the order they come up; what is no object has a column of its own."""
    said = {"good": 'Sure:\n```json\n{"mood": "+", "n": 1}\n```', "bad": '{"n": 2, "why": "x"}'}
    far.backend.script = lambda prompt, time: said.get(prompt, "[1]")
    found = chat.map("{t}", library.DataFrame({"t": ["good", "bad", "?"]}), into="json")

    assert ["mood", "n", "why", "value"] == list(found.columns)
    assert [1, 2] == found["n"].to_list()[:2]
    assert "x" == found["why"].to_list()[1]


def test_json_for_a_list_is_a_list(chat: Chat, far: Far) -> None:
    """Without a frame each value is itself."""
    far.backend.script = lambda prompt, time: f'{{"n": {prompt}}}'

    assert [{"n": 1}, {"n": 2}] == chat.map("{n}", [1, 2], into="json", progress=False)


@pytest.mark.parametrize("library", [pd, pl])
def test_answers_in_a_column(chat: Chat, library: Any) -> None:
    """`column` gives the frame with the answers; a trial, as many rows as it took."""
    frame = library.DataFrame(FRAME)
    found = chat.map("{review}", frame, column="answer", progress=False)
    trial = chat.map("{review}", frame, column="answer", limit=1, progress=False)

    assert ["review", "n", "answer"] == list(found.columns)
    assert (["GOOD", "BAD"], ["GOOD"]) == (found["answer"].to_list(), trial["answer"].to_list())
    assert [] == found.failed
    assert list(frame.columns) == ["review", "n"]


def test_a_failed_row_in_each_shape(chat: Chat, far: Far) -> None:
    """Its error is in its place; polars, which has no place for objects, has a null there."""
    from gprochat_magic.gateway.backends import BackendError

    far.backend.script = lambda p, time: BackendError(400, "no") if "bad" in p else '{"a": 1}'
    frame = pd.DataFrame(FRAME, index=["i", "j"])
    series = chat.map("{review}", frame, progress=False)
    spread = chat.map("{review}", frame, into="json", progress=False)
    in_polars = chat.map("{review}", pl.DataFrame(FRAME), progress=False)

    assert isinstance(series["j"], GPROChatError)
    assert [("j", 1)] == [(each.index, each.row) for each in series.failed]
    assert "BadRequestError: no" == spread.loc["j", "error"]
    assert in_polars.to_list()[1] is None
    assert "row j: BadRequestError: no" == str(series.failed[0])


BAD: list[tuple[Any, Any, dict[str, Any], str]] = [
    ("{review}", [], {}, "no rows"),
    ("{review}", pd.DataFrame({"review": []}), {}, "no rows"),
    ("{revew}", pd.DataFrame(FRAME), {}, "no column 'revew'"),
    ("{item}", [1, None, "x", b"y"], {}, "row 1: 'item' has no value; 2 rows"),
    ("{a}", pd.DataFrame({"a": ["x", None]}, index=["p", "q"]), {}, "row q: 'a' has no value"),
    ("{a}", pl.DataFrame({"a": ["x", None]}), {}, "row 1: 'a' has no value"),
    ("{a}", pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "more than one column"),
    ("{k}", [{"k": 1}, {"l": 1}], {}, "row 1 has no 'k'"),
    ("{k}", [{"k": 1}, 7], {}, "row 1 is a int"),
    (7, ["x"], {}, "a template is text, not a int"),
    ("{item}", "one text", {}, "a str is no rows"),
    ("{item}", 5, {}, "a int is no rows"),
    ("{item}", np.zeros((2, 2)), {}, "one dimension"),
    ("{a}", pl.LazyFrame({"a": [1]}), {}, "LazyFrame"),
    ("{item}", ["x"], {"concurrency": 0}, "concurrency must be"),
    ("{item}", ["x"], {"concurrency": -3}, "concurrency must be"),
    ("{item}", ["x"], {"concurrency": 2.5}, "concurrency must be"),
    ("{item}", ["x"], {"limit": 0}, "limit must be"),
    ("{item}", ["x"], {"per_minute": 0}, "per_minute must be"),
    ("{item}", ["x"], {"into": "xml"}, "into must be"),
    ("{item}", ["x"], {"column": "c"}, "only a DataFrame"),
    ("{item}", ["x"], {"client": object()}, "client must be a dask"),
    ("{item}", ["x"], {"timeout": -1}, "timeout must be"),
]


@pytest.mark.parametrize(("template", "data", "how", "words"), BAD, ids=[row[3] for row in BAD])
def test_what_cannot_work_is_said_before_anything_is_sent(
    chat: Chat, far: Far, template: Any, data: Any, how: dict[str, Any], words: str
) -> None:
    """One clear error, and no request; only what is a setting too is called one."""
    with pytest.raises(ConfigError, match=words) as caught:
        chat.map(template, data, **how)

    assert ("%config" in caught.value.hint) == ("timeout" in how)
    assert far.backend.asked.total() == 0


@pytest.mark.parametrize("keyword", ["history", "turns", "images", "colour"])
def test_an_unknown_keyword_is_a_type_error(chat: Chat, keyword: str) -> None:
    """A keyword works or is refused by name."""
    with pytest.raises(TypeError, match=f"a map takes no {keyword}; it takes cache, client"):
        chat.map("{item}", ["x"], **{keyword: 1})


def test_neither_pandas_nor_polars_is_imported() -> None:
    """A list needs neither; the bar is imported when one is shown."""
    code = (
        "import sys; from gprochat_magic import Chat; Chat().map('{x}', ['help'], progress=False);"
        "print([m for m in ('pandas', 'polars', 'tqdm', 'distributed') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_rows_of_an_endless_source_can_be_tried(chat: Chat) -> None:
    """A trial takes no more of a generator than it needs."""
    endless: Callable[[], Any] = lambda: (n for n in iter(int, 1))  # noqa: E731

    assert ["0", "0"] == chat.map("{n}", endless(), limit=2, progress=False)
