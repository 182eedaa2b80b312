"""The code in a reply that is fit for a cell: which fenced blocks, and what to know about them.

The source is exact: never prose or backticks, and only a margin that all its lines share is gone.
Nothing here runs it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

from gprochat_magic import markdown
from gprochat_magic.reply import Block
from gprochat_magic.terminal import HIDDEN

_PYTHON = frozenset({"python", "python3", "py", "py3", "ipython", "ipython3"})
_SHELL = frozenset({"bash", "sh", "shell"})
_COMMAND = re.compile(r"^[ \t]*(?:[\w, \t]+=[ \t]*)?([!%])", re.MULTILINE)
_LONGEST = 200_000
"""Characters that are checked at most: parsing takes a hundred times their memory."""
_PATIENCE = 1_000_000
"""Characters times commands: IPython reads the whole source again for each of its commands."""


@dataclass(frozen=True)
class Snippet:
    """Code taken out of a reply. `language` is python, bash, or what its fence says."""

    source: str
    language: str = "python"

    @property
    def insertable(self) -> bool:
        """Whether it is of a kind that a cell of this kernel can hold."""
        return bool(self.source.strip()) and self.language in ("python", "bash")

    @property
    def cell(self) -> str:
        """What goes into a cell: the source as it is, and a shell script under `%%bash`."""
        return f"%%bash\n{self.source}" if self.language == "bash" else self.source

    def remarks(self) -> list[str]:
        """What a reader should know before running it; empty if there is nothing."""
        found = []
        if self.language == "python" and (wrong := syntax_error(self.source)):
            found.append(wrong)
        if self.language == "bash":
            found.append("it is a shell script")
        elif commands := {match[1] for match in _COMMAND.finditer(self.source)}:
            found.append(
                f"it holds commands for the shell or IPython ({' '.join(sorted(commands))})"
            )
        if hidden := len(HIDDEN.findall(self.source)):
            found.append(f"it holds {hidden} invisible characters")
        return found


def chosen(text: str) -> Snippet:
    """The code of a reply for a cell: its Python blocks, or else its shell script.

    A block whose fence names no language is Python if it parses. What is neither comes back under
    its own language; without any fence, nothing does.
    """
    blocks = [block for block in _blocks(text) if block.source.strip()]
    for language in ("python", "", "bash"):
        fitting = [block for block in blocks if kind(block.language) == language]
        if not language:
            fitting = [block for block in fitting if not syntax_error(block.source)]
        if fitting:
            return _joined(fitting, language or "python")
    return _joined(blocks, kind(blocks[0].language) or "text" if blocks else "")


def growing(text: str) -> str:
    """The Python in a reply that is still growing, by whole lines, so that text is only added."""
    blocks = [block for block in _blocks(_whole_lines(text)) if kind(block.language) == "python"]
    return _put_together(block.source for block in blocks if block.source.strip())


def numbered(text: str, number: int | None) -> tuple[int, int, Snippet] | None:
    """Block `number` (from 1) with its number and how many there are; None if there is none such.

    Without a number it is the last Python block, or else the last one.
    """
    blocks = _blocks(text)
    if number is None:
        python = [n for n, block in enumerate(blocks, 1) if kind(block.language) == "python"]
        number = python[-1] if python else len(blocks)
    if not 0 < number <= len(blocks):
        return None
    block = blocks[number - 1]
    language = kind(block.language) or ("text" if syntax_error(block.source) else "python")
    return number, len(blocks), _joined([block], language)


def corrected(text: str) -> Snippet:
    """The last Python block of a reply: the one that the blocks before it lead to."""
    blocks = [block for block in _blocks(text) if kind(block.language) == "python"]
    return _joined(blocks[-1:], "python")


def kind(language: str) -> str:
    """The language that a fence names, in one spelling for each; empty if it names none."""
    word = language.lower().strip("{}.,:")
    return "python" if word in _PYTHON else "bash" if word in _SHELL else word


def syntax_error(source: str) -> str:
    """Why it is not Python, magics and shell lines apart; empty if it is."""
    if len(source) > _LONGEST:
        return "it is too long to be checked"
    error = _parse(source)
    commands = len(_COMMAND.findall(source)) + source.count("?")
    if error and commands and commands * len(source) <= _PATIENCE:
        error = _parse(_transformed(source)) and error
    if error is None:
        return ""
    where = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
    return f"it does not parse ({where}{getattr(error, 'msg', None) or error})"


def _transformed(source: str) -> str:
    try:
        manager = TransformerManager()  # type: ignore[no-untyped-call]
        return manager.transform_cell(source)
    except Exception:  # noqa: BLE001  # whatever IPython cannot read is reported as Python reads it
        return source


def _parse(source: str) -> Exception | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return error
    return None


def _blocks(text: str) -> list[Block]:
    return [Block(*block) for block in markdown.fences(text)]


def _whole_lines(text: str) -> str:
    return text[: text.rfind("\n") + 1]


def _joined(blocks: Sequence[Block], language: str) -> Snippet:
    return Snippet(_put_together(dedented(block.source) for block in blocks), language)


def _put_together(sources: Iterable[str]) -> str:
    return "\n\n".join(source.rstrip("\n") for source in sources)


def dedented(source: str) -> str:
    """The source without the margin that all its lines share; else it stays byte for byte."""
    lines = source.split("\n")
    margins = [re.match(r"[ \t]*", line)[0] for line in lines if line.strip()]  # type: ignore[index]
    margin = min(margins, key=len, default="")
    if not margin or not all(each.startswith(margin) for each in margins):
        return source
    return "\n".join(line.removeprefix(margin) for line in lines)
