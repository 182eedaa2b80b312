"""The runs that panels start in one conversation: one after another, heard by every panel on it.

Invariants: everything here happens on the engine's thread, so that a resync and a delta never
cross; each run is opened once and done once, whatever happens in between; what a listener fails
at costs neither the run nor the other listeners.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from IPython.core.error import UsageError

from gprochat_magic import markdown
from gprochat_magic.chat import Chat, Run
from gprochat_magic.conversation import Turn
from gprochat_magic.errors import GPROChatError
from gprochat_magic.line import Line
from gprochat_magic.notebook import protocol, shown
from gprochat_magic.notebook.protocol import Message
from gprochat_magic.retry import Waiting
from gprochat_magic.sending import Options

_log = logging.getLogger(__name__)

State = Literal["idle", "waiting", "streaming", "stopping"]

SHORTEST = 0.04
"""Seconds between two deltas, at least."""
COST = 20
"""A delta is followed by so many times the time it took to render."""
HEAD_START = 48_000
BYTES_PER_BYTE = 8
"""What the deltas of a reply may hold in all, so that one endless paragraph is not sent squared."""
PATIENT = 1.0
"""Seconds of silence after which what was held back is shown, whatever it costs."""
WAITING_ROOM = 8
"""Prompts that may wait for the run before them."""


@dataclass
class Job:
    """A prompt that waits for its run.

    `fill` puts the user's variables in, or raises; `typed` is what of it the user means by that.
    """

    prompt: str
    model: str = ""
    again: Turn | None = None
    fill: Callable[[str], str] | None = None
    typed: frozenset[str] = frozenset()
    nonce: str = ""


@dataclass
class Live:
    """A run on its way, as the listeners have it."""

    turn: Turn
    run: Run | None
    rid: str = field(default_factory=lambda: secrets.token_hex(8))
    seq: int = 0
    text: str = ""
    growing: markdown.Growing = field(default_factory=markdown.Growing)
    frozen: int = 0
    drawn: int = 0
    sent: int = 0
    began: float | None = None
    arrived: float = 0.0
    due: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Listener(Protocol):
    """Who hears of runs: a panel."""

    def hear(self, message: Message) -> None:
        """A message of the protocol."""

    def turned(self) -> None:
        """A run began, ended or changed its state."""

    def close(self) -> None:
        """It failed, and hears nothing more."""


class Talk:
    """The runs of a conversation. Call all of it on the engine."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.state: State = "idle"
        self.live: Live | None = None
        self.lost: Turn | None = None
        """The last turn that could not be sent or gave back its place: it is still shown."""
        self.lost_from: Turn | None = None
        self.firsts: dict[str, float] = {}
        """Seconds to the first text, by turn."""
        self.typed: dict[str, frozenset[str]] = {}
        """What of a prompt was typed as a field, by turn."""
        self.rendering = shown.Rendering()
        self.listeners: list[Listener] = []
        self._jobs: deque[Job] = deque()
        self._worker: asyncio.Task[None] | None = None

    def add(self, job: Job) -> bool:
        """Have a prompt sent after those before it; says whether there was room."""
        if len(self._jobs) >= WAITING_ROOM:
            return False
        self._jobs.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return True

    def stop(self, rid: str) -> None:
        """Stop the run of that id, if it is on its way."""
        live = self.live
        if live is None or live.rid != rid or live.run is None or self.state == "stopping":
            return
        live.run.stream.cancel()
        self._become("stopping")

    def full(self, rid: str) -> Message | None:
        """All that was sent of the run of that id, if it is on its way."""
        live = self.live
        if live is None or live.rid != rid:
            return None
        frozen = live.growing.frozen[: live.frozen]
        tail = live.growing.tail if live.seq else ""
        return {"t": "full", "rid": rid, "seq": live.seq - 1, "frozen": frozen, "tail": tail}

    async def _work(self) -> None:
        try:
            while self._jobs:
                await self._do(self._jobs.popleft())
        finally:
            # Only where the engine was stopped is anything left.
            while self._jobs:
                stopped = GPROChatError("everything was stopped", hint="Send the prompt again.")
                self._say(protocol.refusal(stopped, self._jobs.popleft().nonce))

    def turn_to(self, listener: Listener) -> None:
        """Have one listener look at the conversation, which has changed."""
        self._tell(listener, lambda each: each.turned())

    async def _do(self, job: Job) -> None:
        turn, run, error = await self._begin(job)
        live = self.live = Live(turn, run)
        self.lost = self.lost_from = None
        try:
            user = shown.user_message(turn)
            self._say({"t": "open", "rid": live.rid, "mid": f"{turn.id}.a", "user": user})
            self._become("waiting")
            if run is not None:
                await self._follow(live, run)
        except GPROChatError as broken:
            error = broken
        except Exception:  # noqa: BLE001  # whatever went wrong here, the panel must not stay busy for ever
            _log.exception("a panel's run failed")
            error = GPROChatError("the panel failed; the reply may be in the conversation")
        finally:
            self._end(live, job, error)

    async def _begin(self, job: Job) -> tuple[Turn, Run | None, GPROChatError | None]:
        """The turn, with its run or with why there is none."""
        prompt = job.prompt
        try:
            if job.fill is not None:
                # A value's own __format__ is the user's code and may take its time.
                prompt = await asyncio.to_thread(job.fill, prompt)
            chat = Chat.of(self.line)
            run = chat.start(prompt, Options(model=job.model or None, again=job.again))
        except GPROChatError as error:
            refused = error
        except UsageError as error:
            refused = GPROChatError(str(error), hint="Nothing was sent. Correct the prompt.")
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a value's own code may raise anything
            _log.warning("a prompt could not be made ready", exc_info=True)
            about = f"the prompt could not be made ready: {type(error).__name__}"
            refused = GPROChatError(about, hint="Nothing was sent. Look at the values in braces.")
        else:
            return self._noted(run.turn, job), run, None
        return self._noted(Turn(prompt, state="failed", error=refused.message), job), None, refused

    def _noted(self, turn: Turn, job: Job) -> Turn:
        if job.typed:
            self.typed[turn.id] = job.typed
        return turn

    async def _follow(self, live: Live, run: Run) -> None:
        async with contextlib.aclosing(aiter(run.stream)) as events:
            async for event in events:
                if isinstance(event, Waiting):
                    wait = {"rid": live.rid, "seconds": event.seconds, "reason": event.reason}
                    self._say({"t": "wait", **wait})
                else:
                    self._grow(live, event)

    def _grow(self, live: Live, piece: str) -> None:
        live.text += piece
        live.arrived = time.monotonic()
        if live.began is None:
            live.began = live.arrived
            if self.state == "waiting":
                self._become("streaming")
            self._flush(live)
        elif live.timer is None:
            self._flush_later(live, max(0.0, live.due - live.arrived))

    def _flush_later(self, live: Live, seconds: float) -> None:
        live.timer = asyncio.get_running_loop().call_later(seconds, self._flush, live)

    def _flush(self, live: Live) -> None:
        live.timer = None
        now = time.monotonic()
        affordable = live.sent <= HEAD_START + BYTES_PER_BYTE * len(live.text)
        if not affordable and now - live.arrived < PATIENT:
            self._flush_later(live, PATIENT / 4)
            return
        if live.drawn == len(live.text):
            return
        live.drawn = len(live.text)
        live.growing.update(live.text)
        fresh, live.frozen = live.growing.frozen[live.frozen :], len(live.growing.frozen)
        live.sent += len(fresh) + len(live.growing.tail)
        self._number(live, {"t": "d", "frozen": fresh, "tail": live.growing.tail})
        done = time.monotonic()
        live.due = done + max(SHORTEST, COST * (done - now))

    def _end(self, live: Live, job: Job, error: GPROChatError | None) -> None:
        """Say that the run is over, once, and what went wrong, if it was not the user's stop."""
        if live.timer is not None:
            live.timer.cancel()
        turn = live.turn
        stopped = error is not None and error.kind == "stopped"
        has_begun = live.run is None or live.run.sent.number > 0
        if turn.state == "pending" or (stopped and not has_begun):
            turn.state = "failed" if error is not None and not stopped else "interrupted"
        if error is not None and not stopped:
            turn.error = turn.error or error.message
        if live.began is not None:
            # Like the turn's own time, it does not count the wait for its place.
            self.firsts[turn.id] = max(0.0, turn.elapsed - (live.arrived - live.began))
        notes = list(live.run.reply().notes) if live.run else []
        if all(turn is not each for each in self.line.conversation.line()):
            self.lost, self.lost_from = turn, job.again
        self.live = None
        message = shown.reply_message(turn, self.rendering, first=self.firsts.get(turn.id))
        self._number(live, {"t": "done", "message": message, "notes": notes})
        if error is not None and not stopped:
            self._number(live, {"t": "err", **protocol.failure(error)})
        self._become("idle")

    def _number(self, live: Live, message: Message) -> None:
        kind = message.pop("t")
        self._say({"t": kind, "rid": live.rid, "seq": live.seq, **message})
        live.seq += 1

    def _become(self, state: State) -> None:
        self.state = state
        self._each(lambda listener: listener.turned())

    def _say(self, message: Message) -> None:
        self._each(lambda listener: listener.hear(message))

    def _each(self, tell: Callable[[Listener], object]) -> None:
        for listener in list(self.listeners):
            self._tell(listener, tell)

    def _tell(self, listener: Listener, tell: Callable[[Listener], object]) -> None:
        try:
            tell(listener)
        except Exception:  # noqa: BLE001  # a page that is gone must cost nobody else the reply
            _log.warning("a panel could not be updated; it is left out now", exc_info=True)
            listener.close()


_talks: dict[Line, Talk] = {}


def talk_in(line: Line) -> Talk:
    """The talk of a conversation, the same for all panels and for any thread that asks."""
    return _talks.setdefault(line, Talk(line))
