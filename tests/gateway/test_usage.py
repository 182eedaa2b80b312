"""What a reply cost, told behind its text to those who ask for it, and to nobody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from gprochat_magic.clock import Clock
from gprochat_magic.gateway.backends import Usage
from gprochat_magic.messages import Messages
from gprochat_magic.provider import GPROChat
from gprochat_magic.tail import HEADER, WANTED
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Ask, Exchange
from gprochat_magic.wire import Wire
from tests.gateway.conftest import Client, Serve, Stub

pytestmark = pytest.mark.asyncio

PIECES = ("some ", Usage(1, 1), "tëxt", Usage(12, 345))


async def exchanged(client: Client, wire: Wire) -> Exchange:
    """A whole send of ours."""
    target = Target(client.served.endpoint, client.served.secret)
    ask = Ask([{"role": "user", "content": "hello"}], wire=wire)
    async with aclosing(Pool()) as pool:
        exchange = Exchange(target, ask, session=pool.session, clock=Clock())
        async with aclosing(exchange.stream()) as pieces:
            assert "some tëxt" == "".join([piece async for piece in pieces])
    return exchange


async def test_a_client_of_ours_is_told(serve: Serve, make_stub: Callable[..., Stub]) -> None:
    """The last count arrives behind a text that is not touched."""
    exchange = await exchanged(await serve(backend=make_stub(*PIECES)), "turns")

    assert (12, 345) == exchange.tokens
    assert ("complete", 0) == (exchange.state, exchange.replaced)


async def test_the_protocol_to_the_letter_is_not_asked_for_more(
    serve: Serve, make_stub: Callable[..., Stub]
) -> None:
    """On the flat wire the body is the text, and nothing is told of."""
    client = await serve(backend=make_stub(*PIECES))
    exchange = await exchanged(client, "flat")
    # Two clocks: the same prompt in the same millisecond would be a replay.
    answer = await client.send(client.post(client.signed("another")))
    told = await client.send(client.post(client.signed("third"), headers={HEADER: WANTED}))

    assert exchange.tokens is None
    assert ("some tëxt", None) == (answer.text, answer.headers.get(HEADER))
    assert WANTED == told.headers[HEADER]
    assert b'\xff{"sent": 12, "received": 345}' in told.body


async def test_a_generator_of_the_protocol_yields_text_only(
    serve: Serve, make_stub: Callable[..., Stub]
) -> None:
    """Callers that know nothing of it see no trace, under either wire."""
    client = await serve(backend=make_stub(*PIECES))
    for wire in ("flat", "turns"):
        pieces = GPROChat.create_async_generator(
            "",
            [{"role": "user", "content": "hello"}],
            api_endpoint=client.served.endpoint,
            secret_key=client.served.secret.reveal(),
            wire=wire,
        )

        assert "some tëxt" == "".join([piece async for piece in pieces])


class Tailed:
    """A backend whose text holds what a count looks like."""

    name = "tailed"

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        yield 'some \ufffdÿ{"sent": 1, "received": 2}'


async def test_text_cannot_be_taken_for_a_count(serve: Serve) -> None:
    """The byte before a count is none of a text's, whatever a model writes."""
    client = await serve(backend=Tailed())
    answer = await client.send(client.post(headers={HEADER: WANTED}))

    assert b"\xff" not in answer.body
    assert {"sent": 1, "received": 2} == json.loads(answer.text.partition("ÿ")[2])
