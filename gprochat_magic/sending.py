"""One send: waits for its place, asks, yields what comes, and leaves a settled, kept turn.

Invariants: sends on one conversation run one after another, in the order they were made; a turn is
kept from the moment its prompt is sent; it leaves `pending` exactly once; what took another turn's
place and then failed gives it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gprochat_magic import caching, config, conversations, embedded, engine, tally
from gprochat_magic.conversation import Change, Conversation, Turn, Window, estimate_tokens
from gprochat_magic.conversations import Conversations
from gprochat_magic.draft import Draft, checked, drafted, turns_of, unsent
from gprochat_magic.errors import GPROChatError, StreamInterruptedError
from gprochat_magic.line import Line
from gprochat_magic.messages import ImagePart, text_of
from gprochat_magic.provider import clock, limits_of, proxy_of, target_of
from gprochat_magic.retry import Waiting
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Exchange

CHECKPOINT_SECONDS = 1.0
CHECKPOINT_CHARACTERS = 16_384
"""How much of a growing reply a dying process may lose."""
KEPT_SECONDS = 2.0
"""How long a finished turn is waited for to reach the disk before the reply ends without it."""


@dataclass(frozen=True)
class Options:
    """How one prompt is sent. None means as the settings say.

    `turns` is how many earlier turns go along (-1: all that fit the token budget); `history=False`
    sends none and keeps nothing; `timeout` is in seconds. `cell` names the notebook cell that asks,
    and `rerun` says that its earlier turn in view is to be replaced. `again` is a turn beside which
    this one is put. `images` go along with the prompt, `parameters` (temperature, max_tokens, …)
    with the request. `cache` "use" takes the reply to the same request where one was kept,
    "refresh" asks anew; both keep what comes.
    """

    model: str | None = None
    system: str | None = None
    turns: int | None = None
    history: bool = True
    timeout: float | None = None
    proxy: str | None = None
    cell: str = ""
    rerun: bool = False
    again: Turn | None = None
    images: tuple[ImagePart, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cache: caching.Mode = ""


DEFAULTS = Options()

Event = str | Waiting
"""What a send yields: a piece of the reply, or that it will ask again after a while."""


@dataclass
class Sent:
    """What is known of a prompt on its way: its turn, its place in the conversation, remarks."""

    turn: Turn
    window: Window | None = None
    number: int = 0
    notes: list[str] = field(default_factory=list)


def preview(
    conversation: Conversation,
    prompt: str,
    options: Options,
    settings: config.Settings,
    *,
    model: str,
) -> Draft:
    """What `send` would send now. Nothing is sent, kept or changed. Raises `ConfigError`."""
    checked(options, settings)
    after = _behind(conversation, options)
    return drafted(conversation, prompt, options, settings, after=after, model=model)


async def send(
    line: Line,
    sent: Sent,
    options: Options,
    settings: config.Settings,
    emit: Callable[[Event], None],
) -> AsyncGenerator[Event]:
    """Wait for the sends before this one, then send: the pieces of the reply, in one turn."""
    async with line.lock:
        target = await target_of(settings)
        sent.turn.state = "pending"
        place = _Place(line, sent, options)
        asked = _exchange(line.conversation, sent, options, settings, target, emit)
        exchange: Exchange | caching.Kept = asked
        began = time.monotonic()
        try:
            if earlier := await caching.found(asked, options.cache, settings):
                exchange = earlier
                sent.notes.append("cached")
            async with contextlib.aclosing(exchange.stream()) as pieces:
                async for piece in pieces:
                    place.checkpoint(exchange, piece)
                    yield piece
        except GPROChatError as error:
            explain(error, target)
            sent.turn.error = error.message
            raise
        finally:
            _settle(sent, exchange, time.monotonic() - began)
            caching.keep(exchange, options.cache, settings)
            kept = place.settle()
            if not _cancelled():
                # Before the cell ends; but a user who pressed Stop is not kept waiting.
                await kept.wait()


class _Place:
    """Where a turn goes in its conversation, and its being kept there."""

    def __init__(self, line: Line, sent: Sent, options: Options) -> None:
        self._line, self._sent, self._history = line, sent, options.history
        self._home: Conversations = conversations.shared()
        self._before = line.conversation.head
        self._stale: list[tuple[Turn, bool]] = []
        self._old: Turn | None = None
        self._checked_at, self._unchecked = time.monotonic(), 0
        if self._history:
            self._home.keep(line, self._take(options))
            sent.number = line.conversation.counts(line.conversation.head)[0]

    def _take(self, options: Options) -> Change:
        conversation, turn = self._line.conversation, self._sent.turn
        turn.cell = options.cell
        conversation.album.keep(turn.id, options.images)
        if options.again is not None:
            return conversation.branch(turn, options.again.parent)
        self._old = _replaced(conversation, options)
        if self._old is None:
            return conversation.append(turn)
        self._stale = [(each, each.stale) for each in conversation.line()]
        return conversation.replace(self._old, turn)

    def checkpoint(self, exchange: Exchange | caching.Kept, piece: str) -> None:
        """Keep what has arrived, once in a while."""
        now = time.monotonic()
        self._unchecked += len(piece)
        late = now - self._checked_at >= CHECKPOINT_SECONDS
        if self._history and (late or self._unchecked >= CHECKPOINT_CHARACTERS):
            self._checked_at, self._unchecked = now, 0
            self._sent.turn.reply = exchange.text
            self._home.keep(self._line, [self._sent.turn])

    def settle(self) -> _Kept:
        """Keep the turn as it ended; one that failed gives back what it took the place of."""
        if not self._history:
            return _Kept(None, self._home, self._sent)
        change = [self._sent.turn]
        if self._sent.turn.state == "failed":
            change += self._give_back()
        return _Kept(self._home.keep(self._line, change), self._home, self._sent)

    def _give_back(self) -> Change:
        conversation, turn = self._line.conversation, self._sent.turn
        if self._old is not None:
            change = conversation.replace(turn, self._old)
            for each, stale in self._stale:
                each.stale = stale
            return change
        if turn.parent != self._before:
            conversation.head = self._before
        return []


def _replaced(conversation: Conversation, options: Options) -> Turn | None:
    """The turn whose place a send takes, if it takes one's."""
    return conversation.made_by(options.cell) if options.rerun else None


def _behind(conversation: Conversation, options: Options) -> str | None:
    """The turn that a send's turn follows."""
    if not options.history:
        return None
    if options.again is not None:
        return options.again.parent
    old = _replaced(conversation, options)
    return old.parent if old else conversation.head


class _Kept:
    """A settled turn on its way to the disk."""

    def __init__(self, future: conversations.Kept | None, home: Conversations, sent: Sent) -> None:
        self._future, self._home, self._sent = future, home, sent

    async def wait(self) -> None:
        """Wait until it is there, within bounds, and note what the store has to say."""
        if self._future is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.shield(asyncio.wrap_future(self._future)), KEPT_SECONDS
                )
            self._sent.notes.extend(self._home.notices())


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _exchange(
    conversation: Conversation,
    sent: Sent,
    options: Options,
    settings: config.Settings,
    target: Target,
    emit: Callable[[Event], None],
) -> Exchange:
    draft = drafted(
        conversation,
        sent.turn.prompt,
        options,
        settings,
        after=sent.turn.parent,
        model=sent.turn.model,
    )
    sent.window = window = draft.window
    if window.left_out and turns_of(options, settings) != 0:  # that none go along was a wish
        sent.notes.append(f"{window.left_out} earlier turns left out")
    if draft.pictures_left_out:
        sent.notes.append(f"{draft.pictures_left_out} earlier pictures left out")
    if ignored := unsent(settings):
        sent.notes.append(f"{', '.join(ignored)} not sent: the flat wire carries one text")
    pool = engine.shared().keep("http", Pool)
    return Exchange(
        target,
        draft.ask,
        session=pool.session,
        clock=clock,
        limits=limits_of(settings, {"timeout": options.timeout}),
        proxy=proxy_of(settings.proxy if options.proxy is None else options.proxy, target),
        on_wait=emit,
    )


def explain(error: GPROChatError, target: Target) -> None:
    """Say why the embedded gateway broke off: the wire itself can only say that it did."""
    if isinstance(error, StreamInterruptedError) and target.renew is not None:
        reason = embedded.shared().reason(error.request_id or "")
        if reason:
            error.message = f"the backend broke off: {reason}"
            error.args = (error.message,)


def _settle(sent: Sent, exchange: Exchange | caching.Kept, elapsed: float) -> None:
    turn = sent.turn
    turn.reply, turn.state = exchange.text, exchange.state
    turn.replaced, turn.elapsed = exchange.replaced, elapsed
    turn.sent, turn.received = exchange.tokens or (0, 0)
    if exchange.model and turn.model == config.DEFAULT_MODEL:
        # Nobody's choice, so it was only a guess at who would answer.
        turn.model = exchange.model
    _count(sent, exchange)
    if turn.state == "unverified":
        sent.notes.append("the end of this reply is not proven")
    if turn.replaced:
        sent.notes.append(f"{turn.replaced} characters could not be read")


def _count(sent: Sent, exchange: Exchange | caching.Kept) -> None:
    session, replies = tally.shared(), int(bool(sent.turn.reply))
    if not exchange.attempts:
        session.add(replies=replies, cached=replies)
        return
    messages = sent.window.messages if sent.window else []
    estimated = sum(estimate_tokens(text_of(message)) for message in messages)
    session.add(
        requests=exchange.attempts,
        replies=replies,
        guessed=int(exchange.tokens is None),
        sent=sent.turn.sent if exchange.tokens else estimated,
        received=sent.turn.written,
    )
