"""One send to a misbehaving server, its outcome, and what must hold whatever happened."""

from __future__ import annotations

import contextlib
import functools
import pickle
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gprochat_magic.clock import Clock
from gprochat_magic.config import Secret
from gprochat_magic.conversation import State
from gprochat_magic.errors import GPROChatError
from gprochat_magic.limits import Limits
from gprochat_magic.retry import Waiting
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Ask, Exchange
from tests.faults.servers import RawServer, play, whole

CANARY = "secret-canary-5b1f"
HIDDEN = (CANARY, "query-canary", "proxy-canary")
"""What no error may show: the secret, the query of the endpoint, the password of the proxy."""
QUICK = Limits(total=20, connect=5, first_byte=10, idle=10)
"""Limits that a sound server on this machine never meets."""


@dataclass
class Outcome:
    """How a send ended."""

    text: str = ""
    state: State = "pending"
    error: GPROChatError | None = None
    attempts: int = 0
    replaced: int = 0
    requests: int = 0
    connections: int = 0
    pieces: list[str] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)

    @property
    def kind(self) -> type[GPROChatError] | None:
        """The class of the error, if there was one."""
        return None if self.error is None else type(self.error)


async def send(
    to: RawServer | str,
    *,
    sent: str | bytes | None = None,
    prompt: str = "hello",
    limits: Limits = QUICK,
    pool: Pool | None = None,
    clock: Clock | None = None,
    target: Target | None = None,
    trust_env: bool = False,
    on_piece: Callable[[], Awaitable[object]] | None = None,
    **options: Any,
) -> Outcome:
    """Send a prompt, and once more to the same server made sound; check what always holds.

    `sent` is the body that the server sends, as far as it does; `on_piece` keeps the reader busy.
    """
    url = to if isinstance(to, str) else to.url
    async with contextlib.AsyncExitStack() as stack:
        pool = pool or await stack.enter_async_context(contextlib.aclosing(Pool()))
        target = target or Target(url, Secret(CANARY))
        clock = clock or Clock()
        exchange = functools.partial(
            Exchange,
            session=functools.partial(pool.session, trust_env=trust_env),
            clock=clock,
        )
        outcome = Outcome()
        await _run(
            exchange(
                target,
                Ask([{"role": "user", "content": prompt}]),
                limits=limits,
                **{"on_wait": outcome.waits.append, **options},
            ),
            outcome,
            to if isinstance(to, RawServer) else None,
            on_piece,
        )
        _check(outcome, limits, sent)
        if isinstance(to, RawServer) and outcome.error is not None and to.scheme == "http":
            again = Outcome()
            to.scripts = (play(whole("next")),)
            ask = Ask([{"role": "user", "content": prompt[:10]}])
            await _run(exchange(Target(to.url, Secret(CANARY)), ask), again)
            assert ("next", "complete", None) == (again.text, again.state, again.error)
    return outcome


async def _run(
    exchange: Exchange,
    outcome: Outcome,
    server: RawServer | None = None,
    on_piece: Callable[[], Awaitable[object]] | None = None,
) -> None:
    try:
        async with contextlib.aclosing(exchange.stream()) as pieces:
            async for piece in pieces:
                outcome.pieces.append(piece)
                if server is not None:
                    server.heard.set()
                if on_piece is not None:
                    await on_piece()
    except GPROChatError as error:
        outcome.error = error
    outcome.text, outcome.state = exchange.text, exchange.state
    outcome.attempts, outcome.replaced = exchange.attempts, exchange.replaced
    if server is not None:
        outcome.requests, outcome.connections = len(server.requests), server.connections


def _check(outcome: Outcome, limits: Limits, sent: str | bytes | None) -> None:
    assert outcome.text == "".join(outcome.pieces)
    assert "" not in outcome.pieces
    assert outcome.attempts <= min(3, limits.retries + 1)
    if sent is not None:
        full = sent if isinstance(sent, str) else sent.decode("utf-8", "replace")
        assert full.startswith(outcome.text.rstrip("\ufffd"))
        assert outcome.state != "complete" or outcome.text == full
    if outcome.error is not None:
        assert outcome.state in ("interrupted", "failed")
        assert (outcome.text, outcome.attempts) == (outcome.error.partial, outcome.error.attempts)
        assert_no_secret(outcome.error)
    else:
        assert outcome.state in ("complete", "unverified")


def assert_no_secret(error: BaseException) -> None:
    """Nothing that an error shows, holds, pickles or chains tells a secret."""
    assert error.__cause__ is None
    assert error.__context__ is None
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    shown = [
        str(error),
        repr(error),
        repr(error.args),
        repr(vars(error)),
        repr(pickle.dumps(error)),
        "".join(traceback.format_exception(error)),
        *(str(frame.locals) for frame in frames if "/gprochat_magic/" in frame.filename),
    ]
    if isinstance(error, GPROChatError):
        shown += error._render_traceback_()

    for hidden in HIDDEN:
        assert not [text for text in shown if hidden in text]
