"""What a panel does when its page asks, from any thread.

Invariants: asking only posts to the engine, where all of this happens; what a page asks for is
done, or refused in a message that it shows.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from typing import Any

from gprochat_magic import conversations
from gprochat_magic.conversation import Turn
from gprochat_magic.errors import GPROChatError
from gprochat_magic.notebook import asides, protocol, shown, variables
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.notebook.seat import Face, Seat, post
from gprochat_magic.notebook.talk import Job

_log = logging.getLogger(__name__)

REMEMBERED = 256
"""Nonces, so that a prompt that a page sends twice is asked once."""

_AT_ONCE = ("hello", "stop", "sync", "names")
"""What need not wait for what was asked before it."""


class Desk:
    """Where a page's wishes arrive. Raises `ConfigError` for a name that cannot be."""

    def __init__(self, face: Face, conversation: str = "") -> None:
        self.met = False
        """Whether a page has said hello."""
        self.seat = Seat(face, conversation)
        self._face = face
        self._nonces: deque[str] = deque(maxlen=REMEMBERED)
        self._closed = False
        self._order: tuple[object, asyncio.Lock] | None = None

    def open(self) -> None:
        """Begin to show, now that the face is made."""
        post(self.seat.sit())

    def receive(self, content: object) -> None:
        """Take a page's message, in whatever thread; what is malformed is dropped."""
        if (message := protocol.checked(content)) is not None and not self._closed:
            post(self._take(message))

    def close(self) -> None:
        """Show nothing more. A run that is on its way goes on."""
        self._closed = True
        self.seat.close()

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
        except Exception:  # noqa: BLE001  # whatever went wrong, the page must not wait for it for ever
            _log.exception("what a page asked for failed")
            unknown = GPROChatError("the panel failed", hint="The log of the kernel says why.")
            self._refuse(unknown, message.get("nonce", ""))

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
        if command := asides.command_in(text):
            await self._say_aside(text, command)
        else:
            _refuse_too_long(text)
            typed = variables.fields(text)
            self._add(Job(text, self.seat.model, fill=variables.filled, typed=typed, nonce=nonce))

    async def _on_edit(self, mid: str, text: str, nonce: str) -> None:
        if self._is_new(nonce):
            _refuse_too_long(text)
            self._again(mid, nonce, text)

    async def _on_retry(self, mid: str, nonce: str = "") -> None:
        if self._is_new(nonce):
            self._again(mid, nonce)

    async def _on_stop(self, rid: str) -> None:
        self.seat.talk.stop(rid)

    async def _on_sync(self, rid: str, have: int) -> None:
        full = self.seat.talk.full(rid)
        if full is not None:
            self._face.post(full)
        else:
            # The run is over: its end is what was lost, and the snapshot after it.
            self._face.repeat()

    async def _on_alt(self, mid: str, k: int) -> None:
        self._refuse_busy()
        line, turn = self.seat.talk.line, self._turn(mid)
        others = line.conversation.alternatives(turn) if turn else []
        if 0 < k <= len(others):
            line.conversation.show(others[k - 1])
            conversations.shared().keep(line, [])

    async def _on_undo(self) -> None:
        self._refuse_busy()
        talk = self.seat.talk
        talk.lost = None
        talk.line.conversation.back(1)
        conversations.shared().keep(talk.line, [])

    async def _on_use(self, name: str) -> None:
        home = conversations.shared()
        # Reading a file may take a while, and every stream of this process would wait for it.
        line = await asyncio.to_thread(home.open if self.seat.bound else home.use, name)
        await self.seat.move(line)

    async def _on_new(self, name: str = "") -> None:
        home = conversations.shared()
        line = await asyncio.to_thread(home.begin if self.seat.bound else home.new, name)
        await self.seat.move(line)

    async def _on_model(self, name: str) -> None:
        if name.isprintable():
            self.seat.model = name
            self.seat.publish(anew=True)

    async def _on_names(self, prefix: str) -> None:
        self._face.post({"t": "names", "prefix": prefix, "names": variables.names(prefix)})

    def _again(self, mid: str, nonce: str, text: str | None = None) -> None:
        """Ask beside the turn of a message: what it was asked, or that text."""
        prompt, beside = self._asked(mid)
        # What stands in a prompt that was sent, and was not typed, came there from a value.
        typed = self.seat.talk.typed.get(shown.of_turn(mid), frozenset())
        standing = variables.fields(prompt) - typed
        text = prompt if text is None else text
        fill = functools.partial(variables.filled, standing=standing)
        fresh = variables.fields(text) - standing
        self._add(Job(text, self.seat.model, again=beside, fill=fill, typed=fresh, nonce=nonce))

    def _add(self, job: Job) -> None:
        if not self.seat.talk.add(job):
            raise GPROChatError(
                "too many prompts wait already", hint="Send it again when a reply has ended."
            )

    def _is_new(self, nonce: str) -> bool:
        if not nonce:
            return True
        self._face.post({"t": "ack", "nonce": nonce})
        new = nonce not in self._nonces
        self._nonces.append(nonce)
        return new

    def _refuse(self, error: GPROChatError, nonce: str) -> None:
        self._face.post(protocol.refusal(error, nonce))

    def _refuse_busy(self) -> None:
        if self.seat.talk.state != "idle":
            raise GPROChatError("a reply is on its way", hint="Do that when it has ended.")

    def _turn(self, mid: str) -> Turn | None:
        wanted = shown.of_turn(mid)
        turns = self.seat.talk.line.conversation.turns()
        return next((turn for turn in turns if turn.id == wanted), None)

    def _asked(self, mid: str) -> tuple[str, Turn | None]:
        """What the turn of a message was asked, and beside which turn another try goes."""
        talk = self.seat.talk
        if talk.lost is not None and talk.lost.id == shown.of_turn(mid):
            return talk.lost.prompt, talk.lost_from
        if (turn := self._turn(mid)) is None:
            raise GPROChatError(
                "that message is not in this conversation", hint="Send the prompt once more."
            )
        return turn.prompt, turn

    async def _say_aside(self, text: str, command: tuple[str, str]) -> None:
        if self.seat.bound:
            raise GPROChatError(
                "subcommands are about the conversation in use, and this panel has its own",
                hint=f"Run it in a cell: %gprochat {text.strip()[1:]}",
            )
        self._refuse_busy()
        aside = await asyncio.to_thread(asides.said, text, command)
        self.seat.aside = [aside["user"], aside["message"]]
        for message in asides.messages(aside):
            self._face.post(message)
        await self.seat.learn()
        self.seat.publish(anew=True)


def free(widget: Any) -> None:
    """Have what a page sends to a widget handled where the page wishes.

    Of itself ipykernel 7.4 handles it where the last message to the page came from; after one from
    a cell that is where cells run, and there a Stop would wait for the end of the next one.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda data, wished: wished


def _refuse_too_long(text: str) -> None:
    if protocol.is_too_long(text):
        hint = "Put it into a variable and write its name in braces, or send a part of it."
        raise GPROChatError("a prompt holds 1 MB at most", hint=hint)
