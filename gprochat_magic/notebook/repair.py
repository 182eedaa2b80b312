"""`fix`, `explain` and `insert`: a failed cell put before the model, and code put into a cell."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from gprochat_magic import markdown
from gprochat_magic.masking import masked
from gprochat_magic.notebook import formats, insertion, snippets
from gprochat_magic.notebook.evidence import Evidence, short
from gprochat_magic.notebook.grammar import NUMBERED, Row, Shape, flags_for
from gprochat_magic.notebook.prompt import Filled

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics

_FIX = """\
A cell of my notebook failed. Answer with three things, in this order and nothing else:
1. the cause, in one or two sentences;
2. the change as a unified diff, in one ```diff block;
3. the whole corrected cell, in one ```python block, which can run in place of the failed one.
Change only what the error asks for."""
_EXPLAIN = """\
A cell of my notebook failed. Explain in a few sentences what the error means, what in my code
led to it, and how it can be avoided. Do not write the cell anew."""
_MASKED = "Secrets in it are masked; leave the masks as they are."


def _fix(magics: GPROChatMagics, argument: str) -> Any:
    options, number = flags_for("fix", argument, ("model", "insert"))
    prompt = _prompt(magics, _FIX, _failure(magics, number))
    form = formats.Corrected(magics.shell, options.insert or "below")
    return magics.asking.send(prompt, options, form=form)


def _explain(magics: GPROChatMagics, argument: str) -> Any:
    options, number = flags_for("explain", argument, ("model",))
    return magics.asking.send(_prompt(magics, _EXPLAIN, _failure(magics, number)), options)


def _failure(magics: GPROChatMagics, number: str) -> Evidence:
    """The numbered failure, or the last one. Raises `UsageError` if there is none such."""
    failures = magics.failures
    found = failures.evidence.get(int(number)) if number else failures.last()
    if found is not None:
        return found
    if not number:
        raise UsageError("no cell has failed since the extension was loaded")
    known = ", ".join(map(str, sorted(failures.evidence)[-10:]))
    raise UsageError(
        f"no error of cell {number} is known" + (f"; of {known} it is" if known else "")
    )


def _prompt(magics: GPROChatMagics, task: str, failure: Evidence) -> Filled:
    """What is asked, with the cell, the traceback and the versions, secrets masked."""

    def label(file: str) -> str:
        cell = magics.shell.compile.format_code_name(file)
        return f"Cell {cell[1]}" if cell else short(file)

    parts = [
        _versions(failure.modules),
        f"Cell In[{failure.number}]:\n{formats.fenced(failure.cell, 'python')}",
        f"Its error:\n{formats.fenced(failure.traceback(label), 'text')}",
    ]
    text, secrets = masked("\n\n".join(part.rstrip() for part in parts))
    used = [f"In[{failure.number}]", f"Err[{failure.number}]"]
    if secrets:
        task = f"{task} {_MASKED}"
        used.append(f"{secrets} secret{'s' * (secrets > 1)} masked")
    return Filled(f"{task}\n\n{text}", used=used)


def _versions(modules: tuple[str, ...]) -> str:
    """Python's version, and that of each package that a failure has to do with."""
    homes = metadata.packages_distributions()
    names = dict.fromkeys(
        name
        for module in modules
        if module not in sys.stdlib_module_names
        for name in homes.get(module, [])[:1]
    )
    known = [f"{name} {metadata.version(name)}" for name in names]
    return ", ".join([f"Python {platform.python_version()}", *known])


def _insert(magics: GPROChatMagics, argument: str) -> str:
    options, number = flags_for("insert", argument, ("insert",))
    reply = magics.replied or magics.chat().last
    if reply is None or not reply.text:
        raise UsageError("there is no reply to take code from")
    found = snippets.numbered(reply.text, int(number) if number else None)
    if found is None:
        count = len(reply.blocks)
        there_are = f"{count} blocks of code" if count else "no code"
        raise UsageError(
            f"the last reply has {there_are}" + (f", no block {number}" if count else "")
        )
    which, count, snippet = found
    way = options.insert or "below"
    offered, remarks = insertion.insert(magics.shell, snippet, way=way)
    said = ": ".join(filter(None, [f"Block {which} of {count}", "; ".join(remarks)])) + "."
    return said if offered else f"{markdown.plain(snippet.source)}\n\n{said}"


ROWS: tuple[Row, ...] = (
    (
        Shape(
            "fix",
            "[-m MODEL] [--insert WHERE] [N]",
            NUMBERED,
            "send the last error, or that of cell N, with its cell; the corrected cell is put "
            "below it, or where --insert says: below|replace|none",
        ),
        _fix,
    ),
    (
        Shape(
            "explain",
            "[-m MODEL] [N]",
            NUMBERED,
            "have the last error explained, or that of cell N",
        ),
        _explain,
    ),
    (
        Shape(
            "insert",
            "[--insert WHERE] [BLOCK]",
            NUMBERED,
            "put a block of the last reply into a cell: its last Python block, or number BLOCK; "
            "--insert says where: below|replace|none",
        ),
        _insert,
    ),
)
