"""Servers that misbehave as told, and one send to them with its invariants checked.

    async with serving(play(head(CHUNKED), chunk("Hal"), reset)) as server:
        outcome = await send(server, sent="Hal")

`send` checks what must hold in every row: the text is a prefix of what was sent, a complete reply
is all of it, attempts are few, nothing secret is in the error, and the next send works.
"""

from tests.faults.sending import CANARY, QUICK, Outcome, assert_no_secret, send
from tests.faults.servers import (
    CHUNKED,
    END,
    Connection,
    RawServer,
    Request,
    Script,
    Step,
    chunk,
    close_now,
    deaf_port,
    drip,
    half_close,
    head,
    hold,
    once_heard,
    play,
    refusing_port,
    reset,
    serving,
    settle,
    silent,
    whole,
)

__all__ = [
    "CANARY",
    "CHUNKED",
    "END",
    "QUICK",
    "Connection",
    "Outcome",
    "RawServer",
    "Request",
    "Script",
    "Step",
    "assert_no_secret",
    "chunk",
    "close_now",
    "deaf_port",
    "drip",
    "half_close",
    "head",
    "hold",
    "once_heard",
    "play",
    "refusing_port",
    "reset",
    "send",
    "serving",
    "settle",
    "silent",
    "whole",
]
