"""Chat: conversation, provider and engine together; the one use case that all surfaces call."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from gprochat_magic import batch, config, conversations, engine
from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.draft import Draft, checked, unsent
from gprochat_magic.errors import BadRequestError, ConversationBusyError
from gprochat_magic.line import Line
from gprochat_magic.messages import format_prompt, well_formed
from gprochat_magic.provider import GPROChat
from gprochat_magic.reply import Reply, usage
from gprochat_magic.sending import (
    DEFAULTS,
    Event,
    Options,
    Sent,
    preview,
    send,
)
from gprochat_magic.stream import Stream


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
        sent = self.sent
        prompt = format_prompt(sent.window.messages) if sent.window else sent.turn.prompt
        return _reply(sent.turn, prompt, number=sent.number, notes=tuple(sent.notes))


def _reply(turn: Turn, prompt: str, *, number: int, notes: tuple[str, ...] = ()) -> Reply:
    return Reply(
        turn.reply,
        model=turn.model,
        backend=turn.backend,
        turn=number,
        state=turn.state,
        elapsed=turn.elapsed,
        usage=usage(turn, prompt),
        notes=notes,
    )


class Chat:
    """One conversation to talk in. Chats of the same name share their turns, live.

    With a name it is that conversation, begun if there is none; without, the current one.

    chat = Chat()
    reply = await chat.ask("Why is the sky blue?")
    async for piece in chat.stream("And at sunset?"):
        print(piece, end="")
    """

    def __init__(self, conversation: str = "") -> None:
        home = conversations.shared()
        self._line = home.open(conversation, make=True) if conversation else home.current

    @property
    def conversation(self) -> Conversation:
        """The turns so far."""
        return self._line.conversation

    @property
    def last(self) -> Reply | None:
        """The reply of the last turn in view; None before the first."""
        conversation = self.conversation
        number, turn = conversation.counts(conversation.head)[0], conversation.last
        return _reply(turn, turn.prompt, number=number) if turn else None

    @classmethod
    def of(cls, line: Line) -> Chat:
        """A chat in an open conversation."""
        chat = cls.__new__(cls)
        chat._line = line
        return chat

    @property
    def line(self) -> Line:
        """The open conversation, which two chats of one name have in common."""
        return self._line

    async def ask(self, prompt: str | Reply, **options: Any) -> Reply:
        """Send a prompt and await the whole reply, which behaves as its text.

        Keywords, all optional: `model`; `system`, the instructions; `turns`, how many earlier turns
        go along (-1: all that fit the token budget); `history=False`, to send none and keep
        nothing; `timeout`, seconds for the whole reply; `proxy`; `parameters`, a mapping such as
        `{"temperature": 0, "max_tokens": 200}`; `cache`, "use" (the reply that was kept of the same
        request) or "refresh" (ask anew, and keep that). What is not given is as the settings say.

        Raises `GPROChatError`s; the text that had arrived is in `partial` and in the conversation.
        """
        await self._let_go()
        run = self.start(prompt, Options(**options))
        async with contextlib.aclosing(self.taken(run)) as events:
            async for _ in events:
                pass
        return run.reply()

    async def stream(self, prompt: str | Reply, **options: Any) -> AsyncGenerator[str]:
        """Send a prompt and yield the reply as it arrives, piece by piece; none of them is empty.

        Keywords, all optional: `model`; `system`, the instructions; `turns`, how many earlier turns
        go along (-1: all that fit the token budget); `history=False`, to send none and keep
        nothing; `timeout`, seconds for the whole reply; `proxy`; `parameters`, a mapping such as
        `{"temperature": 0, "max_tokens": 200}`; `cache`, "use" (the reply that was kept of the same
        request) or "refresh" (ask anew, and keep that). What is not given is as the settings say.

        Leaving the loop stops the reply; what had arrived is kept in the conversation, and
        `Chat.last` is the whole reply afterwards. Raises `GPROChatError`s, also between pieces.
        """
        await self._let_go()
        run = self.start(prompt, Options(**options))
        async with contextlib.aclosing(self.taken(run)) as events:
            async for event in events:
                if isinstance(event, str):
                    yield event

    def ask_blocking(self, prompt: str | Reply, **options: Any) -> Reply:
        """`ask` for synchronous code, also inside a running loop; Ctrl-C stops it."""
        run = self.start(prompt, Options(**options))
        for _ in self.batches(run):
            pass
        return run.reply()

    def start(self, prompt: str | Reply, options: Options = DEFAULTS) -> Run:
        """Begin to send. Raises what is wrong with prompt and options before anything is sent."""
        if not isinstance(prompt, (str, Reply)):
            kind = type(prompt).__name__
            raise BadRequestError(f"a prompt is text, not {kind}", hint="Put it into a text first.")
        prompt = well_formed(str(prompt))
        if not prompt.strip():
            raise BadRequestError("there is no prompt", hint="Write the question behind the magic.")
        if self._is_reader():
            raise ConversationBusyError("this conversation is in the middle of a reply to you")
        settings = config.current()
        checked(options, settings)
        turn = Turn(
            prompt,
            state="failed",  # until it is on its way: a send may be stopped while it waits
            model=model_for(options.model, settings),
            backend=config.host_of(settings.api_endpoint) or settings.backend,
            pictures=len(options.images),
        )
        sent = Sent(turn)
        source = functools.partial(send, self._line, sent, options, settings)
        return Run(engine.shared().stream(source), sent)

    def preview(self, prompt: str, options: Options = DEFAULTS) -> Draft:
        """What a prompt would be sent as now; nothing is sent, kept or changed.

        Its `request` is the body of the request. Raises what is wrong with the options.
        """
        settings = config.current()
        model = model_for(options.model, settings)
        return preview(self.conversation, well_formed(prompt), options, settings, model=model)

    def map(self, template: str, data: Any, **how: Any) -> Any:
        """A prompt for each row of data: the answers, in the order and the shape of the data.

        `data` is a list, a Series, a DataFrame (pandas or polars) or anything to iterate over;
        `{column}` in the template is the row's value, `{item}` that of single values. A list gives
        a list; otherwise it is a Series, or with `into="json"` a frame of the keys. A row that
        fails has its error in its place; `.failed` lists those, `.retry_failed()` asks them again.

        Keywords are those of `batch.Terms` (concurrency, per_minute, into, limit, cache, client,
        raise_on_error, progress) and, of `Options`, model, system, timeout (seconds), proxy and
        parameters. Finished rows are kept on disk: the same map again asks only for what is
        missing. Raises `ConfigError` for what does not fit, before anything is sent.
        """
        return batch.mapped(self._planned(template, data, how))

    async def amap(self, template: str, data: Any, **how: Any) -> Any:
        """`map`, awaited."""
        return await batch.mapped_awaited(self._planned(template, data, how))

    def _planned(self, template: str, data: Any, how: dict[str, Any]) -> batch.Plan:
        settings = config.current()
        return batch.planned(
            template,
            data,
            how,
            settings=settings,
            model=lambda options: model_for(options.model, settings),
        )

    def batches(self, run: Run) -> Iterator[list[Event]]:
        """What a run yields, taken in this thread; see `Stream.batches`."""
        with self._reading(run):
            yield from run.stream.batches(config.current().waiter())

    async def taken(self, run: Run) -> AsyncGenerator[Event]:
        """What a run yields, awaited on the running loop."""
        async with contextlib.aclosing(aiter(run.stream)) as events:
            async for event in events:
                with self._reading(run):
                    yield event

    @contextlib.contextmanager
    def _reading(self, run: Run) -> Iterator[None]:
        # Replies may overlap: one in the background, and one in a cell that waits for it.
        self._line.readers.append(reader := (_here(), run.stream))
        try:
            yield
        finally:
            self._line.readers.remove(reader)

    def _is_reader(self) -> bool:
        """Whether the caller is in the middle of a reply of this conversation."""
        here = _here()
        return any(who == here and not stream.ended for who, stream in list(self._line.readers))

    async def _let_go(self) -> None:
        # A loop that was left by `break` is closed by the event loop, in its next few turns.
        for _ in range(5):
            if self._is_reader():
                await asyncio.sleep(0)


def model_for(given: str | None, settings: config.Settings) -> str:
    """The model that is asked; empty where that is the server's own choice."""
    if "model" in unsent(settings):
        return ""
    untouched = not given and settings.model == GPROChat.default_model
    if untouched and not settings.api_endpoint and settings.backend != "demo":
        return ""
    return model_of(given or settings.model, settings)


def model_of(name: str, settings: config.Settings) -> str:
    """The model that a name means: an alias of the user's, or the provider's, or itself."""
    return GPROChat.get_model(settings.aliases.get(name, name))


def _here() -> object:
    """The task that is running, or else the thread."""
    with contextlib.suppress(RuntimeError):
        if task := asyncio.current_task():
            return task
    return threading.get_ident()


def ask(prompt: str | Reply, **options: Any) -> Reply:
    """Send a prompt from synchronous code and return the whole reply, which behaves as its text.

    Works in a notebook, a script, and inside a running loop; Ctrl-C stops it. The prompt goes to
    the current conversation, whose earlier turns go along.

    Keywords, all optional: `model`; `system`, the instructions; `turns`, how many earlier turns
    go along (-1: all that fit the token budget); `history=False`, to send none and keep
    nothing; `timeout`, seconds for the whole reply; `proxy`; `parameters`, a mapping such as
    `{"temperature": 0, "max_tokens": 200}`; `cache`, "use" (the reply that was kept of the same
    request) or "refresh" (ask anew, and keep that). What is not given is as the settings say.

    Raises `GPROChatError`s; the text that had arrived is in `partial` and in the conversation.
    """
    return Chat().ask_blocking(prompt, **options)
