"""What of a prompt is replaced, and that all else arrives as it was typed, byte for byte."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.error import UsageError

from gprochat_magic.notebook.failures import Failures
from gprochat_magic.notebook.prompt import MOST, fill
from tests.gateways import Served, served
from tests.kernels import Kernel, kernel
from tests.notebook.corpus import CELLS, LINES, PROMPTS


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def far_kernel(far: Served) -> Iterator[Kernel]:
    """A kernel whose namespace holds nothing that a prompt of the corpus could name."""
    with kernel(**far.environment) as started:
        yield started


def test_the_corpus_is_large_and_has_no_doubles() -> None:
    """At least 200 prompts, all with braces, all different."""
    assert len(PROMPTS) >= 200
    assert len(set(PROMPTS)) == len(PROMPTS)
    assert all("{" in prompt or "}" in prompt for prompt in PROMPTS)


@pytest.mark.parametrize("namespace", [{}, {"Err": Failures(), "In": [""], "Out": {}}])
def test_the_corpus_is_left_alone(namespace: dict[str, Any]) -> None:
    """Where nothing resolves, nothing changes."""
    changed = [prompt for prompt in PROMPTS if fill(prompt, namespace).text != prompt]

    assert changed == []


def arrived(far: Served, k: Kernel, code: str) -> list[str]:
    """The prompts that reach the gateway from a cell."""
    far.backend.asked.clear()
    ran = k.run(code)
    assert ran.status == "ok", ran.outputs
    return far.backend.prompts


def test_the_corpus_arrives_byte_for_byte_from_cells(far: Served, far_kernel: Kernel) -> None:
    """Every prompt, through the cell magic."""
    got = arrived(
        far,
        far_kernel,
        f"for _x in __import__('json').loads({json.dumps(PROMPTS)!r}):\n"
        "    get_ipython().run_cell_magic('gprochat', '-q --no-history', _x)",
    )

    assert got == PROMPTS


def test_cells_arrive_as_a_front_end_sends_them(far: Served, far_kernel: Kernel) -> None:
    """Typed cells, with IPython's own transformations before the magic."""
    got = []
    for prompt in CELLS:
        got += arrived(far, far_kernel, f"%%gprochat -q --no-history\n{prompt}")

    assert got == CELLS


def test_the_corpus_arrives_byte_for_byte_from_lines(far: Served, far_kernel: Kernel) -> None:
    """Every prompt of one line, typed behind the line magic, also with a `?` at its end."""
    got = []
    for first in range(0, len(LINES), 20):
        cell = [f"%gprochat -q --no-history -- {line}" for line in LINES[first : first + 20]]
        got += arrived(far, far_kernel, "\n".join(cell))

    assert [line for line in LINES if line not in got] == []
    assert len(got) == len(LINES)


def test_values_of_the_users_are_put_in_and_named(far: Served, far_kernel: Kernel) -> None:
    """Names, attributes, items, formats, earlier cells; the footer says which."""
    far_kernel.run(
        "import types\nprice, box = 3.14159, types.SimpleNamespace(name='Ada', d={'k': [7]})"
    )
    far_kernel.run("1 / 0")
    far_kernel.run("40 + 2")
    [prompt] = arrived(
        far,
        far_kernel,
        "%%gprochat --no-history -o kept\n"
        "{price:.2f} {price!r} {box.name} {box.d[\"k\"][0]} {box.d['k'][-1]} {nobody}\n"
        f"{{Out[{_count(far_kernel) - 1}]}} {{{{price}}}} {{{{nobody}}}}",
    )

    assert prompt == "3.14 3.14159 Ada 7 7 {nobody}\n42 {price} {{nobody}}"


def test_the_last_output_is_put_in(far: Served, far_kernel: Kernel) -> None:
    """`{_}` is what the last cell gave; before any did, it stays as typed, as LaTeX may have it."""
    far_kernel.run("Out.clear()")
    before = arrived(far, far_kernel, "%gprochat -q --no-history x{_} {__}")
    far_kernel.run("40 + 2")
    after = arrived(far, far_kernel, "%gprochat -q --no-history {_} {__.text} {exit}")

    assert before == ["x{_} {__}"]
    assert after == ["42 ok {exit}"]


def _count(k: Kernel) -> int:
    return int(k.run("None").reply["content"]["execution_count"])


def test_a_traceback_can_be_asked_about(far: Served, far_kernel: Kernel) -> None:
    """Err[N] is the traceback of cell N."""
    number = far_kernel.run("1 / 0").reply["content"]["execution_count"]
    [prompt] = arrived(
        far, far_kernel, f"%gprochat -q --no-history What is {{Err[{number}]}} about"
    )

    assert prompt.startswith("What is Traceback (most recent call last):")
    assert prompt.endswith("ZeroDivisionError: division by zero about")
    assert "1 / 0" in prompt
    assert "IPython" not in prompt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{name}", "value"),
        ("{{name}}", "{name}"),
        ("{{nobody}}", "{{nobody}}"),
        ("{name}{name}", "valuevalue"),
        ("{{name}} {name} {{ name }}", "{name} value {{ name }}"),
        ("{ name }", "{ name }"),
        ("{name!r:>9}", "  'value'"),
        ("{name:d}", "{name:d}"),
        ('{"name": {name}}', '{"name": value}'),
        ("\\frac{name}{n}", "\\fracvalue4"),
        ("{n:,} {n:03}", "4 004"),
        ("{name.upper}", None),
        ("{name.upper()}", "{name.upper()}"),
        ("{n.real} {n.nothing}", "4 {n.nothing}"),
        ("{items[0]} {items[9]} {items[-1]}", "a {items[9]} b"),
        ("{ns['k']} {ns[\"k\"]} {ns[k]} {ns['x']}", "v v {ns[k]} {ns['x']}"),
    ],
)
def test_what_is_a_field(text: str, expected: str | None) -> None:
    """A name with attribute and item access, no more."""
    namespace = {"name": "value", "n": 4, "items": ["a", "b"], "ns": {"k": "v"}}
    filled = fill(text, namespace)

    assert filled.text == (expected if expected is not None else str("value".upper))


_NAMES = st.sampled_from(["a", "b", "c"])
_HOSTILE = st.lists(
    st.sampled_from(["{a}", "{b}", "{c}", "{{a}}", "{", "}", "{{", "}}", "x", "{b!r}", "{a:>3}"])
    | st.text(max_size=3)
).map("".join)


@given(st.dictionaries(_NAMES, _HOSTILE, min_size=3, max_size=3), st.lists(_NAMES | _HOSTILE))
def test_values_put_in_are_never_scanned_again(values: dict[str, str], parts: list[str]) -> None:
    """Whatever a value holds, it arrives as it is: filling is one pass."""
    text = "|".join("{" + part + "}" if part in values else "-" for part in parts)
    expected = "|".join(values.get(part, "-") for part in parts)

    assert fill(text, values).text == expected


@given(st.text(alphabet=string.printable + "{}{}{}абв名", max_size=80))
def test_with_an_empty_namespace_every_text_stays(text: str) -> None:
    """Any text at all."""
    assert fill(text, {}).text == text


class Trouble:
    """A value that does what it is told when it is shown."""

    def __init__(self, error: BaseException | None = None, text: str = "") -> None:
        self.error, self.text = error, text

    def __repr__(self) -> str:
        if self.error is not None:
            raise self.error
        return self.text

    @property
    def prop(self) -> str:
        return repr(self)


@pytest.mark.parametrize("text", ["{bad}", "{bad!r}", "{bad!s}", "{bad!a}", "{bad:}", "{bad.prop}"])
@pytest.mark.parametrize("error", [ValueError("x"), TypeError("x"), KeyError("x"), RuntimeError()])
def test_F132_a_value_that_cannot_be_shown_is_named(text: str, error: Exception) -> None:
    """Nothing is sent; the message names the expression and not what it raised."""
    with pytest.raises(UsageError, match="bad"):
        fill(text, {"bad": Trouble(error)})


def test_F132_a_huge_value_is_cut_and_said() -> None:
    """The note names the length that it had."""
    filled = fill("<{big}>", {"big": "x" * 100_000_000})

    assert filled.text == "<" + "x" * MOST + ">"
    assert filled.used == ["big (cut at 200,000 of 100,000,000 characters)"]


def test_F132_in_a_kernel(far: Served, far_kernel: Kernel) -> None:
    """One line, nothing sent; a value that never ends can be interrupted."""
    far_kernel.run(
        "class Bad:\n    def __repr__(self): raise RuntimeError('private')\n"
        "class Endless:\n    def __repr__(self):\n"
        "        print('going', flush=True)\n        while True: pass"
    )
    far.backend.asked.clear()
    ran = far_kernel.run("bad = Bad()\n%gprochat about {bad}")
    pressed: list[int] = []

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and not pressed:
            pressed.append(1)
            far_kernel.interrupt()

    endless = far_kernel.run("endless = Endless()\n%gprochat about {endless}", watch)

    assert ran.reply["content"]["ename"] == "UsageError"
    assert "{bad} cannot be shown: RuntimeError" in ran.stdout
    assert "private" not in str(ran.outputs)
    assert endless.reply["content"]["ename"] == "KeyboardInterrupt"
    assert far.backend.asked == []


def test_strict_lists_every_name_that_does_not_resolve() -> None:
    """And nothing is sent."""
    with pytest.raises(UsageError, match=r"nobody, x\.y"):
        fill("{nobody} {n} {x.y}", {"n": 1}, strict=True)

    assert fill("{n}", {"n": 1}, strict=True).text == "1"
    assert fill("{{nobody}} {{n}}", {"n": 1}, strict=True).text == "{{nobody}} {n}"


def test_raw_leaves_braces_alone(far: Served, far_kernel: Kernel) -> None:
    """--raw sends names as they are."""
    got = arrived(far, far_kernel, "name = 'x'\n%gprochat -q --raw --no-history {name} {{name}}")

    assert got == ["{name} {{name}}"]


def test_the_footer_names_what_was_put_in(far: Served, far_kernel: Kernel) -> None:
    """So that nobody sends a variable without knowing."""
    ran = far_kernel.run("thing = 5\n%gprochat --no-history {thing} and {thing}")

    assert "with thing" in ran.shown[0]["text/html"]
    assert ran.shown[0]["text/html"].count("with thing") == 1
