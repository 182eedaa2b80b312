"""Replay and rates that several replicas share, in Valkey or Redis. Needs the extra `team`.

Without its server a signature cannot be known to be fresh, so nobody is served; a rate that cannot
be counted is no reason to refuse anybody.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.nonces import NoncesUnkept
from gprochat_magic.gateway.turnstile import MINUTE

SECONDS = 2.0
"""How long an answer of the server is waited for."""
_PREFIX = "gprochat:"
# A set of the last minute's requests, each with its time; the server's clock is the one they share.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local minute = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - minute)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(1, tonumber(first[2]) + minute - now)
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], minute)
return 0
"""


def connect(url: Secret) -> Redis:
    """A client of the server at a URL, which may hold a password. Nothing is connected to yet.

    Raises `ConfigError`, without repeating it, for what is no such URL.
    """
    try:
        return Redis.from_url(
            url.reveal(),
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            # Once more, for a connection that had been closed; a request waits for the answer.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:
        raise ConfigError(
            "the address of the shared store is none",
            hint="It looks like redis://host:6379/0, or unix:///path/to/socket.",
        ) from None


async def check(store: Redis) -> None:
    """Ask the server whether it is there. Raises `ConfigError` if it is not."""
    ask: Any = store.execute_command  # not typed
    try:
        await ask("PING")
    except (RedisError, OSError) as error:
        raise ConfigError(
            f"the shared store does not answer ({type(error).__name__})",
            hint="Start Valkey or Redis, or check its address and password.",
        ) from None


class SharedNonces:
    """The nonces of all replicas; see `NonceStore`."""

    def __init__(self, store: Redis, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def add(self, nonce: str, until: float) -> bool:
        """Keep a nonce; see `NonceStore.add`."""
        seconds = max(1, math.ceil(until - self._now()))
        try:
            return bool(await self._store.set(f"{_PREFIX}n:{nonce}", b"1", nx=True, ex=seconds))
        except (RedisError, OSError):
            raise NoncesUnkept("the store of used signatures does not answer") from None


class SharedRates:
    """So many requests within any minute, of all replicas together; see `RateLimiter`."""

    def __init__(self, store: Redis, per_minute: int) -> None:
        self._limit = per_minute
        self._script = store.register_script(_TAKE)

    async def take(self, client: str) -> float:
        """Count one request; see `RateLimiter.take`."""
        arguments: list[int | str] = [self._limit, int(MINUTE * 1000), secrets.token_hex(8)]
        try:
            wait = await self._script(keys=[f"{_PREFIX}r:{client}"], args=arguments)
        except (RedisError, OSError):
            return 0.0
        return float(wait) / 1000
