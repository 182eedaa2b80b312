"""What a value of the user's looks like as text: enough for a model, and never too much.

A value's own code (`__repr__`, `_repr_llm_`, a registered function) may raise or give far too much;
the one is a usage error that names the value, the other is cut.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError
from IPython.lib.pretty import RepresentationPrinter

from gprochat_magic.describers import describer
from gprochat_magic.masking import MARGIN, MASK, is_secret_name
from gprochat_magic.notebook import tables

LIMIT = 20_000
"""Characters that one piece of context adds at most."""


@dataclass(frozen=True)
class Summary:
    """A value as text, to be masked and cut: what it is, the text, and what is known of it.

    `length` is that of the whole, in characters, where the text is only its beginning (-1: not
    known); `hidden` is how many secrets are masked already.
    """

    kind: str
    text: str
    length: int | None = None
    hidden: int = 0


def summarized(value: object, name: str) -> Summary:
    """A value as text. Raises `UsageError`, naming it, where the value's own code raises."""
    try:
        return _summarized(value, name)
    except Exception as error:  # noqa: BLE001  # a value's own code may raise anything at all
        raise UsageError(
            f"{name} cannot be shown: {type(error).__name__} from its own code; nothing was sent"
        ) from None


def _summarized(value: Any, name: str) -> Summary:
    kind = type(value).__name__
    own = describer(value) or getattr(type(value), "_repr_llm_", None)
    if own is not None:
        return _begun(kind, _text_from(own, value))
    if isinstance(value, (str, bytes)) and is_secret_name(name.rstrip("\"']")):
        return Summary(kind, MASK, hidden=1)
    if isinstance(value, str):
        return _begun(kind, value)
    if (told := tables.described(value)) is not None:
        return Summary(kind, told[0], hidden=told[1])
    if isinstance(value, type) or inspect.isroutine(value):
        return _begun("class" if isinstance(value, type) else "function", _source(value))
    return _printed(kind, value)


def _text_from(own: Callable[[Any], object], value: object) -> str:
    text = own(value)
    if not isinstance(text, str):
        raise TypeError("the description of a value must be text")
    return text


def _begun(kind: str, text: str) -> Summary:
    if len(text) <= LIMIT + MARGIN:
        return Summary(kind, text)
    return Summary(kind, text[: LIMIT + MARGIN], len(text))


def _source(value: Any) -> str:
    """The source of a function or class; where there is none, how it is called and what it says."""
    try:
        return inspect.cleandoc("\n" + inspect.getsource(value))
    except (OSError, TypeError):
        pass  # made by C code or by exec, or a class of the notebook's
    if isinstance(value, type) and value.__module__ == "__main__" and (found := _in_a_cell(value)):
        return found
    try:
        called = f"{value.__name__}{inspect.signature(value)}"
    except (ValueError, TypeError):
        called = repr(value)
    return f"{called}\n{inspect.getdoc(value) or ''}".rstrip()


def _in_a_cell(kind: type) -> str:
    """The newest definition of a class in a cell; before Python 3.13 `inspect` looks in files."""
    for entry in reversed(linecache.cache.values()):
        # A cell has no time of change, a file has; an entry that is not read yet has one item.
        if len(entry) == 1 or entry[1] is not None:
            continue
        text = "".join(entry[2])
        if f"class {kind.__name__}" not in text:
            continue
        try:
            nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        except SyntaxError:
            continue
        for node in nodes:
            if node.name == kind.__name__:
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                lines = text.splitlines()[first - 1 : node.end_lineno]
                return textwrap.dedent("\n".join(lines))
    return ""


class _Enough(BaseException):
    """More text came than is wanted. Not an Exception, which a value's own code may swallow."""


class _Paper:
    """What a printer writes on, until it is full."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.room = LIMIT + MARGIN + 1

    def write(self, text: str) -> int:
        self.pieces.append(text[: self.room])
        self.room -= len(text)
        if self.room <= 0:
            raise _Enough
        return len(text)


def _printed(kind: str, value: object) -> Summary:
    """The value as IPython prints it, stopped when it is too long: a list may have any length."""
    paper = _Paper()
    printer: Any = RepresentationPrinter(paper, max_seq_length=LIMIT)  # type: ignore[no-untyped-call]
    length = None
    try:
        printer.pretty(value)
        printer.flush()
    except _Enough:
        length = -1
    return Summary(kind, "".join(paper.pieces), length)
