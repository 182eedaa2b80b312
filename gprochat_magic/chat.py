"""Chat: conversation, provider and engine together; the one use case that all surfaces call.

Invariants: sends on one conversation run one after another, in the order they were made; a turn
is in its conversation from the moment its prompt is sent, and leaves `pending` exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gprochat_magic import config, embedded, engine
from gprochat_magic.conversation import Conversation, Turn, Window
from gprochat_magic.errors import (
    BadRequestError,
    ConfigError,
    ConversationBusyError,
    GPROChatError,
    StreamInterruptedError,
)
from gprochat_magic.messages import format_prompt, well_formed
from gprochat_magic.provider import (
    GPROChat,
    checked_proxy,
    clock,
    limits_of,
    proxy_of,
    target_of,
    wire_of,
)
from gprochat_magic.reply import Reply, usage
from gprochat_magic.retry import Waiting
from gprochat_magic.stream import Stream
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Ask, Exchange


@dataclass(frozen=True)
class Options:
    """How one prompt is sent. None means as the settings say.

    `turns` is how many earlier turns go along (-1: all that fit the token budget); `history=False`
    sends none and keeps nothing; `timeout` is in seconds.
    """

    model: str | None = None
    system: str | None = None
    turns: int | None = None
    history: bool = True
    timeout: float | None = None
    proxy: str | None = None


Event = str | Waiting
"""What a run yields: a piece of the reply, or that it will ask again after a while."""


@dataclass
class Sent:
    """What is known of a prompt on its way: its turn, its place in the conversation, remarks."""

    turn: Turn
    window: Window | None = None
    number: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class Run:
    """A prompt on its way. Take its `stream`; afterwards `turn` and `reply()` are final."""

    stream: Stream[Event]
    sent: Sent

    @property
    def turn(self) -> Turn:
        """The turn that this run makes."""
        return self.sent.turn

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        turn = self.turn
        prompt = format_prompt(self.sent.window.messages) if self.sent.window else turn.prompt
        return Reply(
            turn.reply,
            model=turn.model,
            backend=turn.backend,
            turn=self.sent.number,
            state=turn.state,
            elapsed=turn.elapsed,
            usage=usage(prompt, turn.reply),
            notes=tuple(self.sent.notes),
        )


class _Line:
    """A conversation with what makes its sends wait for one another."""

    def __init__(self, name: str) -> None:
        self.conversation = Conversation(name)
        self.lock = asyncio.Lock()
        self.reader: object = None
        """Who is taking the reply that streams now."""


class Conversations:
    """The conversations of this process by name. A kernel starts on the one called `default`."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    def line(self, name: str) -> _Line:
        """The conversation of that name, made if there is none."""
        with self._lock:
            return self._lines.setdefault(name, _Line(name))


conversations = Conversations()
DEFAULT = "default"


class Chat:
    """One conversation to talk in. Chats of the same name share their turns, live.

    chat = Chat()
    reply = await chat.ask("Why is the sky blue?")
    async for piece in chat.stream("And at sunset?"):
        print(piece, end="")
    """

    def __init__(self, conversation: str = DEFAULT) -> None:
        self._line = conversations.line(conversation)

    @property
    def conversation(self) -> Conversation:
        """The turns so far."""
        return self._line.conversation

    async def ask(self, prompt: str, **options: Any) -> Reply:
        """Send a prompt and await the whole reply. Keywords are those of `Options`.

        Raises `GPROChatError`s; the text that had arrived is in `partial` and in the conversation.
        """
        run = self.start(prompt, Options(**options))
        async with contextlib.aclosing(self.taken(run)) as events:
            async for _ in events:
                pass
        return run.reply()

    async def stream(self, prompt: str, **options: Any) -> AsyncGenerator[str]:
        """Send a prompt and yield the reply as it arrives. Keywords are those of `Options`."""
        run = self.start(prompt, Options(**options))
        async with contextlib.aclosing(self.taken(run)) as events:
            async for event in events:
                if isinstance(event, str):
                    yield event

    def ask_blocking(self, prompt: str, **options: Any) -> Reply:
        """`ask` for synchronous code, also inside a running loop; Ctrl-C stops it."""
        run = self.start(prompt, Options(**options))
        for _ in self.batches(run):
            pass
        return run.reply()

    def start(self, prompt: str, options: Options = Options()) -> Run:
        """Begin to send. Raises what is wrong with prompt and options before anything is sent."""
        prompt = well_formed(prompt)
        if not prompt.strip():
            raise BadRequestError("there is no prompt", hint="Write the question behind the magic.")
        if self._line.reader is not None and self._line.reader == _here():
            raise ConversationBusyError("this conversation is in the middle of a reply to you")
        settings = config.current()
        _checked(options, settings)
        turn = Turn(
            prompt,
            model=GPROChat.get_model(options.model or settings.model),
            backend="" if settings.api_endpoint else settings.backend,
        )
        sent = Sent(turn)
        send = functools.partial(_send, self._line, sent, options, settings)
        return Run(engine.shared().stream(send), sent)

    def batches(self, run: Run) -> Iterator[list[Event]]:
        """What a run yields, taken in this thread; see `Stream.batches`."""
        with self._reading():
            yield from run.stream.batches()

    async def taken(self, run: Run) -> AsyncGenerator[Event]:
        """What a run yields, awaited on the running loop."""
        async with contextlib.aclosing(aiter(run.stream)) as events:
            async for event in events:
                with self._reading():
                    yield event

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        before, self._line.reader = self._line.reader, _here()
        try:
            yield
        finally:
            self._line.reader = before


def _here() -> object:
    """The task that is running, or else the thread."""
    with contextlib.suppress(RuntimeError):
        if task := asyncio.current_task():
            return task
    return threading.get_ident()


def _checked(options: Options, settings: config.Settings) -> None:
    """Find what is wrong with the options while nothing has been sent. Raises `ConfigError`."""
    limits_of(settings, {"timeout": options.timeout})
    if options.proxy:
        checked_proxy(options.proxy)
        if not settings.api_endpoint:
            raise ConfigError(
                "a proxy cannot stand before the embedded gateway, which is in this process",
                hint="Leave --proxy out, or configure an endpoint.",
            )


async def _send(
    line: _Line,
    sent: Sent,
    options: Options,
    settings: config.Settings,
    emit: Callable[[Event], None],
) -> AsyncGenerator[Event]:
    """Wait for the sends before this one, then send: the pieces of the reply, in one turn."""
    async with line.lock:
        target = await target_of(settings)
        exchange = _exchange(line.conversation, sent, options, settings, target, emit)
        if options.history:
            line.conversation.append(sent.turn)
            sent.number = len(line.conversation.line())
        began = time.monotonic()
        try:
            async with contextlib.aclosing(exchange.stream()) as pieces:
                async for piece in pieces:
                    yield piece
        except GPROChatError as error:
            _explain(error, target)
            sent.turn.error = error.message
            raise
        finally:
            _settle(sent, exchange, time.monotonic() - began)


def _exchange(
    conversation: Conversation,
    sent: Sent,
    options: Options,
    settings: config.Settings,
    target: Target,
    emit: Callable[[Event], None],
) -> Exchange:
    window = conversation.window(
        sent.turn.prompt,
        system=settings.system if options.system is None else options.system,
        turns=_turns(options, settings),
        token_budget=settings.token_budget,
    )
    sent.window = window
    if window.left_out and options.history:
        sent.notes.append(f"{window.left_out} earlier turns left out")
    pool = engine.shared().keep("http", Pool)
    wire_name = settings.wire or ("flat" if settings.api_endpoint else "turns")
    return Exchange(
        target,
        Ask(window.messages, wire=wire_of(wire_name), model=sent.turn.model),
        session=pool.session,
        clock=clock,
        limits=limits_of(settings, {"timeout": options.timeout}),
        proxy=proxy_of(settings.proxy if options.proxy is None else options.proxy, target),
        on_wait=emit,
    )


def _turns(options: Options, settings: config.Settings) -> int | None:
    if not options.history:
        return 0
    turns = settings.turns if options.turns is None else options.turns
    return None if turns < 0 else turns


def _explain(error: GPROChatError, target: Target) -> None:
    """Say why the embedded gateway broke off: the wire itself can only say that it did."""
    if isinstance(error, StreamInterruptedError) and target.renew is not None:
        reason = embedded.shared().reason(error.request_id or "")
        if reason:
            error.message = f"the backend broke off: {reason}"
            error.args = (error.message,)


def _settle(sent: Sent, exchange: Exchange, elapsed: float) -> None:
    turn = sent.turn
    turn.reply, turn.state = exchange.text, exchange.state
    turn.replaced, turn.elapsed = exchange.replaced, elapsed
    if turn.state == "unverified":
        sent.notes.append("the end of this reply is not proven")
    if turn.replaced:
        sent.notes.append(f"{turn.replaced} characters could not be read")


def ask(prompt: str, **options: Any) -> Reply:
    """Send a prompt from synchronous code and return the whole reply.

    Works in a notebook, a script, and inside a running loop. Keywords are those of `Options`.
    Raises `GPROChatError`s.
    """
    return Chat().ask_blocking(prompt, **options)
