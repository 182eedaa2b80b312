"""A gateway of a test's own, with a backend that records what reaches it and answers as told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from gprochat_magic import gateway
from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.messages import Messages


class Recorder:
    """A backend that notes each request and each end, and says what it is told to."""

    name = "recorder"

    def __init__(self) -> None:
        self.asked: list[tuple[Messages, dict[str, Any]]] = []
        self.closed = 0
        self.sent = 0
        self.pieces: list[str] = ["ok"]
        self.pause = 0.0
        self.refusal: BackendError | None = None
        self.changed = threading.Condition()

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        with self.changed:
            self.asked.append((messages, dict(options)))
            self.changed.notify_all()
        if self.refusal is not None:
            raise self.refusal
        try:
            for piece in self.pieces:
                yield piece
                self.sent += 1
                await asyncio.sleep(self.pause)
        except (asyncio.CancelledError, GeneratorExit):
            with self.changed:
                self.closed += 1
                self.changed.notify_all()
            raise

    @property
    def prompts(self) -> list[str]:
        """The last message of each request."""
        return [str(messages[-1]["content"]) for messages, _ in self.asked]

    def wait_closed(self, count: int, seconds: float = 5) -> bool:
        """Wait until so many replies were broken off by the reader."""
        with self.changed:
            return self.changed.wait_for(lambda: self.closed >= count, seconds)


class Served:
    """A running gateway: its backend, and the environment that points a process at it."""

    def __init__(self, recorder: Recorder, running: gateway.Gateway) -> None:
        self.backend = recorder
        self.gateway = running
        self.environment = {
            "GPROCHAT_API_ENDPOINT": running.endpoint,
            "GPROCHAT_SECRET_KEY": running.secret.reveal(),
        }


@contextlib.contextmanager
def served(**options: Any) -> Iterator[Served]:
    """A gateway on 127.0.0.1 in a thread of this process."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    recorder = Recorder()

    def there(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    try:
        running = there(gateway.start(backend=recorder, unix=False, **options))
        yield Served(recorder, running)
        there(running.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
