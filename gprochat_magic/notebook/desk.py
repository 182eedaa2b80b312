"""One panel's side in Python: takes what its page asks, from any thread, and shows what is so.

Invariants: asking only posts to the engine, where all of this happens; what is shown is made anew
from the conversation at the boundaries of turns, never told by a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from gprochat_magic import config, conversations, engine
from gprochat_magic.chat import Chat
from gprochat_magic.conversation import Turn
from gprochat_magic.conversations import Line
from gprochat_magic.errors import GPROChatError
from gprochat_magic.notebook import asides, protocol, shown, variables
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.notebook.talk import Job, State, Talk, failure, talk_in
from gprochat_magic.provider import GPROChat

_log = logging.getLogger(__name__)

REMEMBERED = 256
"""Nonces, so that a prompt that a page sends twice is asked once."""

_AT_ONCE = ("hello", "stop", "sync", "names")
"""What need not wait for what was asked before it."""


class Face(Protocol):
    """What a reader sees of a desk. Its methods are called on the engine."""

    def post(self, message: Message) -> None:
        """A message of the protocol."""

    def show(self, snapshot: dict[str, Any], state: State) -> None:
        """How things are at the boundary of a turn."""

    def keep(self) -> None:
        """The conversation has changed, and no run is on its way: time to renew the transcript."""


class Desk:
    """A panel's place in a conversation: the one that is named, else always the current one.

    Raises `ConfigError` for a name that cannot be.
    """

    def __init__(self, face: Face, conversation: str = "") -> None:
        self.met = False
        """Whether a page has said hello."""
        self._face = face
        self._bound = bool(conversation)
        self._talk = _entered(Chat(conversation).line)
        self._model = ""
        self._names: list[str] = []
        self._aside: list[shown.Shown] = []
        self._nonces: deque[str] = deque(maxlen=REMEMBERED)
        self._signature: object = None
        self._closed = False
        self._order: tuple[object, asyncio.Lock] | None = None
        self._unwatch = conversations.watch(self._changed)

    def open(self) -> None:
        """Begin to show, now that the face is made."""
        self._post(self._sit())

    @property
    def talk(self) -> Talk:
        """The talk that is shown."""
        return self._talk

    def receive(self, content: object) -> None:
        """Take a page's message, in whatever thread; what is malformed is dropped."""
        if (message := protocol.checked(content)) is not None and not self._closed:
            self._post(self._take(message))

    def close(self) -> None:
        """Show nothing more. A run that is on its way goes on."""
        self._closed = True
        self._unwatch()
        # Also called as the interpreter ends, when no thread can be started any more.
        with contextlib.suppress(ValueError):  # left out before, since its page was gone
            self._talk.listeners.remove(self)

    def snapshot(self) -> dict[str, Any]:
        """All that a page needs to draw the panel."""
        talk, settings = self._talk, config.current()
        conversation = talk.line.conversation
        messages = shown.messages(conversation, talk.rendering, talk.firsts)
        if (lost := talk.lost) is not None:
            messages += [shown.user_message(lost), shown.reply_message(lost, talk.rendering)]
        model = self._model or GPROChat.get_model(settings.model)
        return {
            "v": protocol.VERSION,
            "conversation": conversation.name,
            "names": list(dict.fromkeys([conversation.name, *self._names])),
            "model": model,
            "models": list(dict.fromkeys([model, *GPROChat.get_models()])),
            "commands": [] if self._bound else asides.offered(),
            "variables": variables.names(""),
            "messages": [*messages, *self._aside],
            "run": talk.live.rid if talk.live else None,
        }

    def hear(self, message: Message) -> None:
        """Pass a message of a run on to the page."""
        if message["t"] == "open":
            self._aside = []
        self._face.post(message)

    def turned(self) -> None:
        """Show the state of the run, and the conversation as it is now."""
        self._publish()

    async def _take(self, message: Message) -> None:
        kind = message.pop("t")
        try:
            if kind in _AT_ONCE:
                await getattr(self, f"_on_{kind}")(**message)
            else:
                async with self._turnstile():
                    await getattr(self, f"_on_{kind}")(**message)
        except GPROChatError as error:
            self._refuse(error, message.get("nonce", ""))

    def _turnstile(self) -> asyncio.Lock:
        """What keeps a page's wishes in order: a prompt goes where the pick before it leads."""
        loop = asyncio.get_running_loop()
        if self._order is None or self._order[0] is not loop:
            self._order = loop, asyncio.Lock()
        return self._order[1]

    async def _on_hello(self) -> None:
        first, self.met = not self.met, True
        if first:
            self._face.keep()

    async def _on_send(self, nonce: str, text: str) -> None:
        if not self._is_new(nonce):
            return
        if (command := asides.command_in(text)) and not self._bound:
            await self._say_aside(text, command)
        elif not self._is_too_long(text, nonce):
            self._add(Job(text, self._model, fill=variables.filled, nonce=nonce))

    async def _on_edit(self, mid: str, text: str, nonce: str) -> None:
        turn = self._turn(mid)
        if turn is not None and self._is_new(nonce) and not self._is_too_long(text, nonce):
            self._add(Job(text, self._model, again=turn, nonce=nonce))

    async def _on_retry(self, mid: str) -> None:
        talk, lost = self._talk, self._talk.lost
        if talk.state != "idle":
            return
        if lost is not None and lost.id == shown.of_turn(mid):
            self._add(Job(lost.prompt, self._model, again=talk.lost_from))
        elif (turn := self._turn(mid)) is not None:
            self._add(Job(turn.prompt, self._model, again=turn))

    async def _on_stop(self, rid: str) -> None:
        self._talk.stop(rid)

    async def _on_sync(self, rid: str, have: int) -> None:
        full = self._talk.full(rid)
        if full is not None:
            self._face.post(full)
        else:
            # The run is over: its end may be what was lost.
            self._publish(anew=True)

    async def _on_alt(self, mid: str, k: int) -> None:
        conversation, turn = self._talk.line.conversation, self._turn(mid)
        others = conversation.alternatives(turn) if turn else []
        if self._talk.state == "idle" and 0 < k <= len(others):
            conversation.show(others[k - 1])
            conversations.shared().keep(self._talk.line, [])

    async def _on_undo(self) -> None:
        if self._talk.state == "idle":
            self._talk.lost = None
            self._talk.line.conversation.back(1)
            conversations.shared().keep(self._talk.line, [])

    async def _on_use(self, name: str) -> None:
        home = conversations.shared()
        # Reading a file may take a while, and every stream of this process would wait for it.
        line = await asyncio.to_thread(home.open if self._bound else home.use, name)
        await self._move(line)

    async def _on_new(self, name: str) -> None:
        await self._move(await asyncio.to_thread(conversations.shared().new, name))

    async def _on_model(self, name: str) -> None:
        if name.isprintable():
            self._model = name
            self._publish(anew=True)

    async def _on_names(self, prefix: str) -> None:
        self._face.post({"t": "names", "prefix": prefix, "names": variables.names(prefix)})

    def _add(self, job: Job) -> None:
        if not self._talk.add(job):
            busy = GPROChatError(
                "too many prompts wait already", hint="Send it again when a reply has ended."
            )
            self._refuse(busy, job.nonce)

    def _is_new(self, nonce: str) -> bool:
        self._face.post({"t": "ack", "nonce": nonce})
        new = nonce not in self._nonces
        self._nonces.append(nonce)
        return new

    def _is_too_long(self, text: str, nonce: str) -> bool:
        if too_long := protocol.is_too_long(text):
            hint = "Put it into a variable and write its name in braces, or send a part of it."
            self._refuse(GPROChatError("a prompt holds 1 MB at most", hint=hint), nonce)
        return too_long

    def _refuse(self, error: GPROChatError, nonce: str) -> None:
        self._face.post({"t": "err", "rid": None, "nonce": nonce, "seq": 0, **failure(error)})

    def _turn(self, mid: str) -> Turn | None:
        wanted = shown.of_turn(mid)
        turns = self._talk.line.conversation.turns()
        return next((turn for turn in turns if turn.id == wanted), None)

    async def _say_aside(self, text: str, command: tuple[str, str]) -> None:
        if self._talk.state != "idle":
            raise GPROChatError("a reply is on its way", hint="Send the command when it has ended.")
        aside = await asyncio.to_thread(asides.said, text, command)
        self._aside = [aside["user"], aside["message"]]
        for message in asides.messages(aside):
            self._face.post(message)
        await self._learn()
        self._publish(anew=True)

    async def _sit(self) -> None:
        self._talk.listeners.append(self)
        await self._learn()
        self._publish(anew=True)

    async def _move(self, line: Line) -> None:
        if line is self._talk.line:
            return
        with contextlib.suppress(ValueError):
            self._talk.listeners.remove(self)
        self._talk = await asyncio.to_thread(_entered, line)
        self._aside = []
        await self._sit()

    async def _learn(self) -> None:
        """Read which conversations there are."""
        with contextlib.suppress(GPROChatError):  # a history that cannot be read has none to offer
            self._names = await asyncio.to_thread(conversations.shared().names)

    def _changed(self, line: Line) -> None:
        """Called for each change of any conversation, in any thread."""
        if not self._closed:
            self._post(self._look(line))

    async def _look(self, line: Line) -> None:
        current = conversations.shared().current
        if not self._bound and current is not self._talk.line:
            await self._move(current)
        elif line is self._talk.line and not self._is_ending():
            self._publish()

    def _is_ending(self) -> bool:
        """Whether a run has its whole reply, so that its end will show it in a moment."""
        live = self._talk.live
        return live is not None and live.turn.state != "pending"

    def _publish(self, *, anew: bool = False) -> None:
        talk = self._talk
        turns = tuple((turn.id, turn.state, turn.stale) for turn in talk.line.conversation.line())
        lost = talk.lost.id if talk.lost else None
        seen = talk.line, turns, lost, talk.live.rid if talk.live else None
        if self._closed:
            return
        if seen != self._signature or anew:
            self._signature = seen
            self._face.show(self.snapshot(), talk.state)
            if talk.state == "idle" and not any(state == "pending" for _, state, _ in turns):
                self._face.keep()
        else:
            self._face.show({}, talk.state)

    def _post(self, work: Coroutine[Any, Any, None]) -> None:
        host = engine.shared()
        if host.inside() and not host.running:
            work.close()  # the engine is winding up, and this would start it anew
            return
        host.submit(work).add_done_callback(_complain)


def _complain(future: Any) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        _log.warning("a panel's request failed", exc_info=error)


def _entered(line: Line) -> Talk:
    """The talk of a conversation, with what is in view rendered by the thread that asks."""
    talk = talk_in(line)
    shown.messages(line.conversation, talk.rendering, {})
    return talk
