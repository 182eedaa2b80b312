"""What a failed cell leaves for whoever looks into it: its source, its error, the frames' source.

Only text is kept. The frames of the user's cells and files come with their source lines; those of
libraries with their name alone. Everything is capped.
"""

from __future__ import annotations

import ast
import linecache
import os
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gprochat_magic.errors import GPROChatError
from gprochat_magic.terminal import plain

LONGEST_CELL = 20_000
LONGEST_MESSAGE = 4_000
"""Characters of a cell and of an error's words; the middle of what is longer is left out."""
_FIRST, _LAST = 4, 8
"""How many frames of a traceback are kept, from either end."""
_AROUND = 4
"""Lines shown before and after the one that a frame stands at."""
_CHAIN = 4
"""How many errors of a chain are kept, the last ones."""


@dataclass(frozen=True)
class Frame:
    """A place in a traceback. `source` is empty for a library's."""

    file: str
    line: int
    name: str
    module: str
    source: str = ""


@dataclass(frozen=True)
class Link:
    """One error of a chain: how it follows from the one before, its frames and its words.

    A number stands for that many frames left out; `file` is the one that `message` names, if any.
    """

    relation: str
    frames: tuple[Frame | int, ...]
    message: str
    file: str = ""


@dataclass(frozen=True)
class Evidence:
    """A failed cell. `chain` has its errors, the first cause first; `modules` those involved.

    `is_users` tells the user's own errors from this package's and from a cell that was stopped.
    """

    number: int
    cell: str
    chain: tuple[Link, ...]
    modules: tuple[str, ...]
    is_users: bool

    def traceback(self, label: Callable[[str], str]) -> str:
        """The traceback as text; `label` turns the name of a file into one that is fit to show."""
        return plain("\n".join(_told(self.chain, label)))


def gathered(error: BaseException, *, number: int, cell: str) -> Evidence:
    """What is to be kept of a failure."""
    chain = [(relation, each, _walked(each)) for relation, each in _chain(error)]
    # IPython's own complaint about a flag of ours comes from below our frames.
    ours = any(_is_ours(each.module) for each in chain[-1][2])
    modules = [type(error).__module__, *(each.module for _, _, w in chain for each in w)]
    return Evidence(
        number,
        capped(plain(cell), LONGEST_CELL),
        tuple(_link(relation, each, frames) for relation, each, frames in chain),
        tuple(dict.fromkeys([*_tops(modules), *imported(cell)])),
        not (ours or isinstance(error, (GPROChatError, KeyboardInterrupt))),
    )


def capped(text: str, most: int) -> str:
    """The text, or its two ends with a line that says what is left out between them."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def imported(cell: str) -> list[str]:
    """The packages that a cell imports, by the names of their modules."""
    try:
        nodes = list(ast.walk(ast.parse(cell)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # A cell with a magic or a mistake in it: its plain import lines are enough.
        return re.findall(r"^[ \t]*(?:import|from)[ \t]+(\w+)", cell, re.MULTILINE)
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    return _tops(names)


def _tops(modules: list[str]) -> list[str]:
    return list(dict.fromkeys(module.split(".")[0] for module in modules))


def _chain(error: BaseException) -> list[tuple[str, BaseException]]:
    """The error and what it came from, the first cause first, as Python tells it."""
    found: list[tuple[str, BaseException]] = []
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen and len(found) < _CHAIN:
        seen.add(id(now))
        if now.__cause__ is not None:
            before: BaseException | None = now.__cause__
            relation = "which directly caused:"
        else:
            before = None if now.__suppress_context__ else now.__context__
            relation = "and while that was handled:"
        found.append((relation if before is not None else "", now))
        now = before
    # What is cut off is the beginning of the chain, which then begins without a word of it.
    found[-1] = ("", found[-1][1])
    return found[::-1]


def _link(relation: str, error: BaseException, frames: list[Frame]) -> Link:
    words = "".join(traceback.format_exception_only(type(error), error)).rstrip()
    if isinstance(error, BaseExceptionGroup):
        words += "".join(f"\n  - {_one_line(each)}" for each in error.exceptions[:10])
    file = (error.filename or "") if isinstance(error, SyntaxError) else ""
    return Link(relation, _kept(frames), capped(words, LONGEST_MESSAGE), file)


def _one_line(error: BaseException) -> str:
    return traceback.format_exception_only(type(error), error)[-1].strip()


def _walked(error: BaseException) -> list[Frame]:
    """The frames of an error, without those through which the shell came to run the cell."""
    frames = [
        Frame(
            frame.f_code.co_filename,
            line,
            frame.f_code.co_qualname,
            str(frame.f_globals.get("__name__", "")),
        )
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = next(
        (n for n, each in enumerate(frames) if not each.module.startswith("IPython.")), len(frames)
    )
    return frames[own:]


def _kept(frames: list[Frame]) -> tuple[Frame | int, ...]:
    """The frames with their source, or those at both ends with the number of those between."""
    if len(frames) <= _FIRST + _LAST:
        return tuple(map(_with_source, frames))
    first, last = map(_with_source, frames[:_FIRST]), map(_with_source, frames[-_LAST:])
    return (*first, len(frames) - _FIRST - _LAST, *last)


_LIBRARIES = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PACKAGES = re.compile(r"[/\\](?:site|dist)-packages[/\\]")


def _with_source(frame: Frame) -> Frame:
    """The frame with the source around it, if it is the user's."""
    file = frame.file
    if file.startswith(("<frozen", *_LIBRARIES)) or _PACKAGES.search(file):
        return frame
    if _is_ours(frame.module):
        return frame
    lines = linecache.getlines(file)
    around = range(max(1, frame.line - _AROUND), min(len(lines), frame.line + _AROUND) + 1)
    shown = (
        f"  {'->' if n == frame.line else '  '} {n:>4}  {lines[n - 1].rstrip()[:300]}"
        for n in around
    )
    return replace(frame, source="\n".join(shown))


def _is_ours(module: str) -> bool:
    return module.startswith("gprochat_magic.")


def _told(chain: tuple[Link, ...], label: Callable[[str], str]) -> Iterator[str]:
    for link in chain:
        if link.relation:
            yield f"\n… {link.relation}\n"
        if link.frames:
            yield "Traceback (most recent call last):"
        for frame in link.frames:
            if isinstance(frame, int):
                yield f"  … {frame} more frames"
            elif frame.source:
                yield f"  {label(frame.file)}, line {frame.line}, in {frame.name}\n{frame.source}"
            else:
                yield f"  {frame.module}.{frame.name}"
        yield link.message.replace(link.file, label(link.file)) if link.file else link.message


def short(file: str) -> str:
    """A file's name without the folders above the current one, which are nobody's business."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
