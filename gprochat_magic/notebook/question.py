"""The question mark at the end of `%gprochat what is this?` belongs to the prompt.

Of `reply = %gprochat what is this?` too.
"""

from __future__ import annotations

import itertools
import re
import tokenize
from typing import Any

from IPython.core.inputtransformer2 import (
    TokenTransformBase,
    assemble_continued_line,
    find_end_of_continued_line,
)

_ASKED = re.compile(r"\s*%gprochat\s+\S.*\?\s*$", re.DOTALL)


class Question(TokenTransformBase):
    """Makes a line magic that ends in `?` a call, before IPython makes a help request of it.

    It works on tokens, as IPython's own rules do, so text inside a string is never touched.
    """

    priority = 1  # before IPython's help, which has 5

    def __init__(self, start: tuple[int, int], magic: tuple[int, int]) -> None:
        super().__init__(start)  # type: ignore[no-untyped-call]
        self._row, self._column = magic[0] - 1, magic[1]

    @classmethod
    def find(cls, tokens_by_line: list[list[Any]]) -> Question | None:
        """The first such line, or None."""
        for line in tokens_by_line:
            tokens = [t for t in line if t.type not in (tokenize.INDENT, tokenize.DEDENT)]
            for before, token in itertools.pairwise([None, *tokens]):
                begins = before is None or before.string == "="
                if begins and token.string == "%" and _ASKED.match(_from(token, line)):
                    # IPython's help begins where the line does, and the earliest one wins.
                    return cls(tokens[0].start, token.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The lines with that one replaced."""
        place = self._row, self._column
        end = find_end_of_continued_line(lines, self._row)
        typed = assemble_continued_line(lines, place, end)
        text = typed.removeprefix("%gprochat").strip()
        before = lines[self._row][: self._column]
        call = f"{before}get_ipython().run_line_magic('gprochat', {text!r})\n"
        return [*lines[: self._row], call, *lines[end + 1 :]]


def _from(token: Any, line: list[Any]) -> str:
    """What stands from a token on, with the lines that a backslash continues it by."""
    rows = {each.start[0]: each.line for each in line}
    row, text = token.start[0], str(token.line[token.start[1] :])
    while text.endswith("\\\n") and row + 1 in rows:
        row += 1
        text += rows[row]
    return text
