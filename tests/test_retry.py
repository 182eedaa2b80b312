"""Which errors are worth another attempt, and after how long."""

from __future__ import annotations

import pytest

from gprochat_magic import errors, retry


async def attempts(*failures: errors.GPROChatError, retries: int = 2) -> int:
    """How many attempts are made when they fail like this, one after another."""
    made = 0
    policy = retry.Policy(retries, lambda waiting: None)
    try:
        async for attempt in policy.attempts():
            with attempt:
                made += 1
                raise failures[min(made, len(failures)) - 1]
    except errors.GPROChatError:
        pass
    return made


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (errors.ConnectError("x"), 3),
        (errors.ConnectTimeout("x"), 3),
        (errors.ConnectError("x", kind="dns"), 2),
        (errors.ProxyError("x"), 2),
        (errors.BadRequestError("x", kind="replay", retryable=True), 2),
        (errors.AuthError("x", kind="skew", retryable=True), 2),
        (errors.RateLimitError("x"), 3),
        (errors.ServerError("x"), 3),
        (errors.TLSVerificationError("x"), 1),
        (errors.ConfigError("x"), 1),
        (errors.ProtocolError("x"), 1),
        (errors.EmptyReplyError("x"), 1),
        (errors.BadRequestError("x"), 1),
        (errors.AuthError("x"), 1),
        (errors.FirstTokenTimeout("x"), 1),
        (errors.IdleTimeout("x"), 1),
        (errors.DeadlineExceeded("x"), 1),
        (errors.StreamInterruptedError("x"), 1),
    ],
    ids=lambda value: getattr(value, "kind", str(value)),
)
async def test_attempts(waits: list[float], failure: errors.GPROChatError, expected: int) -> None:
    """Each kind of error has its number of attempts."""
    assert expected == await attempts(failure)


@pytest.mark.asyncio
async def test_kinds_share_the_retries(waits: list[float]) -> None:
    """Errors of different kinds do not each get retries of their own."""
    dns = errors.ConnectError("x", kind="dns")
    proxy = errors.ProxyError("x")
    failing = errors.ServerError("x")

    assert await attempts(dns, proxy, failing, failing) == 3


@pytest.mark.asyncio
async def test_no_retries(waits: list[float]) -> None:
    """With no retries set, nothing is tried again."""
    assert await attempts(errors.ServerError("x"), retries=0) == 1


@pytest.mark.asyncio
async def test_other_errors_pass() -> None:
    """An error that is not ours is nobody's to retry."""
    policy = retry.Policy(2, lambda waiting: None)

    async def run() -> None:
        async for attempt in policy.attempts():
            with attempt:
                raise LookupError

    with pytest.raises(LookupError):
        await run()


@pytest.mark.asyncio
async def test_waits_grow(waits: list[float]) -> None:
    """Waits double, less up to a quarter, and stop growing at eight seconds."""
    await attempts(errors.ServerError("x"), retries=8)

    assert len(waits) == 8
    for wait, most in zip(waits, [0.5, 1, 2, 4, 8, 8, 8, 8], strict=True):
        assert most * 0.75 <= wait <= most


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2", "retry-after-ms": "soon"}, 2),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds are preferred to seconds where both can be read."""
    assert seconds == retry.retry_after(headers)
