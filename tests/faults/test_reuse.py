"""A kept connection on which something came that nobody had asked for is not used again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from gprochat_magic.target import Pool
from tests.faults import Connection, hold, play, send, serving, settle, whole

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("no_leaks")]


async def at_once(connection: Connection) -> None:
    """A step that gives the client no time to notice."""


@pytest.mark.parametrize("then", [settle, at_once], ids=["noticed", "unread"])
async def test_F51_extra_bytes_that_come_late(then: Any) -> None:
    """An answer to no request is not taken for that to the next, whether or not it was read yet."""
    idle, said = asyncio.Event(), asyncio.Event()

    async def more(connection: Connection) -> None:
        await idle.wait()
        await connection.send(whole("wrong"))
        await then(connection)
        said.set()

    scripts = play(whole("fine"), more, hold), play(whole("next"))
    async with serving(*scripts) as raw, contextlib.aclosing(Pool()) as pool:
        first = await send(raw, sent="fine", pool=pool)
        idle.set()
        await said.wait()
        second = await send(raw, sent="next", pool=pool)

    assert ("fine", "complete") == (first.text, first.state)
    assert ("next", "complete", 2) == (second.text, second.state, second.connections)
