"""A gateway that answers each prompt as a function says, and counts what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.messages import Messages
from tests.gateways import Served, served

Script = Callable[[str, int], str | BackendError]
"""What answers a prompt that is asked for the n-th time, from 1."""


def at_most(count: int, seconds: float) -> Script:
    """Answers so many prompts in any such time, and refuses the others for as long."""
    admitted: list[float] = []

    def script(prompt: str, nth: int) -> str | BackendError:
        now = time.monotonic()
        if sum(now - at < seconds for at in admitted) >= count:
            return BackendError(429, "too many", seconds)
        admitted.append(now)
        return prompt

    return script


class Scripted:
    """A backend. `asked` and `answered` count prompts, `times` has when each was let through."""

    name = "scripted"

    def __init__(self) -> None:
        self.script: Script = lambda prompt, time: prompt.upper()
        self.seconds = 0.0
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.times: list[float] = []
        self.options: list[dict[str, Any]] = []
        self.running = self.most = 0
        self.changed = threading.Condition()

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The script's answer, after a while."""
        prompt = str(messages[-1]["content"])
        with self.changed:
            self.asked[prompt] += 1
            self.times.append(time.monotonic())
            self.options.append({**options, "messages": messages})
            self.changed.notify_all()
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
            said = self.script(prompt, self.asked[prompt])
            if isinstance(said, BackendError):
                raise said
            yield said
        finally:
            self.running -= 1
        with self.changed:
            self.answered[prompt] += 1
            self.changed.notify_all()

    def wait_answered(self, count: int, seconds: float = 60) -> bool:
        """Wait until so many prompts were answered."""
        with self.changed:
            return self.changed.wait_for(lambda: self.answered.total() >= count, seconds)

    def forget(self) -> None:
        """Begin to count anew."""
        with self.changed:
            self.asked.clear()
            self.answered.clear()
            self.times.clear()


class Far:
    """The gateway and the environment that points a process at it."""

    def __init__(self, running: Served) -> None:
        self.backend = Scripted()
        self.environment = {**running.environment, "GPROCHAT_WIRE": "turns"}
        running.backend.reply = self.backend.reply  # type: ignore[method-assign]  # its socket, our words


@contextlib.contextmanager
def scripted() -> Iterator[Far]:
    """A gateway on 127.0.0.1 that answers as it is told."""
    with served() as running:
        yield Far(running)
