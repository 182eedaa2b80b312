"""Frames, series and arrays in words: small whatever their size, right, and read in place."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gprochat_magic.masking import MASK
from gprochat_magic.notebook.tables import MOST, described

ROWS = 1_000_000


def told(value: Any) -> str:
    found = described(value)
    assert found is not None
    return found[0]


@pytest.fixture(scope="module")
def million() -> pd.DataFrame:
    numbers = np.random.default_rng(0).normal(size=(ROWS, 6))
    return pd.DataFrame(numbers, columns=list("abcdef")).assign(
        text="a long text that repeats", when=pd.Timestamp("2024-01-01"), n=np.arange(ROWS)
    )


def test_a_million_rows_in_few_bytes(million: pd.DataFrame) -> None:
    """Shape, types, missing values, statistics and first rows of a large frame fit the limit."""
    text = told(million)

    assert len(text.encode()) <= MOST
    assert text.startswith("1,000,000 rows x 9 columns\n")
    assert "  n: int64, 0 missing; mean 500000, std 288675, min 0, max 999999\n" in text
    assert "first rows:\na | b | c" in text


def test_the_data_are_not_copied(million: pd.DataFrame) -> None:
    """Describing a frame, a series and an array takes a small part of the memory they have."""
    array = million["a"].to_numpy()
    for value, part in ((million, 8), (million["a"], 4), (array, 4)):
        size = value.nbytes if isinstance(value, (pd.Series, np.ndarray)) else 8 * ROWS * 9
        tracemalloc.start()
        told(value)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < size / part


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame(np.zeros((3, 10_000))),
        pd.DataFrame({"ж" * 60 + str(n): ["щ" * 200] * 9 for n in range(50)}),
        pd.DataFrame({"x": ["y" * 10**6] * 3}),
        pd.Series(["\n" * 10**5] * 3, name="\n" * 999),
        pl.DataFrame({f"c{n}": ["щ" * 99] * 9 for n in range(500)}),
        np.array([["x" * 9_999] * 40] * 40),
        np.zeros((1,) * 60),
        pd.DataFrame({("a" * 500, n): [1] for n in range(30)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_is_too_large(value: Any) -> None:
    """Wide frames, long names and huge cells stay within the limit, in lines."""
    assert len(told(value).encode()) <= MOST


@pytest.mark.parametrize(
    "value",
    [pd.DataFrame(), pd.DataFrame({"a": []}), pd.Series([None, None]), pl.DataFrame(),
     pl.Series(), np.array([]), np.array(5), np.array([np.nan]), pd.Series([1], dtype="Int64"),
     pd.Series([pd.NaT]), pd.Series(["a"], dtype="category"),
     pd.DataFrame([[1, 2]], columns=[0, 0]),
     np.array([object()]), np.zeros(2, dtype=[("a", "i4")]), pd.Series([1j])],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_odd_ones_are_told_too(value: Any) -> None:
    """Empty, missing, single and strange values are no error."""
    assert told(value)


def _frame(values: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"x": values})


@pytest.mark.parametrize("make", [_frame, lambda v: pl.DataFrame({"x": v})])
def test_missing_values_and_statistics(make: Callable[[list[Any]], Any]) -> None:
    """Missing values are counted and left out of the statistics."""
    text = told(make([1.5, None, 2.5, 5.0]))

    assert "1 missing; mean 3, std 1.80278, min 1.5, max 5\n" in text


def test_statistics_over_many_pieces() -> None:
    """Read in pieces, mean and spread are those of the whole, also far from zero."""
    array = np.arange(300_001) + 10**12

    assert f"mean {10**12 + 150000.0:.6g}, std {array.std():.6g}, min {10**12}" in told(array)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_secrets_in_cells_are_masked(make: Any) -> None:
    """A key in a cell, and what a column with a telling name holds, go before cells are cut."""
    found = described(
        make({"note": ["my key is sk-canary000canary000canary"], "password": ["hunter2"]})
    )
    assert found is not None
    text, hidden = found

    assert (False, False, 2) == ("canary" in text, "hunter" in text, hidden)
    assert f"my key is {MASK} | {MASK}" in text


def test_other_things_are_none_of_them() -> None:
    """What is no frame, series or array is left to others."""
    assert [None] * 3 == [described(value) for value in ({}, [1], pd)]
