"""A send that failed is forgotten: nothing of it stays in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from gprochat_magic import Chat, config, engine
from gprochat_magic.conversation import Conversation
from gprochat_magic.conversations import Line
from gprochat_magic.errors import BadRequestError
from tests.faults import CANARY, play, serving, whole


async def failed(prompt: str) -> weakref.ref[Conversation]:
    """A conversation of which one prompt was refused, and which nobody holds any more."""
    line = Line(Conversation("short"))
    async with serving(play(whole("no", status="400 No"))) as raw:
        settings = config.Settings(secret_key=CANARY, api_endpoint=raw.url)
        config.put_in_force(settings)
        try:
            with pytest.raises(BadRequestError):
                await Chat.of(line).ask(prompt)
        finally:
            config.withdraw(settings)
    return weakref.ref(line.conversation)


def test_F20_a_refused_prompt_is_forgotten() -> None:
    """While the engine lives on, its conversation can be collected."""
    refused = asyncio.run(failed("hello"))
    engine.shared().run(asyncio.sleep(0))  # it has done all that was to do
    gc.collect()

    assert engine.shared().running
    assert refused() is None
    engine.shared().stop()
