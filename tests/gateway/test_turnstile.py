"""Rates, replies at a time and the queue, by themselves."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gprochat_magic.gateway.guard import Refused
from gprochat_magic.gateway.turnstile import MemoryRates, Turnstile

pytestmark = pytest.mark.asyncio


async def refusal(turnstile: Turnstile, client: str = "ada") -> Refused:
    """Why a client is not let in."""
    with pytest.raises(Refused) as caught:
        async with turnstile.turn(client):
            pass
    return caught.value


class TestRates:
    async def test_so_many_within_any_minute(self) -> None:
        """The limit holds within any minute, for each client alone; older requests do not count."""
        now = [0.0]
        rates = MemoryRates(2, now=lambda: now[0])

        assert 0 == await rates.take("ada")
        now[0] = 30
        assert 0 == await rates.take("ada")
        now[0] = 50
        assert 10 == await rates.take("ada")
        assert 0 == await rates.take("ben")
        now[0] = 60
        assert 0 == await rates.take("ada")
        assert 30 == await rates.take("ada")

    async def test_the_wait_is_told(self) -> None:
        """Who asks too often hears in how many whole seconds to ask again."""
        turnstile = Turnstile(rates=MemoryRates(1, now=lambda: 0.0))
        async with turnstile.turn("ada"):
            pass

        refused = await refusal(turnstile)

        assert (429, 60) == (refused.status, refused.retry_after)


class TestTurns:
    async def test_without_limits(self) -> None:
        """Without limits anyone gets in at any time."""
        turnstile = Turnstile()
        async with AsyncExitStack() as stack:
            for _ in range(100):
                await stack.enter_async_context(turnstile.turn("ada"))

    async def test_who_waits_is_let_in_in_order(self) -> None:
        """One at a time: the others wait in order, and one more than may wait is refused."""
        turnstile = Turnstile(concurrent=1, queue=2)
        order = []

        async def come(number: int) -> None:
            async with turnstile.turn("ada"):
                order.append(number)
                await asyncio.sleep(0)

        async with turnstile.turn("ada"):
            waiting = [asyncio.create_task(come(number)) for number in range(2)]
            await asyncio.sleep(0)
            assert 429 == (await refusal(turnstile)).status
            async with turnstile.turn("ben"):
                assert [] == order

        await asyncio.gather(*waiting)
        assert [0, 1] == order
        async with turnstile.turn("ada"):
            pass

    async def test_a_turn_that_does_not_come(self) -> None:
        """Who has waited for too long is refused, and its place is free for another."""
        turnstile = Turnstile(concurrent=1, queue=1, patience=0.01)
        async with turnstile.turn("ada"):
            assert 5 == (await refusal(turnstile)).retry_after
            assert 5 == (await refusal(turnstile)).retry_after
        async with turnstile.turn("ada"):
            pass

    @pytest.mark.parametrize("granted", [False, True])
    async def test_who_leaves_the_queue(self, granted: bool) -> None:
        """A reader who leaves while it waits, or just as its turn comes, takes no turn along."""
        turnstile = Turnstile(concurrent=1, queue=1)
        entered = AsyncExitStack()
        await entered.enter_async_context(turnstile.turn("ada"))

        async def come() -> None:
            async with turnstile.turn("ada"):
                raise AssertionError("it had left")

        leaving = asyncio.create_task(come())
        await asyncio.sleep(0)
        if granted:
            await entered.aclose()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await entered.aclose()

        async with asyncio.timeout(1), turnstile.turn("ada"):
            pass

    async def test_the_end(self) -> None:
        """Once closed it lets nobody in, nor those who wait; who is in goes on."""
        turnstile = Turnstile(concurrent=1, queue=1)
        async with turnstile.turn("ada"):
            waiting = asyncio.create_task(refusal(turnstile))
            await asyncio.sleep(0)

            turnstile.close()

            assert (503, 1) == ((await waiting).status, (await waiting).retry_after)
            assert 503 == (await refusal(turnstile, "ben")).status
