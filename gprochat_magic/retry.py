"""When a request that got no byte of a reply is made again, and after how long.

The figures follow the openai client: 2 retries, 0.5 s doubling up to 8 s, less up to a quarter at
random. A server's Retry-After is obeyed up to 60 s, because a cell waits for it.
"""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tenacity

from gprochat_magic.errors import GPROChatError

LONGEST_WAIT = 60.0
"""Seconds; a server that asks for more is told about instead of waited for."""
PATIENCE = 90.0
"""Seconds of waiting, in all, that one send is worth."""

ONCE = frozenset({"dns", "proxy", "replay", "skew"})
"""Kinds of error that a second retry would not mend."""
AT_ONCE = frozenset({"replay", "skew", "renew"})
"""Kinds of error whose cause is mended already, so that nothing need be waited for."""
UNCOUNTED = "stale"
"""The kind of error that is no attempt at all: the connection was closed before it was used."""


@dataclass(frozen=True)
class Waiting:
    """The request will be made again in so many seconds; why, in a few words."""

    seconds: float
    reason: str


class Policy:
    """The retries of one send: how many are left, and how long to wait for each."""

    def __init__(self, retries: int, on_wait: Callable[[Waiting], object]) -> None:
        self._left = retries
        self._used: Counter[str] = Counter()
        self._patience = PATIENCE
        self._delay_of_next = 0.0
        self._on_wait = on_wait

    def again(self, error: GPROChatError) -> float | None:
        """Seconds until a request that ended so is made again; None if it is not."""
        return self._delay_of_next if self._again(error) else None

    def attempts(self) -> tenacity.AsyncRetrying:
        """The loop to make attempts in; it raises the last attempt's own error."""
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(self._again),
            wait=self._delay,
            before_sleep=self._announce,
            sleep=_sleep,
            reraise=True,
        )

    def _again(self, error: BaseException) -> bool:
        if not isinstance(error, GPROChatError) or not error.retryable:
            return False
        if error.kind == UNCOUNTED:
            self._delay_of_next = 0.0
            return True
        if self._left <= 0 or (error.kind in ONCE and self._used[error.kind]):
            return False
        delay = self._next(error)
        if delay > self._patience or (error.retry_after or 0) > LONGEST_WAIT:
            return False
        self._delay_of_next = delay
        self._patience -= delay
        self._left -= 1
        self._used[error.kind] += 1
        return True

    def _next(self, error: GPROChatError) -> float:
        if error.kind in AT_ONCE:
            return 0.0
        if error.retry_after:
            return error.retry_after
        return float(min(8.0, 0.5 * 2 ** self._used.total()) * (1 - random.random() / 4))  # noqa: S311  # no secret hangs on it

    def _delay(self, state: tenacity.RetryCallState) -> float:
        return self._delay_of_next

    def _announce(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if self._delay_of_next and isinstance(error, GPROChatError):
            self._on_wait(Waiting(self._delay_of_next, error.message))


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, seconds, or a date less its own `Date`.

    None where it says nothing or nonsense: no number, not a number, below or at zero, no date.
    """
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / scale
        except ValueError:
            continue
        return seconds if seconds > 0 else None  # also false for nan
    until, now = date_of(headers, "retry-after"), date_of(headers, "date")
    return until - now if until and now and until > now else None


def date_of(headers: Mapping[str, str], name: str) -> float | None:
    """An HTTP date header in seconds since the epoch; None where there is none that can be read."""
    try:
        date = email.utils.parsedate_to_datetime(headers.get(name, ""))
        # The oldest of the three formats names no zone: all of them mean GMT.
        return (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
