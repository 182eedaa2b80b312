"""How a reply is shown, and what it is worth: as Markdown, text, code, JSON, a page, or formulas.

A format is made for one reply. The displays ask it for what to show; nothing of a reply is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from gprochat_magic import markdown
from gprochat_magic.errors import ReplyFormatError
from gprochat_magic.notebook import frames, insertion, snippets
from gprochat_magic.notebook.snippets import Snippet

if TYPE_CHECKING:
    import argparse

    from IPython.core.interactiveshell import InteractiveShell

    from gprochat_magic.reply import Reply


class Format:
    """Markdown, rendered as it grows; the base of the others."""

    def __init__(self) -> None:
        self._growing = markdown.Growing()

    def waiting(self, status: str) -> str:
        """The HTML of a reply that has not begun, and says why."""
        return markdown.document("", live=True, note=status, body="")

    def live(self, text: str) -> str:
        """The HTML of a reply that is growing; empty where its text is all that is shown."""
        return markdown.document(text, live=True, body=self._growing.update(text))

    def whole(self, reply: Reply, note: str) -> tuple[str, str]:
        """The HTML of the reply as it stays, with the note below it, and its plain text."""
        # What has grown is over, and takes as much memory as what is shown now.
        self._growing = markdown.Growing()
        return markdown.document(reply.text, note=note), markdown.plain(reply.text)

    def streamed(self, text: str, *, ended: bool = False) -> str:
        """What a terminal shows of a growing reply; it may only get longer, but at the end."""
        return text

    def conclude(self, reply: Reply) -> list[str]:
        """Do what is due at a reply's end; returns remarks for the line below it."""
        return []

    def value(self, reply: Reply) -> Any:
        """What the cell gives: the reply, or what was asked for in it."""
        return reply


class Text(Format):
    """Text as it is, without HTML."""

    def waiting(self, status: str) -> str:
        """No HTML."""
        return ""

    def live(self, text: str) -> str:
        """No HTML."""
        return ""

    def whole(self, reply: Reply, note: str) -> tuple[str, str]:
        """The plain text alone, without the note."""
        return "", markdown.plain(reply.text)


class Code(Format):
    """The code of a reply, without its prose, which goes into a cell."""

    def __init__(self, shell: InteractiveShell, way: str) -> None:
        super().__init__()
        self._shell, self._way = shell, way
        self._snippet = Snippet("", "")

    def live(self, text: str) -> str:
        """The code so far."""
        source = snippets.growing(text)
        note = "" if source else "no code yet"
        return markdown.document(fenced(source, "python") if source else "", live=True, note=note)

    def whole(self, reply: Reply, note: str) -> tuple[str, str]:
        """The code alone, coloured; a reply without code is shown as it is."""
        found = self._snippet
        if not found.source:
            return super().whole(reply, note)
        shown = markdown.document(fenced(found.source, found.language), note=note)
        return shown, markdown.plain(found.source)

    def streamed(self, text: str, *, ended: bool = False) -> str:
        """The code by whole lines; at the end, all that is shown of the reply."""
        return (self._snippet.source or text) if ended else snippets.growing(text)

    def conclude(self, reply: Reply) -> list[str]:
        """Offer the code to the front end, unless the reply broke off."""
        self._snippet = snippets.chosen(reply.text)
        if reply.stopped or not reply.text:
            return []
        if not self._snippet.source:
            return ["there is no code in the reply: nothing inserted"]
        return insertion.insert(self._shell, self._snippet, way=self._way)[1]


class Corrected(Format):
    """Markdown, whose last Python block goes into a cell."""

    def __init__(self, shell: InteractiveShell, way: str) -> None:
        super().__init__()
        self._shell, self._way = shell, way

    def conclude(self, reply: Reply) -> list[str]:
        """Offer the corrected cell to the front end, unless the reply broke off."""
        snippet = snippets.corrected(reply.text)
        if reply.stopped or not reply.text:
            return []
        if not snippet.source:
            return ["there is no corrected cell in the reply: nothing inserted"]
        return insertion.insert(self._shell, snippet, way=self._way)[1]


class Json(Format):
    """A JSON value, which is what the cell gives."""

    def __init__(self) -> None:
        super().__init__()
        self._found: tuple[Any, str] | ReplyFormatError | None = None

    def whole(self, reply: Reply, note: str) -> tuple[str, str]:
        """The value alone, indented; a reply without one is shown as it is."""
        if not isinstance(self._found, tuple):
            return super().whole(reply, note)
        shown = self._found[1]
        return markdown.document(fenced(shown, "json"), note=note), markdown.plain(shown)

    def conclude(self, reply: Reply) -> list[str]:
        """Look for the value."""
        if not reply.stopped:
            try:
                value = reply.json()
                self._found = value, json.dumps(value, indent=2, ensure_ascii=False)
            except ReplyFormatError as error:
                self._found = error
        return []

    def value(self, reply: Reply) -> Any:
        """The value. Raises `ReplyFormatError` if there is none."""
        if isinstance(self._found, ReplyFormatError):
            raise self._found
        return self._found[0] if self._found else reply


class Html(Format):
    """A page in a frame that runs nothing and fetches nothing; its source while it grows."""

    def live(self, text: str) -> str:
        """The source as text."""
        return markdown.document(fenced(text, "html"), live=True)

    def whole(self, reply: Reply, note: str) -> tuple[str, str]:
        """The frame, and the source beside it as plain text."""
        source = page(reply.text)
        if not source:
            return super().whole(reply, note)
        if len(source) > frames.LARGEST:
            body = markdown.render(fenced(source, "html"))
        else:
            body = frames.sandboxed(source)
        return markdown.document("", body=body, note=note), markdown.plain(source)

    def conclude(self, reply: Reply) -> list[str]:
        """Say why there is no frame."""
        source = page(reply.text)
        if not source:
            return ["there is no HTML in the reply"] if reply.text else []
        return ["too large for a frame: shown as text"] if len(source) > frames.LARGEST else []


class Latex(Format):
    """The formulas of a reply, set by MathJax under the rules of every reply."""

    def whole(self, reply: Reply, note: str) -> tuple[str, str]:
        """The formulas and the text around them, and their source as plain text."""
        source = formulas(reply.text)
        return markdown.document(source, note=note), markdown.plain(source)


_MAKERS: dict[str, Callable[[InteractiveShell, str], Format]] = {
    "markdown": lambda shell, way: Format(),
    "text": lambda shell, way: Text(),
    "code": Code,
    "json": lambda shell, way: Json(),
    "html": lambda shell, way: Html(),
    "latex": lambda shell, way: Latex(),
}
NAMES = tuple(_MAKERS)


def of(options: argparse.Namespace, shell: InteractiveShell) -> Format:
    """The format that was asked for. Raises `UsageError` for --insert without code."""
    if options.insert and options.format != "code":
        raise UsageError("--insert needs -f code: only code goes into a cell")
    if options.bg and options.insert not in (None, "none"):
        raise UsageError("--bg and --insert contradict each other: the cell is over by then")
    way = options.insert or ("none" if options.bg else "below")
    return _MAKERS[options.format or "markdown"](shell, way)


def fenced(source: str, language: str) -> str:
    """The source as a Markdown block that it cannot end."""
    longest = max(map(len, re.findall("`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    name = re.sub(r"[^\w+#-]", "", language)
    return f"{fence}{name}\n{source}\n{fence}\n"


_TAG = re.compile(r"<(?:!doctype|[a-z][a-z0-9-]*)[\s/>]", re.IGNORECASE)


def page(text: str) -> str:
    """The HTML in a reply: its fenced blocks, or all of it; empty if there is no tag."""
    blocks = markdown.fences(text)
    named = [source for name, source in blocks if snippets.kind(name) in ("html", "svg", "xhtml")]
    nameless = [source for name, source in blocks if not name and _TAG.search(source)]
    source = "\n".join(named or nameless) or ("" if blocks else text)
    return source if _TAG.search(source) else ""


_BODY = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.DOTALL)
_MARKED = re.compile(r"\$|\\\(|\\\[|\\begin\{")


def formulas(text: str) -> str:
    """The LaTeX in a reply: its fenced blocks, or all of it, without a document's preamble.

    A formula that stands alone, without marks around it, gets them.
    """
    blocks = [source for name, source in markdown.fences(text) if snippets.kind(name) in _LATEX]
    return "\n\n".join(_marked(_body(source).strip()) for source in blocks or [text])


_LATEX = ("latex", "tex", "math")
_PROSE = re.compile(r"(?<!\\)\b[^\W\d_]{2,}\s+[^\W\d_]{2,}\b(?![{_^])")


def _body(source: str) -> str:
    found = _BODY.search(source)
    return found[1] if found else source


def _marked(source: str) -> str:
    is_formula = re.search(r"[\\^_=]", source) and "\n\n" not in source
    if _MARKED.search(source) or not is_formula or _PROSE.search(source):
        return source
    return f"$$\n{source}\n$$"
