"""`fix` and `explain` in a real kernel: what is sent of an error, what comes of the answer."""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from gprochat_magic.notebook.failures import Failures
from tests.gateways import Served, served
from tests.kernels import Kernel, kernel
from tests.notebook.test_formats import footer, offered, says

ANSWER = """\
Zero has no inverse.

```diff
-1/0
+1/1
```

```python
1/1
```
"""


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
    """A kernel with no failed cell and an empty conversation, at a gateway that answers a fix."""
    one_kernel.run("%unload_ext gprochat_magic\n%load_ext gprochat_magic")
    one_kernel.run("%gprochat reset")
    far.backend.asked.clear()
    says(far, ANSWER)
    return one_kernel


def test_fix_sends_cell_and_traceback_and_inserts_the_corrected_cell(
    k: Kernel, far: Served
) -> None:
    """After 1/0 the request holds the cell, its traceback and versions; the answer is shown whole,
    and its Python block goes into a cell below.
    """
    failed = k.run("# divide\n1/0").reply["content"]["execution_count"]
    ran = k.run("%gprochat fix")

    [sent] = far.backend.prompts
    assert f"Cell In[{failed}]:\n```python\n# divide\n1/0\n```" in sent
    assert f"Cell In[{failed}], line 2, in <module>" in sent
    assert "->    2  1/0" in sent
    assert "ZeroDivisionError: division by zero" in sent
    assert "\nPython " + k.value("__import__('platform').python_version()") in sent
    assert "\x1b" not in sent
    assert offered(ran) == [("1/1", False)]
    assert "Zero has no inverse" in ran.shown[0]["text/plain"]
    assert f"with In[{failed}], Err[{failed}]" in footer(ran)


def test_explain_sends_the_same_and_inserts_nothing(k: Kernel, far: Served) -> None:
    """`explain` only explains."""
    k.run("1/0")
    ran = k.run("%gprochat explain")

    assert "ZeroDivisionError" in far.backend.prompts[0]
    assert offered(ran) == []


def test_a_numbered_error(k: Kernel, far: Served) -> None:
    """`fix N` and `explain N` take the error of cell N; the last one is taken without a number."""
    first = k.run("int('one')").reply["content"]["execution_count"]
    k.run("[][7]")
    for line in ("fix", f"fix {first}", f"explain {first}"):
        k.run(f"%gprochat {line}")

    assert ["IndexError" in prompt for prompt in far.backend.prompts] == [True, False, False]
    assert ["int('one')" in prompt for prompt in far.backend.prompts] == [False, True, True]


def test_insert_and_model_go_along(k: Kernel, far: Served) -> None:
    """`fix -m MODEL --insert replace` asks that model and replaces the cell that asked."""
    k.run("1/0")
    ran = k.run("%gprochat fix -m other --insert replace")

    assert offered(ran) == [("1/1", True)]
    assert far.backend.asked[0][1]["model"] == "other"
    assert offered(k.run("%gprochat fix --insert none")) == []


def test_frames_of_the_user_come_with_their_source(k: Kernel, far: Served, tmp_path: Path) -> None:
    """Functions of other cells and of the user's files are shown; a library's are only named, and
    no folder is told.
    """
    (tmp_path / "helper_of_mine.py").write_text(
        "def parse(text):\n    import json\n    return json.loads(text)\n"
    )
    k.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    defined = k.run("def step(text):\n    return helper_of_mine.parse(text)  # mark 1").reply
    k.run("import helper_of_mine\nimport aiohttp\nstep('{')")
    k.run("%gprochat fix")

    sent = far.backend.prompts[0]
    assert f"Cell In[{defined['content']['execution_count']}], line 2, in step" in sent
    assert "return helper_of_mine.parse(text)  # mark 1" in sent
    assert "helper_of_mine.py, line 3, in parse" in sent
    assert "return json.loads(text)" in sent
    assert "  json.loads\n" in sent
    assert "raw_decode" in sent
    assert "JSONDecodeError: Expecting property name" in sent
    assert "aiohttp " + k.value("aiohttp.__version__") in sent
    assert str(tmp_path) not in sent
    assert "IPython" not in sent


def test_a_syntax_error_is_sent_as_python_tells_it(k: Kernel, far: Served) -> None:
    """A cell that did not even run has its source, the place and the words."""
    count = k.run("x = 1\ndef f(:").reply["content"]["execution_count"]
    k.run("%gprochat fix")

    sent = far.backend.prompts[0]
    assert f'File "Cell In[{count}]", line 2' in sent
    assert "SyntaxError: invalid syntax" in sent
    assert "IPython" not in sent


def test_a_chain_of_errors_is_sent_in_order(k: Kernel, far: Served) -> None:
    """The first cause comes first; endless recursion and endless words are cut in their middle."""
    k.run("def f(n): return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as e:\n"
          "    raise ValueError('x' * 100_000) from e")  # fmt: skip
    k.run("%gprochat fix")

    sent = far.backend.prompts[0]
    assert (
        sent.index("RecursionError") < sent.index("directly caused") < sent.index("ValueError: x")
    )
    assert "more frames" in sent
    assert "characters left out" in sent
    assert len(sent) < 12_000


def test_secrets_are_masked(k: Kernel, far: Served) -> None:
    """A key in the failing cell or in the error's words never leaves."""
    key = "sk-" + "abcdEFGH1234" * 3
    k.run(f"key = {key!r}\nraise ValueError('bad key ' + key)")
    ran = k.run("%gprochat fix")

    assert key not in str(far.backend.asked)
    assert "bad key" in far.backend.prompts[0]
    assert "leave the masks as they are" in far.backend.prompts[0]
    assert "secrets masked" in footer(ran)


def test_no_control_sequence_is_sent(k: Kernel, far: Served) -> None:
    """Colours in an error's words are taken out."""
    k.run("raise ValueError('\\x1b[31mred\\x1b[0m')")
    k.run("%gprochat fix")

    assert "ValueError: red" in far.backend.prompts[0]
    assert "\x1b" not in far.backend.prompts[0]


def test_without_an_error_nothing_is_sent(k: Kernel, far: Served) -> None:
    """A usage line says that no cell has failed, or not that one."""
    for line, expected in (("fix", "no cell has failed"), ("explain 99999", "cell 99999")):
        ran = k.run(f"%gprochat {line}")

        assert ran.reply["content"]["ename"] == "UsageError"
        assert expected in ran.stdout
    assert far.backend.asked == []


def test_our_own_errors_and_stops_are_passed_over(k: Kernel, far: Served) -> None:
    """After a prompt that failed, and a cell that was stopped, the user's error is the last."""
    k.run("1/0")
    assert k.run("%gprochat --timeout abc hi").status == "error"
    assert k.run("%gprochat -f json hi").error["ename"] == "ReplyFormatError"
    k.run("raise KeyboardInterrupt")
    far.backend.asked.clear()
    k.run("%gprochat fix")

    assert "ZeroDivisionError" in far.backend.prompts[0]


def test_err_stays_as_it_was(k: Kernel, far: Served) -> None:
    """`{Err[N]}` is still the traceback of cell N."""
    count = k.run("1/0").reply["content"]["execution_count"]
    k.run(f"%gprochat {{Err[{count}]}}")

    assert far.backend.prompts[0].startswith("Traceback (most recent call last):")


def test_a_handler_of_the_users_still_fires(k: Kernel, far: Served) -> None:
    """A custom exception handler that was set before stays, and fix works beside it."""
    k.run("seen = []\ndef handler(self, kind, value, tb, tb_offset=None):\n"
          "    seen.append(kind.__name__)\n"
          "get_ipython().set_custom_exc((ZeroDivisionError,), handler)")  # fmt: skip
    k.run("%reload_ext gprochat_magic")
    k.run("# mine\n1/0")
    k.run("%gprochat fix")
    seen = k.value("seen, get_ipython().custom_exceptions == (ZeroDivisionError,)")
    k.run("get_ipython().set_custom_exc((), None)")

    assert seen == (["ZeroDivisionError"], True)
    assert "# mine\n1/0" in far.backend.prompts[0]


def test_no_object_of_a_failed_cell_is_held() -> None:
    """What a failed cell had in its hands can go, as far as we are concerned."""

    class Big:
        pass

    def fails() -> tuple[Failures, weakref.ref[Big]]:
        big, failures = Big(), Failures()
        try:
            raise ValueError("mine", big)
        except ValueError as error:
            failures.note(
                types.SimpleNamespace(
                    error_before_exec=None,
                    error_in_exec=error,
                    execution_count=3,
                    info=types.SimpleNamespace(raw_cell="raise", store_history=True),
                )
            )
        return failures, weakref.ref(big)

    failures, big = fails()
    gc.collect()

    assert big() is None
    assert failures[3].startswith("Traceback")
    assert failures.evidence[3].cell == "raise"


def test_an_answer_without_a_cell_says_so(k: Kernel, far: Served) -> None:
    """A fix that brings no Python block inserts nothing."""
    says(far, "Do not divide by zero.\n```diff\n-1/0\n```")
    k.run("1/0")
    ran = k.run("%gprochat fix")

    assert offered(ran) == []
    assert "there is no corrected cell in the reply: nothing inserted" in footer(ran)


def test_words_behind_the_name_make_a_prompt(k: Kernel, far: Served) -> None:
    """`fix my code` and `explain relativity` are prompts."""
    k.run("%gprochat fix my code")
    k.run("%gprochat explain relativity")

    assert far.backend.prompts == ["fix my code", "explain relativity"]
