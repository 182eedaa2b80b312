"""What this process has asked for, from whichever surface: requests, replies, tokens."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tally:
    """Counts. `sent` and `received` are tokens, earlier turns that went along included.

    `guessed` counts the replies whose tokens are only estimated, because nobody counted them.
    `cached` counts the replies that came from the cache: they cost no request and no tokens.
    """

    requests: int = 0
    replies: int = 0
    cached: int = 0
    sent: int = 0
    received: int = 0
    guessed: int = 0


class Session:
    """The counts of a process, added to from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tally = Tally()

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        return self._tally

    def add(self, **counts: int) -> None:
        """Add to counts, by name."""
        with self._lock:
            self._tally = replace(
                self._tally, **{name: getattr(self._tally, name) + n for name, n in counts.items()}
            )


_shared = Session()


def shared() -> Session:
    """The counts of this process."""
    return _shared
