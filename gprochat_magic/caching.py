"""The reply cache: a request as a key, and a reply that was kept in place of a send.

Invariants: only a reply whose end was proven is kept; a key is a hash over everything that goes to
the model, and over who answers; reading never blocks an event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Literal
from urllib.parse import urlsplit

from gprochat_magic import config, conversations
from gprochat_magic.conversation import State
from gprochat_magic.errors import GPROChatError
from gprochat_magic.store import Outcome
from gprochat_magic.store.cache import Cache
from gprochat_magic.transport import Ask, Exchange

Mode = Literal["", "use", "refresh"]
"""What a send does with the cache: nothing; take a kept reply, else keep it; ask and keep anew."""
MODES: tuple[Mode, ...] = ("", "use", "refresh")


class Kept:
    """A kept reply that stands in for an exchange: the same text, and nothing is sent."""

    state: State = "complete"
    replaced = 0
    attempts = 0
    tokens: tuple[int, int] | None = None
    model = ""

    def __init__(self, text: str) -> None:
        self.text = text

    async def stream(self) -> AsyncGenerator[str]:
        """The text, in one piece."""
        yield self.text


def key_of(ask: Ask, settings: config.Settings) -> str:
    """The SHA-256 of all that decides a reply. Empty for what cannot be sent as JSON anyway."""
    endpoint = urlsplit(settings.api_endpoint)
    who = [config.host_of(settings.api_endpoint), endpoint.path] if endpoint.netloc else []
    asked = [who or settings.backend, ask.wire, ask.model, list(ask.messages), dict(ask.options)]
    try:
        text = json.dumps(asked, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


async def found(exchange: Exchange, mode: Mode, settings: config.Settings) -> Kept | None:
    """The kept reply to the same request, if there is one and the mode wants it."""
    key = key_of(exchange.ask, settings) if mode == "use" else ""
    if not key:
        return None
    cache = opened()
    try:
        text = await asyncio.to_thread(cache.get, key)
    except GPROChatError:
        return None  # a file that cannot be read now is no reason not to ask
    return None if text is None else Kept(text)


def keep(exchange: Exchange | Kept, mode: Mode, settings: config.Settings) -> None:
    """Keep a whole reply, where the mode says so. Returns at once."""
    if mode and isinstance(exchange, Exchange) and exchange.state == "complete":
        key = key_of(exchange.ask, settings)
        if key:
            opened().put(key, exchange.text)


async def found_many(cache: Cache, keys: Sequence[str], since: float) -> dict[str, str]:
    """The replies of these keys that were kept `since` then (seconds since the epoch)."""
    try:
        return await asyncio.to_thread(cache.get_many, keys, since)
    except GPROChatError:
        return {}  # a file that cannot be read now is no reason not to ask


async def kept(cache: Cache, key: str, text: str) -> Outcome:
    """Keep a whole reply under its key, and wait until it is where it stays."""
    return await asyncio.wrap_future(cache.put(key, text))


def size() -> tuple[int, int]:
    """How many replies are kept, and how many bytes of text they are."""
    return opened().size()


def clear() -> int:
    """Forget every kept reply; returns how many there were."""
    cache = opened()
    count, _ = cache.size()
    cache.clear()
    return count


def opened() -> Cache:
    """The cache in the store that is configured now."""
    return Cache(conversations.shared().store)
