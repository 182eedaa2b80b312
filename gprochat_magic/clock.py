"""When a request is signed: our clock, corrected per server, never the same moment twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit


class Clock:
    """Milliseconds since the epoch, strictly rising, so that equal prompts are never replays.

    `learn` shifts the clock of one server by what its `Date` showed.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._lock = threading.Lock()

    def now(self, endpoint: str = "") -> int:
        """The next timestamp for an endpoint, in ms."""
        server = _origin(endpoint)
        with self._lock:
            present = int(self._now() * 1000) + self._offsets.get(server, 0)
            self._last[server] = max(self._last.get(server, 0) + 1, present)
            return self._last[server]

    def learn(self, endpoint: str, server_time: float) -> None:
        """Remember how far the endpoint's clock (seconds) is from ours."""
        server = _origin(endpoint)
        with self._lock:
            self._offsets[server] = int((server_time - self._now()) * 1000)
            # Timestamps must go back to follow a server that is behind us.
            self._last.pop(server, None)

    def wall(self) -> float:
        """Our own clock, in seconds, without any offset."""
        return self._now()


def _origin(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"
