"""Formats in a real kernel: what is shown, what goes into a cell, and what a cell gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateways import Served, served
from tests.kernels import Kernel, Ran, kernel

MIXED = "Sure:\n\n```python\nx = {1: 2}\nprint(x)\n```\n\nOr:\n\n```bash\nls\n```\nBye."


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def one_kernel(far: Served) -> Iterator[Kernel]:
    with kernel(**far.environment, GPROCHAT_WIRE="turns") as started:
        yield started


@pytest.fixture
def k(one_kernel: Kernel, far: Served) -> Kernel:
    """A kernel with an empty conversation, at a gateway that was asked nothing yet."""
    one_kernel.run("%gprochat reset")
    far.backend.asked.clear()
    far.backend.pause = 0
    return one_kernel


def says(far: Served, text: str) -> None:
    far.backend.pieces = [text[n : n + 7] for n in range(0, len(text), 7)]


def offered(ran: Ran) -> list[tuple[str, bool]]:
    """What a front end is asked to put into a cell, and whether in place of the one that ran."""
    payload: list[dict[str, Any]] = ran.reply["content"]["payload"]
    return [
        (each["text"], each["replace"]) for each in payload if each["source"] == "set_next_input"
    ]


def footer(ran: Ran) -> str:
    return str(ran.shown[-1]["text/html"]).partition("<small>")[2].partition("</small>")[0]


def test_code_inserts_just_the_python_body(k: Kernel, far: Served) -> None:
    """Of prose, Python, prose and a shell script, only the Python body goes into a cell below."""
    says(far, MIXED)
    ran = k.run("%gprochat -f code show me")

    assert offered(ran) == [("x = {1: 2}\nprint(x)", False)]
    assert ran.shown[0]["text/plain"] == "x = {1: 2}\nprint(x)"
    assert "Sure" not in ran.shown[0]["text/html"]
    assert "the code is in the next cell" in footer(ran)
    assert k.value("type(_).__name__, _.text") == ("Reply", MIXED)


@pytest.mark.parametrize(
    ("way", "expected"), [("below", [False]), ("replace", [True]), ("none", [])]
)
def test_insert_says_where(k: Kernel, far: Served, way: str, expected: list[bool]) -> None:
    """--insert puts the code below, in place of the cell, or nowhere."""
    says(far, MIXED)
    ran = k.run(f"%gprochat -f code --insert {way} show me")

    assert [replace for _, replace in offered(ran)] == expected
    assert ran.shown[0]["text/plain"] == "x = {1: 2}\nprint(x)"


@pytest.mark.parametrize(
    ("text", "shown", "remark"),
    [
        ("x = 1 is no block", "x = 1 is no block", "no code in the reply: nothing inserted"),
        ("a\n```sql\nselect 1\n```", "select 1", "code in sql is shown, not inserted"),
    ],
)
def test_what_is_no_code_for_a_cell_is_only_shown(
    k: Kernel, far: Served, text: str, shown: str, remark: str
) -> None:
    """A reply without code, or with another language's, inserts nothing and says so."""
    says(far, text)
    ran = k.run("%gprochat -f code show me")

    assert offered(ran) == []
    assert ran.shown[0]["text/plain"] == shown
    assert remark in footer(ran)


def test_a_shell_script_becomes_a_bash_cell(k: Kernel, far: Served) -> None:
    """Where there is no Python, a bash block goes into a cell that runs bash."""
    says(far, "a\n```bash\nls\n```")
    ran = k.run("%gprochat -f code show me")

    assert offered(ran) == [("%%bash\nls", False)]
    assert "it is a shell script" in footer(ran)


def test_code_that_does_not_parse_is_inserted_with_a_warning(k: Kernel, far: Served) -> None:
    """The line below says which line is wrong; hidden characters are counted."""
    says(far, "```python\ndef f(:\n    'a\u202e'\n```")
    ran = k.run("%gprochat -f code show me")

    assert len(offered(ran)) == 1
    assert "it does not parse (line 1: invalid syntax)" in footer(ran)
    assert "it holds 1 invisible characters" in footer(ran)


def test_code_is_shown_as_it_grows(k: Kernel, far: Served) -> None:
    """While the reply streams, each frame shows a beginning of the code and no prose."""
    says(far, "Prose first.\n\n```python\n" + "print('line')\n" * 60 + "```\nand after")
    far.backend.pause = 0.01
    ran = k.run("%gprochat -f code show me")

    frames = [
        m["content"]["data"]["text/html"] for m in ran.of("display_data", "update_display_data")
    ]
    assert "no code yet" in frames[0]
    assert len(frames) > 3
    assert 1 < frames[-2].count("print") <= frames[-1].count("print")
    assert not any("Prose" in frame or "and after" in frame for frame in frames)


@pytest.mark.parametrize("code", ["!touch {path}", "%%bash\ntouch {path}", "%sx touch {path}"])
@pytest.mark.parametrize("way", ["below", "replace"])
def test_F125_inserted_code_never_runs(
    k: Kernel, far: Served, tmp_path: Path, code: str, way: str
) -> None:
    """F125: a shell line, a cell magic and a magic are offered and remarked on, not run."""
    path = tmp_path / "made"
    says(far, f"```python\n{code.format(path=path)}\n```")
    ran = k.run(f"%gprochat -f code --insert {way} show me")
    k.run("1 + 1")

    [(text, replace)] = offered(ran)
    assert code.format(path=path).splitlines()[-1] in text
    assert replace is (way == "replace")
    assert "commands for the shell or IPython" in footer(ran)
    assert not path.exists()


def test_F125_a_megabyte_is_refused(k: Kernel, far: Served) -> None:
    """F125: code above 1 MB is shown and not inserted, and that is said."""
    far.backend.pieces = ["```python\n", *["x = 1  # " + "y" * 99_990 + "\n"] * 11, "```"]
    ran = k.run("%gprochat -f code show me")

    assert offered(ran) == []
    assert "too much for a cell: not inserted" in footer(ran)


@pytest.mark.parametrize(
    ("disguise", "front_end"),
    [
        ("import sys, types; sys.modules['google.colab'] = types.ModuleType('colab')", "Colab"),
        ("import os; os.environ['PYCHARM_HOSTED'] = '1'", "PyCharm"),
    ],
)
def test_where_nothing_can_be_inserted_the_block_is_shown(
    k: Kernel, far: Served, disguise: str, front_end: str
) -> None:
    """In Colab and PyCharm the code is shown with a note, by `insert` too."""
    says(far, MIXED)
    k.run(disguise)
    ran, later = k.run("%gprochat -f code show me"), k.run("%gprochat insert")
    k.run("sys.modules.pop('google.colab', None); os.environ.pop('PYCHARM_HOSTED', None)")
    k.run("import os; os.environ.pop('PYCHARM_HOSTED', None)")

    assert offered(ran) == offered(later) == []
    assert ran.shown[0]["text/plain"] == "x = {1: 2}\nprint(x)"
    assert f"{front_end} cannot insert a cell: copy the code from here" in footer(ran)
    assert later.stdout.startswith("x = {1: 2}\nprint(x)\n\nBlock 1 of 2")


def test_a_stopped_reply_inserts_nothing(k: Kernel, far: Served) -> None:
    """Half a block is not offered; `insert` gives it to whoever wants it."""
    far.backend.pieces, far.backend.pause = ["```python\nx = 1\n", *["y = 2\n"] * 2000], 0.01
    pressed: list[int] = []

    def watch(message: dict[str, Any]) -> None:
        if message["msg_type"] == "update_display_data" and not pressed:
            pressed.append(1)
            k.interrupt()

    ran = k.run("%gprochat -f code show me", watch)

    assert ran.status == "error"
    assert offered(ran) == []
    assert ran.shown[0]["text/plain"].startswith("x = 1\n")
    [(text, _)] = offered(k.run("%gprochat insert"))
    assert text.startswith("x = 1\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("insert", "x = {1: 2}\nprint(x)"),
        ("insert 1", "x = {1: 2}\nprint(x)"),
        ("insert 2", "%%bash\nls"),
    ],
)
def test_insert_takes_a_block_of_the_last_reply(
    k: Kernel, far: Served, line: str, expected: str
) -> None:
    """`insert` takes the last Python block or the numbered one, and `--insert replace` works."""
    says(far, MIXED)
    k.run("%gprochat -q show me")

    assert offered(k.run(f"%gprochat {line}")) == [(expected, False)]
    name, _, number = line.partition(" ")
    assert offered(k.run(f"%gprochat {name} --insert replace {number}")) == [(expected, True)]


def test_json_gives_the_object(k: Kernel, far: Served) -> None:
    """Fenced JSON with prose around it is shown alone; the result is the object, however kept."""
    says(far, 'So:\n```json\n{"a": [1, {"b": null}]}\n```\nDone.')
    ran = k.run("%gprochat -f json -o kept show me")
    count = ran.reply["content"]["execution_count"]

    assert ran.shown[0]["text/plain"].startswith('{\n  "a": [')
    assert "So" not in ran.shown[0]["text/html"]
    assert len(ran.shown) == 1
    assert k.value(f"Out[{count}], kept") == ({"a": [1, {"b": None}]},) * 2
    k.run("assigned = %gprochat -f json show me")
    assert k.value("assigned['a'][0]") == 1
    assert k.value("__import__('gprochat_magic').Chat().last.text[:3]") == "So:"


@pytest.mark.parametrize("text", ["[]", "0", "false"])
def test_empty_json_is_a_result_too(k: Kernel, far: Served, text: str) -> None:
    """A value that counts as false is handed over like any other."""
    says(far, text)
    count = k.run("%gprochat -f json show me").reply["content"]["execution_count"]

    assert k.value(f"Out[{count}]") == {"[]": [], "0": 0, "false": False}[text]


def test_no_json_is_an_error_that_keeps_the_text(k: Kernel, far: Served) -> None:
    """Two lines say so; the text is shown and in the conversation, and nothing is bound."""
    says(far, "There is none.")
    ran = k.run("%gprochat -f json -o unbound show me")

    assert ran.status == "error"
    assert ran.error["ename"] == "ReplyFormatError"
    assert len(ran.error["traceback"]) == 2
    assert ran.shown[0]["text/plain"] == "There is none."
    assert k.value("'unbound' in globals()") is False
    assert k.value("__import__('gprochat_magic').Chat().last.state") == "complete"


def test_html_is_framed_and_its_source_is_the_text(k: Kernel, far: Served) -> None:
    """The only element of the page that the output holds is a frame without any right."""
    says(far, 'Here:\n```html\n<h1 onclick="x()">Hi</h1><script>alert(1)</script>\n```\n')
    ran = k.run("%gprochat -f html show me")

    html = ran.shown[0]["text/html"]
    assert html.count("<iframe") == 1
    assert '<iframe sandbox="" ' in html
    assert "<h1" not in html
    assert "<script" not in html
    assert "default-src &#x27;none&#x27;" in html
    assert ran.shown[0]["text/plain"].startswith("<h1 onclick")
    live = [m["content"]["data"]["text/html"] for m in ran.of("display_data")]
    assert not any("<iframe" in frame for frame in live)


def test_html_without_html_says_so(k: Kernel, far: Served) -> None:
    """A reply without a tag is shown as it is."""
    says(far, "There is no page.")
    ran = k.run("%gprochat -f html show me")

    assert "<iframe" not in ran.shown[0]["text/html"]
    assert "there is no HTML in the reply" in footer(ran)


def test_latex_is_set_by_the_rules_of_every_reply(k: Kernel, far: Served) -> None:
    """A fenced formula is left to MathJax, a dangerous one is code, and the source is the text."""
    says(far, "So:\n```latex\nE = mc^2\n```\n```latex\n\\href{javascript:x()}{y}\n```")
    ran = k.run("%gprochat -f latex show me")

    html = ran.shown[0]["text/html"]
    assert '<span class="mathjax_process tex2jax_process">\\[E = mc^2\\]</span>' in html
    assert "<code>\\[\\href{javascript:x()}{y}\\]</code>" in html
    assert "text/latex" not in ran.shown[0]
    assert ran.shown[0]["text/plain"].startswith("$$\nE = mc^2\n$$")


def test_captured_output_is_the_last_frame(k: Kernel, far: Served) -> None:
    """%%capture keeps one output, and the code is offered all the same."""
    says(far, MIXED)
    ran = k.run("%%capture kept\n%gprochat -f code show me")

    assert len(offered(ran)) == 1
    assert k.value("len(kept.outputs)") == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-f xml hi", "invalid choice: 'xml'"),
        ("--insert below hi", "--insert needs -f code"),
        ("-f json --insert below hi", "--insert needs -f code"),
        ("-f code --insert above hi", "invalid choice: 'above'"),
        ("-f", "-f needs a value"),
        ("insert 99", "no code"),
        ("insert --insert sideways", "invalid choice: 'sideways'"),
        ("insert -m x", "insert takes no --model"),
        ("insert --insert below here", "insert takes a number"),
        ("fix -f json", "fix takes no --format"),
        ("explain --insert none", "explain takes no --insert"),
    ],
)
def test_bad_input_is_one_usage_line(k: Kernel, far: Served, line: str, expected: str) -> None:
    """Nothing is sent, and one line says what is wrong."""
    says(far, "text")
    k.run("%gprochat -q hi")
    far.backend.asked.clear()
    ran = k.run(f"%gprochat {line}")

    assert ran.reply["content"]["ename"] == "UsageError"
    assert expected in ran.stdout
    assert ran.stdout.count("\n") == 1
    assert far.backend.asked == []


PROMPTS = [
    "What is wrong with {\"a\": 1, 'b': [2]}?",
    "def f(x): return {x",
    r"Simplify \frac{1}{2} + {x}^2",
    'print(f"{obj.missing_attribute}")',
    "Use '{0}' and '{1}' in str.format",
    "function f(a) { if (a) { return `${a}`; } }",
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("cell", [True, False], ids=["cell", "line"])
def test_braces_reach_the_server_as_typed(k: Kernel, far: Served, prompt: str, cell: bool) -> None:
    """What is no name of the user's is sent byte for byte, in either form."""
    k.run("obj = object()")
    ran = k.run(f"%%gprochat -q\n{prompt}" if cell else f"%gprochat -q {prompt}")

    assert ran.status == "ok"
    assert far.backend.prompts == [prompt]


@pytest.mark.parametrize("prompt", ["what is this?", "what's that", 'say "hi" to O\'Brien; ok??'])
def test_marks_in_a_line_reach_the_server_as_typed(k: Kernel, far: Served, prompt: str) -> None:
    """An apostrophe is no open quote, and a question mark no call for help."""
    k.run(f"%gprochat {prompt}")

    assert far.backend.prompts == [prompt]
