"""`-x` in a real kernel: what goes before the prompt, masked and cut; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gprochat_magic.notebook.context import TOTAL
from gprochat_magic.notebook.summaries import LIMIT
from tests.gateways import Served, served
from tests.kernels import Kernel, Ran, kernel


@pytest.fixture(scope="module")
def far() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def one_kernel(far: Served) -> Iterator[Kernel]:
    with kernel(**far.environment, GPROCHAT_WIRE="turns") as started:
        started.run(_SETUP)
        yield started


@pytest.fixture
def k(one_kernel: Kernel, far: Served) -> Kernel:
    """A kernel with variables and an empty conversation; the gateway has recorded nothing."""
    one_kernel.run("%gprochat reset")
    far.backend.asked.clear()
    return one_kernel


_SETUP = '''
from gprochat_magic import register_context

class Mesh:
    """A type that says for itself what it is."""
    def _repr_llm_(self):
        return "a mesh of 7 cells"

class Registered: pass
class Child(Registered): pass
register_context(Registered, lambda value: f"registered, seen as {type(value).__name__}")

class Raises:
    def __repr__(self): raise RuntimeError("words-of-the-error")
    @property
    def attribute(self): raise OSError

class Huge:
    def __repr__(self): return "h" * 100_000_000

class Endless:
    def _repr_pretty_(self, printer, cycle):
        while True:
            printer.text("on and on ")

class NoText:
    def _repr_llm_(self): return 7

def add(a, b=1):
    """Adds."""
    return a + b  # a comment that only the source has

mesh, registered, child = Mesh(), Registered(), Child()
raises, huge, endless, notext = Raises(), Huge(), Endless(), NoText()
numbers = {"a": [1, 2], "b": "text"}
spaced = {"a b": 7}
text = "one\\n```\\nfence in a text\\n```"
long = "0123456789" * 10_000
million = list(range(1_000_000))
'''


def sent(k: Kernel, far: Served, flags: str) -> str:
    """The prompt that reaches the model."""
    ran = k.run(f"%gprochat -q {flags} what is it?")
    assert ran.status == "ok", ran.stdout
    prompt = far.backend.prompts[-1]
    assert prompt.endswith("\n\nwhat is it?")
    return prompt


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("numbers", "numbers (dict):\n```\n{'a': [1, 2], 'b': 'text'}\n```\n"),
        ('numbers["b"]', 'numbers["b"] (str):\n```\ntext\n```\n'),
        ('spaced["a b"]', 'spaced["a b"] (int):\n```\n7\n```\n'),
        ("text", "text (str):\n````\none\n```\nfence in a text\n```\n````\n"),
        ("mesh", "mesh (Mesh):\n```\na mesh of 7 cells\n```\n"),
        ("registered", "registered (Registered):\n```\nregistered, seen as Registered\n```\n"),
        ("child", "child (Child):\n```\nregistered, seen as Child\n```\n"),
        ("add", "    return a + b  # a comment that only the source has\n```\n"),
        ("Mesh", '(class):\n```\nclass Mesh:\n    """A type that says for itself what it is."""'),
        ("len", "len (function):\n```\nlen(obj, /)\nReturn the number of items in a container."),
    ],
)
def test_a_variable_is_put_in(k: Kernel, far: Served, item: str, expected: str) -> None:
    """A value goes in as text in a fence of its own: by repr, source, or as its type says."""
    if item == "len":
        k.run("len = len")

    assert expected in sent(k, far, f"-x {item}")


def test_what_went_in_is_below_the_reply(k: Kernel, far: Served) -> None:
    """The footer names each piece, with what was cut and masked of it; the reply follows."""
    k.run("conf = {'password': 'hunter2', 'api_key': 'abc'}")
    ran = k.run("%gprochat -x conf -x long -x conf hi")

    html = ran.shown[0]["text/html"]
    assert "with conf (2 secrets shown as ****), long (cut at 20,000 of 100,000 characters)" in html
    assert "conf (dict, 2 secrets shown as ****):" in far.backend.prompts[-1]


@pytest.mark.parametrize("item", ["long", "huge", "million", "endless"])
def test_F132_a_huge_value_is_cut_and_said(k: Kernel, far: Served, item: str) -> None:
    """A value of any length adds at most its limit, and its block says that it was cut."""
    prompt = sent(k, far, f"-x {item}")

    assert len(prompt) < LIMIT + 500
    assert f"cut at {LIMIT:,}" in prompt


def test_all_context_together_is_cut(k: Kernel, far: Served) -> None:
    """Five long values stay within the limit for a prompt, each block saying so."""
    k.run("l1, l2, l3, l4 = long + '1', long + '2', long + '3', long + '4'")
    prompt = sent(k, far, "-x long -x l1 -x l2 -x l3 -x l4")

    assert len(prompt) < TOTAL + 1_000
    assert prompt.count("cut at ") == 5


def test_a_frame_of_a_million_rows_adds_two_kilobytes(k: Kernel, far: Served) -> None:
    """A large DataFrame adds at most 2 kB to the request, all around it included."""
    k.run("import numpy, pandas\ndf = pandas.DataFrame(numpy.random.rand(1_000_000, 12))")
    prompt = sent(k, far, "-x df")

    assert len(prompt.encode()) <= 2_000
    assert "df (DataFrame):\n```\n1,000,000 rows x 12 columns\n" in prompt
    assert "first rows:" in prompt


def test_a_planted_key_never_leaves(k: Kernel, far: Served, tmp_path: Path) -> None:
    """Keys in variables, cells, files, errors and output are masked in what is recorded."""
    canary = "sk-canary0123456789canary"
    (tmp_path / "app.env").write_text(f"# x\nOPENAI_API_KEY={canary}\nPASSWORD=hunter2\n")
    k.run(f"key = '{canary}'\npassword = 'hunter2'\nprint(key); key")
    k.run(f"raise ValueError('{canary}')")
    number = k.run(f"holds = ['{canary}', {{'token': 'hunter2'}}]").reply["content"][
        "execution_count"
    ]
    for item in (
        "key", "password", "holds", f"In[{number}]", f"In[{number - 2}:]", f"Out[{number - 2}]",
        f"Err[{number - 1}]", "last", "notebook", "vars", f"file:{tmp_path / 'app.env'}",
    ):  # fmt: skip
        sent(k, far, f"-x {item}")

    everything = str(far.backend.asked)
    assert "canary" not in everything
    assert "hunter2" not in everything
    assert "****" in everything


def test_the_key_that_signs_never_leaves(k: Kernel, far: Served) -> None:
    """The configured secret is masked also where nothing gives it away."""
    k.run("import os\nplain = 'it is ' + os.environ['GPROCHAT_SECRET_KEY']")

    assert "\nit is ****\n" in sent(k, far, "-x plain")


def test_what_the_user_typed_is_left_alone(k: Kernel, far: Served) -> None:
    """A key that the user writes into the prompt is his to send."""
    k.run("%gprochat -q -x numbers why is password = 'hunter2' weak?")

    assert far.backend.prompts[-1].endswith("\n\nwhy is password = 'hunter2' weak?")


def number_of(ran: Ran) -> int:
    return int(ran.reply["content"]["execution_count"])


def test_cells_and_outputs(k: Kernel, far: Served) -> None:
    """In[..], a slice of them, Out[..] and Err[..] are the cells of those numbers, as typed."""
    n = number_of(k.run("6 * 7  # the first"))
    k.run("!true  # the second")
    k.run("1 / 0")

    assert f"In[{n}] (cell):\n```\n6 * 7  # the first\n```" in sent(k, far, f"-x In[{n}]")
    both = sent(k, far, f"-x In[{n}:{n + 2}]")
    assert f"In[{n}]:\n6 * 7  # the first\n\nIn[{n + 1}]:\n!true  # the second\n```" in both
    assert "1 / 0" not in both
    assert f"Out[{n}] (int):\n```\n42\n```" in sent(k, far, f"-x Out[{n}]")
    assert "ZeroDivisionError: division by zero" in sent(k, far, f"-x Err[{n + 2}]")


def test_last_is_the_cell_before_with_its_output(k: Kernel, far: Served) -> None:
    """`last` gives input, output and error of the cell before, never the cell that asks."""
    n = number_of(k.run("print('printed'); 6 * 7"))
    prompt = sent(k, far, "-x last")
    assert f"In[{n}]:\nprint('printed'); 6 * 7" in prompt
    assert f"Out[{n}]:\n42\n```" in prompt
    assert "what is it?" not in prompt.removesuffix("what is it?")

    k.run("1 / 0")
    assert f"In[{n + 2}]:\n1 / 0\n\nIt failed:\nTraceback" in sent(k, far, "-x last")


def test_notebook_keeps_the_newest_cells(k: Kernel, far: Served) -> None:
    """`notebook` gives the cells so far in order; where they are too many, the oldest stay out."""
    k.run("# the oldest " + "x" * 9_000)
    k.run("# in the middle " + "y" * 9_000)
    k.run("# the newest " + "z" * 9_000)
    prompt = sent(k, far, "-x notebook")

    assert "older cells are left out)" in prompt
    assert "the oldest" not in prompt
    assert prompt.index("in the middle") < prompt.index("the newest")
    assert len(prompt) < LIMIT + 500


def test_vars_is_a_table(k: Kernel, far: Served) -> None:
    """`vars` lists the user's names with type and size, and no values."""
    prompt = sent(k, far, "-x vars")

    assert "\nnumbers  dict  2\n" in prompt
    assert "\nlong  str  100,000\n" in prompt
    assert "get_ipython" not in prompt


@pytest.mark.parametrize("typed", ["'file:{path}'", 'file:"{path}"'])
def test_a_file_goes_in(k: Kernel, far: Served, tmp_path: Path, typed: str) -> None:
    """`file:PATH` gives a file's text, its BOM dropped, cut where it is long, quoted if need be."""
    path = tmp_path / "a name.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "ж".encode() * 50_000)
    prompt = sent(k, far, f"-x {typed.format(path=path)}")

    assert "cut at 20,000" in prompt
    assert "\n" + "ж" * 20_000 + "\n" in prompt


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("-x nobody", "-x nobody: nothing is called that"),
        ("-x numbers.nope", "-x numbers.nope: nothing is called that"),
        ("-x len(x)", "-x len(x): nothing is called that"),
        ("-x", "-x needs a value"),
        ("-x raises", "-x raises cannot be shown: RuntimeError"),
        ("-x raises.attribute", "cannot be read: OSError"),
        ("-x notext", "-x notext cannot be shown: TypeError"),
        ("-x In[a]", "-x In[a]: In[3] is a cell"),
        ("-x In[1:2:3]", "-x In[1:2:3]: In[3] is a cell"),
        ("-x In[-1]", "-x In[-1]: In[3] is a cell"),
        ("-x In[", "-x In[: In[3] is a cell"),
        ("-x In[9999]", "no such cell was run"),
        ("-x In[5:3]", "no such cell was run"),
        ("-x Out[9999]", "-x Out[9999]: there is none"),
        ("-x Out[1:2]", "-x Out[1:2]: there is none"),
        ("-x Err[1]", "-x Err[1]: there is none"),
        ("-x file:", "there is no such file"),
        ("-x file:/nowhere/at/all", "there is no such file"),
        ("-x file:/tmp", "there is no such file"),
        ("-x file:{tmp}/latin1", "it is not text in UTF-8"),
        ("-x file:{tmp}/binary", "it is not text in UTF-8"),
        ("-x file:{tmp}/\\0", "there is no such file"),
        ("-x numbers -x nobody", "-x nobody: nothing is called that"),
    ],
)
def test_what_cannot_go_in_is_one_line(
    k: Kernel, far: Served, tmp_path: Path, flags: str, expected: str
) -> None:
    """F132: an unknown name, a value that raises, a bad number or file: one line, nothing sent."""
    (tmp_path / "latin1").write_bytes("é".encode("latin-1") * 9)
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0\0\0")
    ran = k.run(f"%gprochat {flags.format(tmp=tmp_path) if '{tmp}' in flags else flags} hi"
                if flags != "-x" else "%gprochat -x")  # fmt: skip

    assert ran.reply["content"]["ename"] == "UsageError"
    assert expected in ran.stdout
    assert "words-of-the-error" not in ran.stdout
    assert ran.stdout.count("\n") == 1
    assert far.backend.asked == []
    assert k.run("%gprochat history").stdout == "No turns yet.\n"


def test_tab_offers_what_x_takes(k: Kernel) -> None:
    """Tab after -x offers the user's names, In, Out and the words; after -i the names."""

    def offered(code: str) -> list[str]:
        found = k.client.complete(code, reply=True, timeout=30)["content"]["matches"]
        return list(found)

    assert {"numbers", "In[", "Out[", "Err[", "last", "notebook", "vars", "file:"} <= set(
        offered("%gprochat -x ")
    )
    assert offered("%gprochat --context noteb") == ["notebook"]
    assert "last" not in offered("%gprochat -i ")


def test_register_context_wants_a_type_and_a_function() -> None:
    """What is no type or no function is refused when it is registered."""
    from gprochat_magic import register_context

    with pytest.raises(TypeError, match="needs a type and a function"):
        register_context("Mesh", str)  # type: ignore[arg-type]
