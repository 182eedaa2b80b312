"""What an error of one row means for all the others."""

from __future__ import annotations

from gprochat_magic.errors import AuthError, ConfigError, ConnectError, GPROChatError
from gprochat_magic.retry import LONGEST_WAIT

CROWDED_TRIES = 8
"""How often a row is asked that the server refuses for having too much to do, where others are
answered; and how often everybody waits for a server that answers nobody."""
FORBIDDEN_TRIES = 5
"""Rows refused one after another, with no answer in between, before the key itself is doubted."""


def is_crowded(error: GPROChatError) -> bool:
    """Whether the server asks for fewer requests, from whoever they come."""
    return error.status == 429 or (error.status in (503, 529) and error.retry_after is not None)


def is_exhausted(error: GPROChatError) -> bool:
    """Whether it asks for more patience than a cell has: a quota is used up."""
    return (error.retry_after or 0) > LONGEST_WAIT


def ends_all(error: GPROChatError, *, in_a_row: int) -> bool:
    """Whether every other row would fail in the same way: no key, no money, nobody there.

    `in_a_row` counts the refusals since the last answer, this one included. A refusal with 403 may
    be meant for one prompt.
    """
    if isinstance(error, AuthError) and error.status == 403:
        return in_a_row >= FORBIDDEN_TRIES
    return isinstance(error, (AuthError, ConnectError, ConfigError)) or error.status == 402


def paused(error: GPROChatError, done: int, total: int) -> GPROChatError:
    """The error that ends a run which can be gone on with."""
    error.message = f"paused after {done:,} of {total:,} rows: {error.message}"
    error.args = (error.message,)
    error.hint = f"{error.hint} The same map again asks only for what is missing."
    return error
