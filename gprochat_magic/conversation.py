"""The turns of one chat: a tree with a current line, trimmed to the window that is sent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gprochat_magic.messages import Messages

State = Literal["pending", "complete", "unverified", "interrupted", "failed"]
"""How a send ended: end proven; end not proven; broken off with text; no text. `pending` runs."""

SENT: frozenset[State] = frozenset({"complete", "unverified", "interrupted"})
"""States of the turns that later prompts carry."""


@dataclass
class Turn:
    """A prompt and what came of it. `replaced` counts bytes of the reply that were not text."""

    prompt: str
    parent: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    reply: str = ""
    state: State = "pending"
    model: str = ""
    backend: str = ""
    error: str = ""
    replaced: int = 0
    created: float = field(default_factory=time.time)
    elapsed: float = 0.0


@dataclass(frozen=True)
class Window:
    """The messages that a prompt is sent with, and how many earlier turns had to stay out."""

    messages: Messages
    turns: int
    left_out: int


class Conversation:
    """A tree of turns of which one line, from the root to `head`, is in view."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.head: str | None = None
        self._turns: dict[str, Turn] = {}

    def append(self, turn: Turn) -> None:
        """Put a turn after the current one and make it the head."""
        turn.parent = self.head
        self._turns[turn.id] = turn
        self.head = turn.id

    def line(self) -> list[Turn]:
        """The turns in view, oldest first."""
        return list(self._back_from(self.head))[::-1]

    def clear(self) -> int:
        """Start an empty line; returns how many turns went out of view. They stay in the tree."""
        count = len(self.line())
        self.head = None
        return count

    def window(
        self, prompt: str, *, system: str = "", turns: int | None = None, token_budget: int
    ) -> Window:
        """The prompt with as many of the latest turns as fit both limits, whole turns only.

        Failed turns are left out and not counted. `turns=None` sets no limit on their number.
        """
        earlier = [turn for turn in self._back_from(self.head) if turn.state in SENT]
        room = token_budget - estimate_tokens(system) - estimate_tokens(prompt)
        kept: list[Turn] = []
        for turn in earlier if turns is None else earlier[:turns]:
            room -= estimate_tokens(turn.prompt) + estimate_tokens(turn.reply)
            if room < 0:
                break
            kept.append(turn)
        messages: Messages = [{"role": "system", "content": system}] if system else []
        for turn in reversed(kept):
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": turn.reply})
        messages.append({"role": "user", "content": prompt})
        return Window(messages, len(kept), len(earlier) - len(kept))

    def _back_from(self, turn_id: str | None) -> Iterator[Turn]:
        while turn_id is not None:
            turn = self._turns[turn_id]
            yield turn
            turn_id = turn.parent


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is: a quarter of its UTF-8 bytes, rounded up.

    The common rule of four English letters a token; bytes instead of letters let scripts that
    need more tokens, such as Cyrillic, count for more.
    """
    return -(-len(text.encode("utf-8", "replace")) // 4)
