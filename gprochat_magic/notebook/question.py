"""The question mark at the end of `%gprochat what is this?` belongs to the prompt."""

from __future__ import annotations

import re
import tokenize
from typing import Any

from IPython.core.inputtransformer2 import TokenTransformBase

_ASKED = re.compile(r"%gprochat\s+\S.*\?\s*$", re.DOTALL)


class Question(TokenTransformBase):
    """Makes a line magic that ends in `?` a call, before IPython makes a help request of it.

    It stands alone on its line or behind an assignment's `=`. It works on tokens, as IPython's own
    rules do, so text inside a string is never touched.
    """

    priority = 1  # before IPython's help, which has 5

    def __init__(self, start: tuple[int, int]) -> None:
        row, self._column = start
        # Of the rules that fit, the leftmost is applied.
        super().__init__((row, 0))  # type: ignore[no-untyped-call]

    @classmethod
    def find(cls, tokens_by_line: list[list[Any]]) -> Question | None:
        """The first such line, or None."""
        for line in tokens_by_line:
            for token in _beginnings(line):
                if token.string == "%" and _ASKED.match(token.line[token.start[1] :]):
                    return cls(token.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The lines with that one replaced."""
        line = lines[self.start_line]
        prompt = line[self._column :].strip().removeprefix("%gprochat").strip()
        call = f"{line[: self._column]}get_ipython().run_line_magic('gprochat', {prompt!r})\n"
        return [*lines[: self.start_line], call, *lines[self.start_line + 1 :]]


def _beginnings(line: list[Any]) -> list[Any]:
    """Where a magic may begin in a line: its first token, and the one after its first `=`."""
    tokens = [t for t in line if t.type not in (tokenize.INDENT, tokenize.DEDENT)]
    after = next((n for n, t in enumerate(tokens, 1) if t.string == "="), len(tokens))
    return [*tokens[:1], *tokens[after : after + 1]]
