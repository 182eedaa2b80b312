r"""Formulas in Markdown: `$x$`, `$$x$$`, `\(x\)`, `\[x\]` and the amsmath environments.

These are rules for markdown-it. The ready-made plugins look for a closing mark through the whole
rest of a reply, again for each opening one (80 kB of `- $$a` took 25 s); here a formula contains no
blank line, a missing closing mark is looked for once, and an inline formula is at most `_INLINE`
long.
"""

from __future__ import annotations

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from gprochat_magic.terminal import HIDDEN

CLASSES = ("mathjax_process", "tex2jax_process")
_INLINE = 2_000
_TYPESET = 5_000
_ENVIRONMENT = re.compile(
    r"\\begin\{((?:equation|multline|gather|align|alignat|flalign|eqnarray|split|cases|"
    r"[pbBvV]?matrix|smallmatrix|array|aligned|gathered)\*?)\}"
)
_OPEN_INLINE = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_DOLLAR = re.compile(
    rf"(?<![A-Za-z0-9$\\])\$(?![\s$])((?:[^$\\]|\\.){{1,{_INLINE}}})(?<!\s)\$(?![0-9A-Z_{{$])",
    re.DOTALL,
)
# "$5 or 6 US$", "$5/month, 10$": a sum of money and a word, not a formula.
_PRICE = re.compile(r"\d[\d.,]*(?:[-–][\d.,]+)?(?:[kKMB]|bn)?(?:\s+|[/-])[A-Za-z]{2}")
# Macros that make links, styles, ids or definitions, load packages or build other macros' names.
_DANGEROUS = re.compile(
    r"\\(?:href|url|html\w*|style|class|cssId|unicode|data|bbox|mmlToken|require|includegraphics|input|"
    r"include|csname|[egx]?def|let|futurelet|newcommand|renewcommand|providecommand|newenvironment|"
    r"renewenvironment|newtagform|renewtagform|usetagform|mathtoolsset|Declare\w+|special|catcode)"
    r"(?![A-Za-z])"
)
_DELIMITER = re.compile(r"(?<!\\)(?:\\\\)*\\[()\[\]]")


def install(md: MarkdownIt) -> None:
    """Teach the parser formulas: tokens `formula` and `formula_block` with TeX as their content."""
    md.inline.ruler.before("escape", "formula", _inline)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    md.block.ruler.before("fence", "formula_block", _block, interrupts)


def show(content: str, *, markup: str, live: bool) -> str:
    """A formula as HTML text: ready for MathJax if it is harmless, else as code.

    A live formula is plain text, since MathJax would typeset it again for each frame.
    """
    display = markup not in ("$", "\\(")
    left, right = ("\\[", "\\]") if display else ("\\(", "\\)")
    if not _harmless(content):
        written = content if markup.startswith("\\begin") else f"{left}{content}{right}"
        return f"<code>{escape(written, quote=False)}</code>"
    source = escape(f"{left}{content}{right}", quote=False)
    return source if live else f'<span class="{" ".join(CLASSES)}">{source}</span>'


def _harmless(content: str) -> bool:
    return (
        len(content) <= _TYPESET
        and not _DANGEROUS.search(content)
        and not _DELIMITER.search(content)
        and not HIDDEN.search(content)
    )


def _inline(state: StateInline, silent: bool) -> bool:
    src, start = state.src, state.pos
    opened = src[start : start + 2]
    closing = _OPEN_INLINE.get(opened)
    if closing is not None:
        end = src.find(closing, start + 2, min(state.posMax, start + _INLINE))
        content = src[start + 2 : end] if end >= 0 else ""
        after = end + 2
    elif opened[:1] == "$" and (match := _DOLLAR.match(src, start, state.posMax)):
        opened, content, after = "$", match[1], match.end()
        if _PRICE.match(content):
            return False
    else:
        return False
    if not content.strip():
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.markup = content, opened
    state.pos = after
    return True


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    opened = first[:2] if first[:2] in ("$$", "\\[") else ""
    environment = None if opened else _ENVIRONMENT.match(first)
    if environment:
        opened, closing = environment[0], f"\\end{{{environment[1]}}}"
    elif opened:
        closing = "\\]" if opened == "\\[" else "$$"
    else:
        return False
    lines = _until(state, start, end, closing=closing, skip=len(opened))
    if lines is None:
        return False
    written = "\n".join(lines).rstrip()
    content = written if environment else written[len(opened) : -len(closing)].strip()
    if not content:
        return False
    if silent:
        return True
    token = state.push("formula_block", "", 0)
    token.block = True
    token.content, token.markup = content, opened
    state.line = start + len(lines)
    token.map = [start, state.line]
    return True


def _until(state: StateBlock, start: int, end: int, *, closing: str, skip: int) -> list[str] | None:
    """The lines from `start` to the one that ends with `closing`; None if there is none."""
    # Without this memory each opening mark of a long run would read the run again.
    barren: dict[str, tuple[int, int]] = state.env.setdefault("barren", {})
    low, high = barren.get(closing, (0, 0))
    if low <= start < high:
        return None
    lines: list[str] = []
    for line in range(start, end):
        if line > start and state.sCount[line] < state.blkIndent:
            return None
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        lines.append(text)
        found = text.find(closing, skip if line == start else 0)
        if found >= 0 and not text[found + len(closing) :].strip():
            return lines
        if found >= 0 or not text.strip():
            break
    barren[closing] = (start, start + len(lines) - 1)
    return None
