"""A burst of requests of one address: the first are answered, the others lose their connection."""

import asyncio

import pytest

from auth1.core.http import concurrency
from auth1.core.http.client_ip import LOCAL
from auth1.core.http.concurrency import BURST, BURST_AFTERWARDS, BurstLimiter
from auth1.errors import Unavailable

MINE, OTHER = "192.0.2.1", "192.0.2.2"


def rejected(limiter: BurstLimiter, address: str, count: int) -> int:
    """Begin requests in this iteration of the event loop; return how many were rejected."""
    errors = []
    for _ in range(count):
        try:
            limiter.check(address)
        except Unavailable as error:
            errors.append(error)
    assert all(error.headers["connection"] == "close" for error in errors)
    return len(errors)


async def test_burst_of_one_address_is_rejected_and_others_are_served() -> None:
    limiter = BurstLimiter()

    assert rejected(limiter, MINE, BURST) == 0
    assert rejected(limiter, MINE, 20) == 20
    assert rejected(limiter, OTHER, BURST) == 0


async def test_requests_of_many_iterations_are_no_burst() -> None:
    limiter = BurstLimiter()
    for _ in range(5):
        assert rejected(limiter, MINE, BURST) == 0
        await asyncio.sleep(0)


async def test_few_requests_are_served_after_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "AFTERWARDS_S", 60.0)
    limiter = BurstLimiter()
    rejected(limiter, MINE, BURST + 1)
    await asyncio.sleep(0)

    assert rejected(limiter, MINE, BURST_AFTERWARDS + 5) == 5
    assert rejected(limiter, OTHER, BURST) == 0


async def test_address_is_served_as_before_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "AFTERWARDS_S", 0.0)
    limiter = BurstLimiter()
    rejected(limiter, MINE, BURST + 1)
    await asyncio.sleep(0)

    assert rejected(limiter, MINE, BURST) == 0


async def test_unix_socket_without_address_is_not_limited() -> None:
    assert rejected(BurstLimiter(), LOCAL, 2 * BURST) == 0
