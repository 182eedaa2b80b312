"""Values that are put into prompts: where, how often, and what is never touched."""

from __future__ import annotations

from typing import Any, NoReturn

from hypothesis import example, given
from hypothesis import strategies as st

from gprochat_magic.batch.template import Template
from gprochat_magic.notebook.prompt import fields_of, fill
from tests.properties import tried

NAME = st.sampled_from(["a", "b", "naïve", "имя", "In", "_x1", "self"])
PLAIN = st.text(st.characters(exclude_characters="{}"), max_size=8)
HOSTILE = st.lists(
    st.sampled_from(["{a}", "{{b}}", "{", "}", "{имя.x}", "{a!r:>9}"]) | PLAIN, max_size=4
).map("".join)
# None of these is a name with attributes and items, whatever is in the namespace.
FOREIGN = st.sampled_from(
    [
        "{a()}",
        "{a.b()}",
        "{a + b}",
        "{a[b]}",
        "{a[0:1]}",
        "{}",
        "{ a }",
        '{"a": 1}',
        "{a,b}",
        "{-a}",
        "{0}",
        "\\frac{1}{2}",
        "{% if a %}",
        "{await a}",
        "{*a}",
        "{a if b else a}",
        "{lambda: a}",
        "{a!x}",
        "{a['\\x61']}",
        "{a\n}",
    ]
)


class Recorded:
    """A value with an attribute and items, which must never be called."""

    def __init__(self, text: str) -> None:
        self.b = text
        self._text = text

    def __getitem__(self, key: Any) -> str:
        if key not in (0, "k"):
            raise KeyError(key)
        return f"{key}:{self._text}"

    def __str__(self) -> str:
        return self._text

    def __call__(self, *args: Any) -> NoReturn:
        raise AssertionError("called")


FIELD = st.tuples(
    NAME,
    st.sampled_from(["", ".b", "[0]", "['k']", '["k"]']),
    st.sampled_from(["", "!r", "!s", "!a"]),
)


def shown(value: Any, path: str, convert: str) -> str:
    found = (
        {"": value, ".b": getattr(value, "b", None)}.get(path)
        if path in ("", ".b")
        else value[0 if "0" in path else "k"]
    )
    return {"!r": repr, "!a": ascii}.get(convert, str)(found)


@st.composite
def prompts(draw: st.DrawFn) -> tuple[str, str, dict[str, Any], list[str]]:
    """A prompt, what it must become, the namespace, and the fields that are put in."""
    values = {name: Recorded(text) for name, text in draw(st.dictionaries(NAME, HOSTILE)).items()}
    typed, wanted, used = "", "", []
    for kind in draw(
        st.lists(st.sampled_from(["plain", "foreign", "field", "escaped"]), max_size=8)
    ):
        if kind in ("plain", "foreign"):
            # A space apart, so that braces of neighbours do not make a field of their own.
            text = " " + draw(PLAIN if kind == "plain" else FOREIGN) + " "
            typed, wanted = typed + text, wanted + text
            continue
        name, path, convert = draw(FIELD)
        field = f"{{{name}{path}{convert}}}"
        known = name in values
        if kind == "escaped":
            typed, wanted = (
                typed + f" {{{field}}} ",
                wanted + (f" {field} " if known else f" {{{field}}} "),
            )
        else:
            typed += f" {field} "
            wanted += f" {shown(values[name], path, convert)} " if known else f" {field} "
            used += [name + path] if known else []
    return typed, wanted, values, used


@tried(4)
@given(prompts())
def test_only_what_resolves_changes(prompt: tuple[str, str, dict[str, Any], list[str]]) -> None:
    """Fields that resolve become their values, once; every other character stays as typed."""
    typed, wanted, values, used = prompt
    filled = fill(typed, values)

    assert (wanted, used) == (filled.text, filled.used)


@tried(2)
@given(st.text("{}ab.[]0'\"!r:>5 \n(", max_size=30), st.dictionaries(NAME, HOSTILE, max_size=3))
def test_text_around_fields_is_kept(text: str, texts: dict[str, str]) -> None:
    """Whatever braces are like, what is between fields is kept, and nothing is ever called."""
    values = {name: Recorded(each) for name, each in texts.items()}
    filled = fill(text, values)

    rest, at = text, 0
    for field in fields_of(text):
        rest = rest.replace(field, "\0")
    for piece in filter(None, rest.split("\0")):
        at = filled.text.find(piece, at)
        assert at >= 0
        at += len(piece)
    assert text == fill(text, values, standing=fields_of(text)).text


COLUMN = (
    NAME
    | st.text(st.characters(exclude_characters="{}\n", codec="utf-8"), min_size=1, max_size=6)
    | st.sampled_from(["a:b", "a!r", "a:>5", "a b", "a.b", ".*", "b:", "u:v"])
)
CELL = st.text(max_size=8) | st.integers() | st.booleans() | HOSTILE


@tried(2)
@given(
    st.dictionaries(COLUMN, CELL, min_size=1, max_size=4),
    st.lists(
        st.tuples(st.sampled_from(["plain", "column", "escaped"]), PLAIN, st.integers(0, 3)),
        max_size=6,
    ),
)
@example({"a": 1, "a!r": 2, "u:v": 3}, [("column", "", number) for number in range(3)])
def test_a_template_puts_each_value_where_its_column_is(
    row: dict[str, Any], parts: list[tuple[str, str, int]]
) -> None:
    """A row's values stand where their columns stood, whatever the columns and values are like."""
    names = list(row)
    typed, wanted = f"{{{names[0]}}}", str(row[names[0]])
    for kind, text, number in parts:
        name = names[number % len(names)]
        field = f"{{{name}}}"
        typed += {"plain": f" {text} ", "column": f" {field} ", "escaped": f" {{{field}}} "}[kind]
        wanted += {"plain": f" {text} ", "column": f" {row[name]} ", "escaped": f" {field} "}[kind]

    template = Template(typed, names)
    assert wanted == template.fill(list(row.values()), names)
    assert set(template.columns) <= set(names)
