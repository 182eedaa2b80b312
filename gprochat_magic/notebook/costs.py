"""The subcommands about what replies cost: usage, and the cache that saves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gprochat_magic import tally
from gprochat_magic.conversation import estimate_tokens
from gprochat_magic.notebook.grammar import Row, Shape

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


def _usage(magics: GPROChatMagics, argument: str) -> str:
    home = magics.conversations()
    turns = home.current.conversation.turns()
    replies = sum(bool(turn.reply) for turn in turns)
    prompts = sum(estimate_tokens(turn.prompt) for turn in turns)
    written = sum(turn.written for turn in turns)
    here = "~" * any(turn.reply and not turn.received for turn in turns)
    session = tally.shared().tally
    there = "~" * bool(session.guessed)
    cached = f", {session.cached} of them from the cache" if session.cached else ""
    return (
        f"{'this conversation':<20}{replies} replies: ~{prompts:,} tokens of prompts, "
        f"{here}{written:,} of replies\n"
        f"{'this session':<20}{session.replies} replies{cached}, {session.requests} requests: "
        f"{there}{session.sent:,} tokens sent, {there}{session.received:,} received\n"
        "~ is estimated, a quarter of the UTF-8 bytes. What is sent holds earlier turns too."
    )


def _cache(magics: GPROChatMagics, argument: str) -> str:
    from gprochat_magic import caching  # brings aiohttp, which loading must not

    if argument:
        return f"{caching.clear()} cached replies are forgotten."
    count, size = caching.size()
    where = magics.conversations().path
    return f"{count} cached replies, {size / 1000:,.1f} kB, in {where}"


ROWS: tuple[Row, ...] = (
    (Shape("usage", "", "", "tokens of this conversation and of this session"), _usage),
    (
        Shape(
            "cache",
            "[clear]",
            r"(clear)?",
            "the replies that --cache keeps; clear forgets them",
            completes="cache",
        ),
        _cache,
    ),
)
