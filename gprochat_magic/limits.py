"""How long each part of a send may take, and the timers that see to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType

from gprochat_magic.errors import GPROChatError


@dataclass(frozen=True)
class Limits:
    """Seconds for the whole send, a connection, the first byte, a silence; and how many retries."""

    total: float = 1800.0
    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 60.0
    retries: int = 2


class Expiry:
    """An async context that is left with our own error at a moment of the running loop's clock."""

    __slots__ = ("_error", "_timer", "_words")

    def __init__(self, when: float, error: type[GPROChatError], words: str) -> None:
        self._timer = asyncio.timeout_at(when)
        self._error, self._words = error, words

    async def __aenter__(self) -> None:
        await self._timer.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._timer.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._error(self._words) from None
