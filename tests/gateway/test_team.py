"""Replicas that share what they have seen, in a real Valkey or Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from secrets import token_hex

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from gprochat_magic import GPROChat
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError, StreamInterruptedError
from gprochat_magic.gateway import team
from gprochat_magic.gateway.nonces import NoncesUnkept
from gprochat_magic.messages import Messages
from tests.gateway.conftest import Client
from tests.gateway.serving import serving
from tests.gateway.stores import Store, storing

asynchronous = pytest.mark.asyncio


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """A server that goes on through all tests here."""
    with storing() as running:
        yield running


@pytest_asyncio.fixture
async def link(store: Store) -> AsyncIterator[Redis]:
    """A connection to it, whose keys are gone at the end."""
    linked = team.connect(Secret(store.url))
    yield linked
    await linked.flushall()
    await linked.aclose()


class TestNonces:
    @asynchronous
    async def test_once_and_no_longer_than_needed(self, link: Redis) -> None:
        """A nonce is new once, for all who share the store, and is forgotten after its time."""
        one, other = (team.SharedNonces(link, now=lambda: 1000.0) for _ in range(2))

        assert [True, False, True] == [
            await one.add("a", 1300.2),
            await other.add("a", 1300.2),
            await other.add("b", 1300.2),
        ]
        assert 300 <= await link.ttl("gprochat:n:a") <= 301

    @asynchronous
    async def test_without_the_store_nobody_is_served(self) -> None:
        """When the store is gone a nonce cannot be kept: it fails closed."""
        with storing() as gone:
            link = team.connect(Secret(gone.url))
            nonces = team.SharedNonces(link)
            assert await nonces.add("a", 2e9)
            gone.stop()

            with pytest.raises(NoncesUnkept):
                await nonces.add("b", 2e9)
            assert 0 == await team.SharedRates(link, 1).take("ada")
            with pytest.raises(ConfigError, match="does not answer"):
                await team.check(link)
            await link.aclose()


class TestRates:
    @asynchronous
    async def test_replicas_count_together(self, link: Redis) -> None:
        """The limit is one for all who share the store, each client's own, and says the wait."""
        one, other = team.SharedRates(link, 2), team.SharedRates(link, 2)

        assert [0, 0] == [await one.take("ada"), await other.take("ada")]
        assert 55 < await one.take("ada") <= 60
        assert 0 == await one.take("ben")
        assert 55 < await link.pttl("gprochat:r:ada") / 1000 <= 60

    @asynchronous
    async def test_a_minute_later(self, link: Redis) -> None:
        """What is over a minute old does not count."""
        rates = team.SharedRates(link, 1)
        await rates.take("ada")
        await link.zadd("gprochat:r:ada", {(await link.zrange("gprochat:r:ada", 0, 0))[0]: 1})

        assert 0 == await rates.take("ada")


@pytest.mark.parametrize("url", ["nonsense", "http://localhost", "redis://host:x"])
def test_an_address_that_is_none(url: str) -> None:
    """What is no address of a store is refused without repeating it."""
    with pytest.raises(ConfigError) as caught:
        team.connect(Secret(url))

    assert url not in caught.value.message


@asynchronous
async def test_F105_replay_at_the_other_replica(store: Store) -> None:
    """A request that one replica has answered is refused by the other; rates are counted together.

    When their store is gone neither answers, and both say that it may be asked again.
    """
    secret = token_hex(32)
    shared = ("--redis", store.url, "--requests-per-minute", "3", "--no-access-log")
    with serving(*shared, secret=secret) as one, serving(*shared, secret=secret) as two:
        here, there = Client(one), Client(two)
        body = here.signed("json")

        statuses = [
            (await here.send(here.post(body))).status,
            (await there.send(there.post(body))).status,
            (await here.send(here.post(body))).status,
            (await there.send(there.post(there.signed("json")))).status,
            (await here.send(here.post(here.signed("json")))).status,
            (await there.send(there.post(there.signed("json")))).status,
        ]

        assert [200, 409, 409, 200, 200, 429] == statuses


@asynchronous
async def test_what_a_replica_refused_at_its_end(store: Store) -> None:
    """A request that a replica refuses because it is about to end is answered by the other."""
    secret = token_hex(32)
    shared = ("--redis", store.url, "--no-access-log")
    with serving(*shared, secret=secret) as one, serving(*shared, secret=secret) as two:
        here, there = Client(one), Client(two)
        reader, writer = await here.connect()
        writer.write(here.post(here.signed("slow long 20000")))
        await reader.readuntil(b" 200 OK")
        one.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(one.wait_for, "SIGTERM")
        body = here.signed("json")

        statuses = [
            (await here.send(here.post(body))).status,
            (await there.send(there.post(body))).status,
        ]

        assert [503, 200] == statuses
        writer.transport.abort()


@asynchronous
async def test_the_store_is_gone() -> None:
    """Without the store of used signatures nobody is served: 503, to be asked again."""
    with storing() as gone, serving("--redis", gone.url) as running:
        client = Client(running)
        assert 200 == (await client.send(client.post())).status

        gone.stop()

        answer = await client.send(client.post())
        assert (503, "1") == (answer.status, answer.headers["retry-after"])


@asynchronous
async def test_one_replica_is_killed(store: Store) -> None:
    """A replica killed amid a reply: the text so far, a clear error, and the other one answers."""
    secret = token_hex(32)
    shared = ("--redis", store.url, "--no-access-log")
    with serving(*shared, secret=secret) as one, serving(*shared, secret=secret) as two:
        text: list[str] = []

        async def ask(endpoint: str, prompt: str) -> None:
            messages: Messages = [{"role": "user", "content": prompt}]
            async for piece in GPROChat.create_async_generator(
                "", messages, api_endpoint=endpoint, secret_key=secret
            ):
                text.append(piece)
                if endpoint == one.endpoint:
                    one.process.kill()

        with pytest.raises(StreamInterruptedError) as caught:
            await ask(one.endpoint, "slow long 20000")

        assert text
        assert "".join(text) == caught.value.partial
        text.clear()
        await ask(two.endpoint, "json")
        assert text
