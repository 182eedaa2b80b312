"""One row's request: what it is, and sending it once, without a conversation."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from gprochat_magic import config, engine
from gprochat_magic.batch.work import Outcome
from gprochat_magic.conversation import Conversation
from gprochat_magic.draft import drafted
from gprochat_magic.errors import BadRequestError, GPROChatError
from gprochat_magic.messages import well_formed
from gprochat_magic.provider import clock, limits_of, proxy_of
from gprochat_magic.sending import Options, explain
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Ask, Exchange

_NOTHING = Conversation("")


@dataclass(frozen=True)
class Manner:
    """How each row is sent: the options and settings of a prompt, and the model's name."""

    options: Options
    settings: config.Settings
    model: str

    def ask(self, prompt: str) -> Ask:
        """What is asked for a prompt: no earlier turn goes along. Raises `BadRequestError`."""
        if not prompt.strip():
            raise BadRequestError("the prompt of this row is empty", hint="Fill or drop the row.")
        return drafted(
            _NOTHING,
            well_formed(prompt),
            self.options,
            self.settings,
            after=None,
            model=self.model,
        ).ask


class Asker:
    """Sends requests to one target, each once: whether one is sent again is decided elsewhere."""

    def __init__(self, target: Target, manner: Manner) -> None:
        self.target = target
        settings, options = manner.settings, manner.options
        limits = limits_of(settings, {"timeout": options.timeout})
        self.retries = limits.retries
        self.limits = dataclasses.replace(limits, retries=0)
        self.proxy = proxy_of(settings.proxy if options.proxy is None else options.proxy, target)

    async def once(self, ask: Ask) -> Outcome:
        """What comes of asking. Does not raise `GPROChatError`s; call it on the engine."""
        exchange = self.exchange(ask)
        outcome = await outcome_of(exchange)
        if outcome.error is not None:
            explain(outcome.error, self.target)
            self.target = exchange.target  # a fresh one, where nobody answered at the old one
        return outcome

    def exchange(self, ask: Ask) -> Exchange:
        """The send of a request; nothing is sent yet."""
        return Exchange(
            self.target,
            ask,
            session=engine.shared().keep("http", Pool).session,
            clock=clock,
            limits=self.limits,
            proxy=self.proxy,
        )


async def outcome_of(exchange: Exchange) -> Outcome:
    """Take an exchange to its end."""
    began = time.monotonic()
    try:
        async for _ in exchange.stream():
            pass
    except GPROChatError as error:
        return Outcome(error=error, attempts=exchange.attempts)
    return Outcome(
        exchange.text,
        whole=exchange.state == "complete",
        attempts=exchange.attempts,
        seconds=time.monotonic() - began,
    )
