"""What the scripted gateway says: a reply for each prompt, if need be held up midway."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

from tests.gateways import Recorder

HOLD = ""
"""A piece at which the reply waits until it is told to go on."""
PATIENCE = 60


class Replies(list[str]):
    """The pieces of a backend's reply, which depend on the prompt that was sent last."""

    def __init__(self, backend: Recorder, *, pause: float = 0.02) -> None:
        super().__init__()
        backend.pieces, backend.pause, backend.refusal = self, pause, None
        backend.sent = backend.closed = 0
        self._backend = backend
        self.to: dict[str, list[str]] = {}
        self.held = threading.Event()
        self.go_on = threading.Event()

    @property
    def prompts(self) -> list[str]:
        """What each request asked last, without the turns before it."""
        whole = re.compile(r"(?:.*\nUser: (.*)\nAssistant:)", re.DOTALL)
        found = [(whole.fullmatch(prompt), prompt) for prompt in self._backend.prompts]
        return [match[1] if match else prompt for match, prompt in found]

    def __iter__(self) -> Iterator[str]:
        for piece in self.to.get(self.prompts[-1], ["ok"]):
            if piece == HOLD:
                self.held.set()
                self.go_on.wait(PATIENCE)
            else:
                yield piece
