"""One panel's place at a conversation: which one it shows, and when it shows it anew.

Invariants: all but the watcher runs on the engine; what is shown is made from the conversation at
the boundaries of turns; a face that fails is reported once and shown nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from gprochat_magic import config, conversations, engine
from gprochat_magic.chat import Chat
from gprochat_magic.errors import GPROChatError
from gprochat_magic.line import Line, watch
from gprochat_magic.notebook import asides, protocol, shown, variables
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.notebook.talk import State, Talk, talk_in
from gprochat_magic.provider import GPROChat

_log = logging.getLogger(__name__)


class Face(Protocol):
    """What a reader sees. Its methods are called on the engine."""

    def post(self, message: Message) -> None:
        """A message of the protocol."""

    def show(self, snapshot: dict[str, Any], state: State) -> None:
        """How things are at the boundary of a turn; an empty snapshot means as before."""

    def repeat(self) -> None:
        """Some of what was shown did not arrive."""

    def keep(self) -> None:
        """The conversation has changed, and no run is on its way: time to renew the transcript."""


class Seat:
    """A place at the conversation that is named, else always at the current one.

    Raises `ConfigError` for a name that cannot be.
    """

    def __init__(self, face: Face, conversation: str = "") -> None:
        self.talk = _entered(Chat(conversation).line)
        self.bound = bool(conversation)
        """Whether it stays when another conversation is put in use."""
        self.model = ""
        """The model that was chosen here; empty for the one of the settings."""
        self.aside: list[shown.Shown] = []
        """Messages shown last that are not of the conversation."""
        self._face = face
        self._names: list[str] = []
        self._named_in: object = None
        self._signature: object = None
        self._closed = False
        self._unwatch = watch(self._changed)

    def close(self) -> None:
        """Show nothing more. A run that is on its way goes on."""
        self._closed = True
        self._unwatch()
        # Also called as the interpreter ends, when no thread can be started any more.
        with contextlib.suppress(ValueError):  # left out before, since its page was gone
            self.talk.listeners.remove(self)

    def snapshot(self) -> dict[str, Any]:
        """All that a page needs to draw the panel."""
        talk, settings = self.talk, config.current()
        conversation = talk.line.conversation
        messages = shown.messages(conversation, talk.rendering, talk.firsts)
        if (lost := talk.lost) is not None:
            messages += [shown.user_message(lost), shown.reply_message(lost, talk.rendering)]
        model = self.model or GPROChat.get_model(settings.model)
        return {
            "v": protocol.VERSION,
            "conversation": conversation.name,
            "names": list(dict.fromkeys([conversation.name, *self._names])),
            "model": model,
            "models": list(dict.fromkeys([model, *GPROChat.get_models()])),
            "commands": [] if self.bound else asides.offered(),
            "variables": variables.names(""),
            "messages": [*messages, *self.aside],
            "run": talk.live.rid if talk.live else None,
        }

    def hear(self, message: Message) -> None:
        """Pass a message of a run on to the page."""
        if message["t"] == "open":
            self.aside = []
        self._face.post(message)

    def turned(self) -> None:
        """Show the state of the run, and the conversation as it is now."""
        self.publish()

    async def sit(self) -> None:
        """Begin to show."""
        if self._closed:
            return
        if self not in self.talk.listeners:  # a change elsewhere may have moved it here already
            self.talk.listeners.append(self)
        await self.learn()
        self.publish(anew=True)

    async def move(self, line: Line) -> None:
        """Show another conversation."""
        if line is self.talk.line:
            return
        with contextlib.suppress(ValueError):  # left out before
            self.talk.listeners.remove(self)
        self.talk = await asyncio.to_thread(_entered, line)
        self.aside = []
        await self.sit()

    async def learn(self) -> None:
        """Read which conversations there are, and what this one is called."""
        self._named_in = self.talk.line.kept_in
        with contextlib.suppress(GPROChatError):  # a history that cannot be read has none to offer
            self._names = await asyncio.to_thread(conversations.shared().names)

    def publish(self, *, anew: bool = False) -> None:
        """Show what has changed; `anew`, all of it."""
        talk = self.talk
        turns = tuple((turn.id, turn.state, turn.stale) for turn in talk.line.conversation.line())
        lost = talk.lost.id if talk.lost else None
        # A run is told of by a message of its own, and then with its turn: a long talk is not sent
        # for each.
        placed = talk.live is not None and any(talk.live.turn.id == turn[0] for turn in turns)
        seen = talk.line, turns, lost, talk.live.rid if talk.live and placed else None
        if self._closed:
            return
        if seen != self._signature or anew:
            self._signature = seen
            self._face.show(self.snapshot(), talk.state)
            if talk.state == "idle" and not any(state == "pending" for _, state, _ in turns):
                self._face.keep()
        else:
            self._face.show({}, talk.state)

    def _changed(self, line: Line) -> None:
        """Called for each change of any conversation, in any thread."""
        if not self._closed:
            post(self._look(line))

    async def _look(self, line: Line) -> None:
        current = conversations.shared().current
        if not self.bound and current is not self.talk.line:
            await self.move(current)
        elif line is self.talk.line:
            if line.kept_in != self._named_in:
                # What was kept first may have got a number, and another one its name.
                self._named_in = line.kept_in
                await self.learn()
                self.publish(anew=True)
            elif not self._is_ending():
                self.talk.turn_to(self)

    def _is_ending(self) -> bool:
        """Whether a run has its whole reply, so that its end will show it in a moment."""
        live = self.talk.live
        return live is not None and live.turn.state != "pending"


def post(work: Coroutine[Any, Any, None]) -> None:
    """Have something done on the engine; what it fails at is logged."""
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
