"""The question mark at the end of `%gprochat what is this?` belongs to the prompt."""

from __future__ import annotations

import re
import tokenize
from typing import Any

from IPython.core.inputtransformer2 import TokenTransformBase

_ASKED = re.compile(r"\s*%gprochat\s+\S.*\?\s*$", re.DOTALL)


class Question(TokenTransformBase):
    """Makes a line magic that ends in `?` a call, before IPython makes a help request of it.

    It works on tokens, as IPython's own rules do, so text inside a string is never touched.
    """

    priority = 1  # before IPython's help, which has 5

    @classmethod
    def find(cls, tokens_by_line: list[list[Any]]) -> Question | None:
        """The first such line, or None."""
        for line in tokens_by_line:
            start = next(
                (t for t in line if t.type not in (tokenize.INDENT, tokenize.DEDENT)), None
            )
            if (
                start is not None
                and start.string == "%"
                and _ASKED.match(start.line[start.start[1] :])
            ):
                return cls(start.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The lines with that one replaced."""
        line = lines[self.start_line]
        indent, prompt = line[: self.start_col], line[self.start_col :].strip()
        name, _, text = prompt.removeprefix("%").partition(" ")
        call = f"{indent}get_ipython().run_line_magic({name!r}, {text.strip()!r})\n"
        return [*lines[: self.start_line], call, *lines[self.start_line + 1 :]]
