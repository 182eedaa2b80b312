"""Which code of a reply goes into a cell, and what is said of it."""

from __future__ import annotations

import json
import re
import time
from html import unescape

import pytest

from gprochat_magic.errors import ReplyFormatError
from gprochat_magic.notebook import snippets
from gprochat_magic.notebook.formats import fenced, formulas, page
from gprochat_magic.notebook.frames import sandboxed
from gprochat_magic.notebook.snippets import Snippet, chosen
from gprochat_magic.reply import Reply

BODY = 'def f(x):\n\treturn f"{x!r}```"  # `$x$`\n\n\nprint(f(1))'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Sure:\n\n````python\n{BODY}\n````\nand\n```bash\nls\n```\nbye", Snippet(BODY)),
        ("```py\na\n```\ntext\n```{Python3}\nb\n```", Snippet("a\n\nb")),
        ("```bash\nls\n```\n```sh\npwd\n```\n```sql\nx\n```", Snippet("ls\n\npwd", "bash")),
        ("```\nx = 1\n```", Snippet("x = 1")),
        ("```\nno python here\n```", Snippet("no python here", "text")),
        ("```\nOutput: 1 2\n```\n```python\nx\n```", Snippet("x")),
        ("```sql\nselect 1\n```", Snippet("select 1", "sql")),
        ("1. a\n\n   ```python\n   if x:\n       y\n   ```", Snippet("if x:\n    y")),
        ("```python\n    if x:\n        y\n\n    z\n```", Snippet("if x:\n    y\n\nz")),
        ("```python\nx = '''\n  \n'''\n```", Snippet("x = '''\n  \n'''")),
        ("```python\n\n```", Snippet("", "")),
        ("`x = 1` is all you need", Snippet("", "")),
        ("x = 1", Snippet("", "")),
        ("", Snippet("", "")),
    ],
)
def test_the_code_for_a_cell(text: str, expected: Snippet) -> None:
    """Python blocks go first, then a shell script; prose and backticks never do."""
    assert chosen(text) == expected


@pytest.mark.parametrize(
    ("snippet", "expected"),
    [
        (Snippet("x = 1"), "x = 1"),
        (Snippet("ls", "bash"), "%%bash\nls"),
        (Snippet("%%writefile a.txt\nx"), "%%writefile a.txt\nx"),
    ],
)
def test_a_cell_holds_the_code_alone(snippet: Snippet, expected: str) -> None:
    """Nothing is added but what makes a shell script run as one."""
    assert snippet.cell == expected


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "%matplotlib inline\nx",
        "!ls -la\nfiles = !ls",
        "for f in y:\n    !rm {f}\n    %time x",
        "%%bash\nls ( [",
        "print?",
        "await f()\nasync with g() as x:\n    pass",
        r"re.compile('\d')",
    ],
)
def test_what_runs_in_a_cell_parses(source: str) -> None:
    """Magics, shell lines, help and top-level await are no mistakes."""
    assert snippets.syntax_error(source) == ""


@pytest.mark.parametrize(
    ("snippet", "expected"),
    [
        (Snippet("def f(:\n  x"), ["it does not parse (line 1: invalid syntax)"]),
        (Snippet("x = 1 +\n!ls"), ["it does not parse", "commands for the shell or IPython (!)"]),
        (Snippet("!rm -rf x"), ["commands for the shell or IPython (!)"]),
        (Snippet("%%bash\nls"), ["commands for the shell or IPython (%)"]),
        (Snippet("x = %time 1"), ["commands for the shell or IPython (%)"]),
        (Snippet("ls", "bash"), ["shell script"]),
        (Snippet("x = 'a\u202eb\u200b'"), ["2 invisible characters"]),
        (Snippet("x\0"), ["does not parse"]),
        (Snippet("x = 5 % 3 != 2"), []),
        (Snippet("x = 1\n" * 40_000), ["too long to be checked"]),
    ],
)
def test_what_a_reader_should_know(snippet: Snippet, expected: list[str]) -> None:
    """Code that does not parse, runs commands or hides characters is remarked on."""
    remarks = snippet.remarks()

    assert len(remarks) == len(expected)
    assert all(part in remark for part, remark in zip(expected, remarks, strict=True))


@pytest.mark.parametrize(
    "source", ["(" * 50_000, "!x\n" * 20_000, "-" * 150_000 + "1", "f?\n" * 9_000, "{[(" * 9_000]
)
def test_hostile_code_is_checked_in_bounded_time(source: str) -> None:
    """What a parser or IPython's rules would choke on costs seconds at most, and no crash."""
    began = time.monotonic()
    Snippet(source).remarks()

    assert time.monotonic() - began < 10


def test_growing_code_only_grows() -> None:
    """Cut at every character, the code so far begins the code at the end."""
    text = f"Sure:\n\n````python\n{BODY}\n````\nand\n```python\nx\n```\nbye"
    whole = snippets.growing(text)

    assert whole == chosen(text).source == f"{BODY}\n\nx"
    for cut in range(len(text)):
        assert whole.startswith(snippets.growing(text[:cut]))


@pytest.mark.parametrize("source", ["x", "```\nx\n```", "~~~", "`````"])
def test_a_block_cannot_be_left(source: str) -> None:
    """Code shown in a fence of ours comes back whole, whatever backticks it holds."""
    assert Reply(fenced(source, "python<x>")).blocks == [("pythonx", f"{source}\n")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n```html\n<b>x</b>\n```\nb", "<b>x</b>\n"),
        ("a\n```\n<p>x</p>\n```\nb", "<p>x</p>\n"),
        ("<!DOCTYPE html><html>x</html>", "<!DOCTYPE html><html>x</html>"),
        ("a\n```python\nx < y\n```", ""),
        ("1 < 2 and 3 > 2", ""),
    ],
)
def test_the_page_in_a_reply(text: str, expected: str) -> None:
    """A fenced page, or a whole reply that is one; else nothing."""
    assert page(text) == expected


def test_a_framed_page_is_only_an_attribute() -> None:
    """No tag, quote or hint to connect gets out of the frame's source, whatever the page holds."""
    shown = sandboxed("</iframe>'\"><LINK rel=preconnect href=//x><b>\0\ud800")

    assert shown.count("<") == 2
    assert shown.count('"') == 2 * shown.count('="')
    assert "<link" not in unescape(unescape(shown)).lower()
    assert shown.encode()


def test_a_framed_page_can_do_nothing() -> None:
    """Either frame has no right at all, and a policy that allows no request before its content."""
    shown = sandboxed("<p>the page</p>")
    for content in ("<iframe", "<p>the page"):
        frame = re.fullmatch(r'.*?<iframe sandbox="" [^<>]*srcdoc="([^"]*)"[^<>]*></iframe>', shown)
        assert frame is not None
        shown = unescape(frame[1])
        policy = shown[: shown.index(content)].partition("Content-Security-Policy")[2]
        assert policy.startswith("\" content=\"default-src 'none';")
        for source in re.findall(r"[\w-]+-src ([^;\"]*)", policy):
            assert source in ("'none'", "'unsafe-inline'", "data:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n```latex\nE = mc^2\n```\nb", "$$\nE = mc^2\n$$"),
        ("\\frac{1}{2}", "$$\n\\frac{1}{2}\n$$"),
        (
            "```tex\n\\begin{align}\na &= b\n\\end{align}\n```",
            "\\begin{align}\na &= b\n\\end{align}",
        ),
        ("It holds that $a^2$.", "It holds that $a^2$."),
        ("There is nothing to set here = really", "There is nothing to set here = really"),
        (
            "```latex\n\\documentclass{article}\n\\begin{document}\nSo $x$.\n\\end{document}\n```",
            "So $x$.",
        ),
    ],
)
def test_the_formulas_in_a_reply(text: str, expected: str) -> None:
    """A formula that stands alone is marked as one; a document is its body."""
    assert formulas(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('So:\n```json\n{"a": [1]}\n```\nDone {b}.', {"a": [1]}),
        ('In [brackets], {"a": {"b": null}} is it', {"a": {"b": None}}),
        ("null", None),
        ("[" * 100_000 + ' {"a": 1}', None),
    ],
)
def test_json_in_a_reply(text: str, expected: object) -> None:
    """The value is found in a fence or in prose; a hostile text costs no crash."""
    reply = Reply(text)
    if text.startswith("[["):
        with pytest.raises(ReplyFormatError):
            reply.json()
    else:
        assert reply.json() == expected


def test_no_json_is_an_error_that_keeps_the_text() -> None:
    """It is a `ValueError` too, and holds the text."""
    with pytest.raises(ValueError, match="no JSON") as caught:
        Reply("nothing {here}").json()

    assert isinstance(caught.value, ReplyFormatError)
    assert not isinstance(caught.value, json.JSONDecodeError)
    assert caught.value.partial == "nothing {here}"
