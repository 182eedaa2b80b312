"""One reply of a campaign, through a real chat and its store, and what is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from dataclasses import dataclass, field

from gprochat_magic import Chat, config
from gprochat_magic.chat import Run
from gprochat_magic.conversation import Conversation, State, Turn
from gprochat_magic.conversations import Line
from gprochat_magic.errors import GPROChatError
from gprochat_magic.store import Store
from tests.faults import texts
from tests.faults.plans import Plan
from tests.faults.sending import CANARY, assert_no_secret
from tests.faults.servers import RawServer, play, refusing_port, serving, whole

STUCK = 60.0
"""Seconds after which a reply that has not ended is called stuck."""
MARK = re.compile("«[0-9a-f]+»")


@dataclass
class Verdict:
    """How a reply ended, what is wrong with it, and the turns that must be found in the store."""

    name: str
    fault: str
    state: State = "pending"
    wrong: list[str] = field(default_factory=list)
    repeated: bool = False
    told: bool = False
    turns: list[Turn] = field(default_factory=list)

    def expect(self, found: object, expected: object, what: str) -> None:
        """Note what is not as it should be."""
        if found != expected:
            self.wrong.append(f"{what}: {found!r:.200} and not {expected!r:.200}")

    def check_kept(self, store: Store) -> None:
        """Compare the turns with those that a store hands out."""
        try:
            kept = {turn.id: turn for turn in store.load(self.name).turns}
        except GPROChatError as error:
            self.wrong.append(f"not in the store: {error}")
            return
        for turn in self.turns:
            # One that was stopped before it was its turn was never sent, and so is not kept.
            if turn.id in kept or (turn.state, turn.reply) != ("failed", ""):
                found = kept.get(turn.id, Turn(""))
                self.expect((found.reply, found.state), (turn.reply, turn.state), "stored")
                self.expect(found.prompt, turn.prompt, "stored prompt")


async def judged(name: str, fault: str, plan: Plan, dice: random.Random, store: str) -> Verdict:
    """Send a prompt to a server that does as planned, then another to it made sound."""
    verdict = Verdict(name, fault)
    chat = Chat.of(Line(Conversation(name)))
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(*(plan.scripts or (play(whole()),))))
        port = stack.enter_context(refusing_port()) if plan.refused else server.port
        try:
            async with asyncio.timeout(STUCK):
                run = _begun(chat, dice, port, store, plan.settings)
                if plan.stop is not None:
                    asyncio.get_running_loop().call_later(plan.stop, run.stream.cancel)
                pieces, error = await _taken(chat, run, server)
                _judge(verdict, plan, run.turn, "".join(pieces), error)
                _judge_requests(verdict, plan, server, error)
                if plan.said is not None:
                    await plan.said.wait()
                await _next(verdict, chat, dice, server, store)
                await _gone(server)
        except TimeoutError:
            verdict.wrong.append("stuck")
    return verdict


def _begun(
    chat: Chat, dice: random.Random, port: int, store: str, seconds: dict[str, float]
) -> Run:
    settings = config.Settings(
        # By its number: a name would be looked up in a thread each time.
        api_endpoint=f"http://127.0.0.1:{port}/api/generate?key=query-canary",
        secret_key=CANARY,
        wire=dice.choice(("flat", "turns")),
        store=store,
        **seconds,
    )
    # What a send needs of the settings is taken as it begins.
    config.put_in_force(settings)
    try:
        return chat.start("?" + texts.text(dice, 8))
    finally:
        config.withdraw(settings)


async def _taken(chat: Chat, run: Run, server: RawServer) -> tuple[list[str], GPROChatError | None]:
    pieces: list[str] = []
    try:
        async with contextlib.aclosing(chat.taken(run)) as events:
            async for event in events:
                if isinstance(event, str):
                    pieces.append(event)
                    server.heard.set()
    except GPROChatError as error:
        return pieces, error
    return pieces, None


def _judge(
    verdict: Verdict, plan: Plan, turn: Turn, text: str, error: GPROChatError | None
) -> None:
    verdict.state, verdict.turns = turn.state, [turn]
    verdict.expect(turn.reply, text, "kept")
    verdict.expect(turn.state in plan.states, True, f"ended as {turn.state} ({error!r})")
    verdict.expect(error is None, turn.state in ("complete", "unverified"), "error")
    ended = turn.state in ("complete", "unverified")
    if turn.state == "complete" or plan.all_of_it:
        verdict.expect(text, texts.shown(plan.body, ended=ended), "text")
    elif not texts.is_prefix(text, plan.body):
        verdict.wrong.append(f"text {text!r:.200} is not the beginning of {plan.body!r:.200}")
    verdict.repeated = len(MARK.findall(text)) > 1
    if error is not None:
        if error.kind != "stopped":
            verdict.expect(error.partial, text, "partial")
        try:
            assert_no_secret(error)
        except AssertionError as found:
            verdict.told = True
            verdict.wrong.append(f"told or chained: {found}")


def _judge_requests(
    verdict: Verdict, plan: Plan, server: RawServer, error: GPROChatError | None
) -> None:
    if server.connections > 3 or (error is not None and error.attempts > 3):
        verdict.wrong.append(f"{server.connections} connections")
    if plan.began.at is not None and server.connections > plan.began.at:
        verdict.repeated = True
        verdict.wrong.append("asked again after a body had begun")


async def _next(
    verdict: Verdict, chat: Chat, dice: random.Random, server: RawServer, store: str
) -> None:
    """The next send in the same conversation works."""
    text = texts.text(dice, 8)
    server.scripts = (play(whole("." + text)),)
    run = _begun(chat, dice, server.port, store, {})
    pieces, error = await _taken(chat, run, server)
    verdict.turns.append(run.turn)
    found = "".join(pieces), run.turn.state, error
    verdict.expect(found, ("." + text, "complete", None), "next")


async def _gone(server: RawServer) -> None:
    """Every connection has been let go of by the client."""
    while server.open:  # noqa: ASYNC110  # each is closed by the other side
        await asyncio.sleep(0.002)
