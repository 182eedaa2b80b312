"""What came back: text that also knows its code blocks, its JSON and how it came about."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gprochat_magic import markdown
from gprochat_magic.conversation import State, Turn, estimate_tokens
from gprochat_magic.errors import ReplyFormatError

_TRIES = 1_000
"""Places in prose where JSON may begin that are tried: each may cost the length of the text."""


class Block(NamedTuple):
    """A fenced block: the language that its fence names (may be empty) and its exact source."""

    language: str
    source: str


class Usage(NamedTuple):
    """Tokens of what was sent, earlier turns among it, and of what came back.

    `estimated` tells a quarter of the UTF-8 bytes from what a model's server has counted.
    """

    sent: int = 0
    received: int = 0

    @property
    def estimated(self) -> bool:
        """Whether nobody counted."""
        return not isinstance(self, Counted)


class Counted(Usage):
    """Tokens as the model's server counted them."""


@dataclass(frozen=True, eq=False)
class Reply:
    """A reply. It behaves as its text in `str()`, `len()`, `in` and f-strings.

    `turn` is the turn's number in its conversation, from 1; `elapsed` is in seconds; `stopped` says
    that the text is not whole: the user stopped it or it broke off.
    """

    text: str
    model: str = ""
    backend: str = ""
    turn: int = 0
    state: State = "complete"
    elapsed: float = 0.0
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = field(default=())
    _shown: list[bool] = field(default_factory=list, repr=False)

    @property
    def stopped(self) -> bool:
        """Whether the text broke off before its end."""
        return self.state in ("interrupted", "failed")

    @property
    def blocks(self) -> list[Block]:
        """The fenced code blocks, in order."""
        return [Block(*block) for block in markdown.fences(self.text)]

    @property
    def code(self) -> str:
        """The sources of all fenced blocks, joined by an empty line."""
        return "\n\n".join(block.source.rstrip("\n") for block in self.blocks)

    def json(self) -> Any:
        """The first JSON value in the text: the whole of it, a fenced block, or inside prose.

        Raises `ReplyFormatError`, which is a `ValueError`, if there is none.
        """
        for candidate in (self.text, *(block.source for block in self.blocks)):
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(candidate)
        decoder = json.JSONDecoder()
        for opening in itertools.islice(re.finditer(r"[{[]", self.text), _TRIES):
            with contextlib.suppress(ValueError, RecursionError):
                return decoder.raw_decode(self.text, opening.start())[0]
        raise ReplyFormatError("there is no JSON in this reply", partial=self.text)

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)

    def __len__(self) -> int:
        return len(self.text)

    def __bool__(self) -> bool:
        return bool(self.text)

    def __contains__(self, part: str) -> bool:
        return part in self.text

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Reply):
            return self.text == other.text
        return self.text == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def shown(self) -> None:
        """Say that it is on the screen already, so that its next display is left out."""
        self._shown.append(True)

    def _ipython_display_(self) -> None:
        if not self._shown:
            raise NotImplementedError  # which is how IPython is told to use the other forms
        self._shown.clear()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": markdown.document(self.text), "text/plain": markdown.plain(self.text)}


def usage(turn: Turn, prompt: str) -> Usage:
    """What a turn cost: as reported, else the estimate for the whole prompt and the reply."""
    if turn.sent or turn.received:
        return Counted(turn.sent, turn.received)
    return Usage(estimate_tokens(prompt), estimate_tokens(turn.reply))
