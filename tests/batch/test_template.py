"""Templates: which braces are columns, which stay as typed, and which are a slip."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from gprochat_magic.batch.template import Template, Unfit
from gprochat_magic.errors import ConfigError


def filled(text: str, row: dict[str, Any]) -> str:
    template = Template(text, list(row))
    values = [row[name] for name in template.columns]
    template.settle(values)
    columns = template.columns
    return template.fill([row[name] for name in columns], columns)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Classify {review}", "Classify good {n}"),
        ("{n}{n}", "22"),
        ("{n:.2f} {review!r}", "2.00 'good {n}'"),
        ("{long name}: {n}", "x: 2"),
        ("{{n}} is {n}", "{n} is 2"),
        ('{"n": {n}}', '{"n": 2}'),
        ('{review: 1} {} {{}} { n } {n, m} {"n"} {n}', '{review: 1} {} {{}} { n } {n, m} {"n"} 2'),
        (r"\frac{a}{b} x_{i} \text[o]{where} {n}", r"\frac{a}{b} x_{i} \text[o]{where} 2"),
        ("f(x) {x+1} {x.y} {n}", "f(x) {x+1} {x.y} 2"),
    ],
)
def test_columns_are_replaced_and_nothing_else(text: str, expected: str) -> None:
    """A column's value goes in once; other braces, JSON and LaTeX stay as typed."""
    assert expected == filled(text, {"review": "good {n}", "n": 2, "long name": "x"})


@pytest.mark.parametrize("text", ["{reveiw} {n}", "{n} {other!r}", "{n} {sum:.2f}"])
def test_a_lone_name_that_is_no_column_is_refused(text: str) -> None:
    """A slip is found before anything is sent, with what there is instead."""
    with pytest.raises(ConfigError, match="no column") as caught:
        Template(text, ["review", "n"])

    assert "{review}" in caught.value.hint


@pytest.mark.parametrize("text", ["all the same", "{{n}}", '{"n": 1}', ""])
def test_a_template_without_a_column_is_refused(text: str) -> None:
    """Every row would ask the same."""
    with pytest.raises(ConfigError, match="names no column"):
        Template(text, ["n"])


@pytest.mark.parametrize("text", ["Say {item}", "Say {word}", "Say {colour}"])
def test_single_values_have_one_name(text: str) -> None:
    """Over single values, the only name in braces is the value."""
    template = Template(text, ["colour", "item"], single=True)

    assert "Say red" == template.fill(["red"], template.columns)


def test_two_names_for_a_single_value_are_a_slip() -> None:
    """Of two names nobody knows which is meant."""
    with pytest.raises(ConfigError, match="no column 'b'"):
        Template("{item} {b}", ["item"], single=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (0.5, "0.5"), (True, "True"), (datetime.date(2024, 1, 2), "2024-01-02"), ("", "")],
)
def test_values_become_text_as_in_an_f_string(value: object, text: str) -> None:
    """Numbers, dates and text are shown as everywhere in Python."""
    assert text == filled("{v}", {"v": value})


@pytest.mark.parametrize(
    "value", [None, float("nan"), b"x", bytearray(b"x"), object(), type("Odd", (), {})()]
)
def test_what_is_no_text_is_unfit(value: object) -> None:
    """What is missing, bytes, and objects that would show an address in memory."""
    with pytest.raises(Unfit, match="'v' "):
        filled("{v}", {"v": value})


def test_a_format_that_one_value_cannot_have_is_unfit() -> None:
    """What is a format for the first row is one for all."""
    template = Template("{v:.1f}", ["v"])
    template.settle([1.0])

    with pytest.raises(Unfit, match="cannot be shown"):
        template.fill(["text"], ["v"])


def test_a_column_may_be_called_like_a_format() -> None:
    """`{time:utc}` is the column of just that name, where there is one."""
    assert "12:00" == filled("{time:utc}", {"time:utc": "12:00"})
    with pytest.raises(ConfigError, match="no column 'time'"):
        Template("{time:utc} {n}", ["n"])
