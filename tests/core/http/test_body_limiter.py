"""Bodies that are received at once: a full worker gives an address its part at the expense of the one with the most."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from auth1.core.http.concurrency import SHARES, BodyLimiter, ConcurrencyLimiter
from auth1.errors import Unavailable

MAX = 4
TOTAL = MAX * SHARES


class Bodies:
    """Half bodies of several addresses, each received by a task."""

    def __init__(self) -> None:
        self.limiter = BodyLimiter()
        self._tasks: dict[asyncio.Task[str], str] = {}  # to their addresses, in order

    async def begin(self, address: str) -> "asyncio.Task[str]":
        task = asyncio.create_task(self._receive(address))
        self._tasks[task] = address
        await self.settle()
        return task

    async def begin_all(self, addresses: list[str], count: int) -> None:
        for _ in range(count):
            for address in addresses:
                await self.begin(address)

    async def settle(self) -> None:
        """Let ended bodies leave."""
        for _ in range(5):
            await asyncio.sleep(0)

    def pending_of(self, address: str) -> int:
        return sum(not task.done() for task, owner in self._tasks.items() if owner == address)

    @property
    def pending(self) -> int:
        return sum(not task.done() for task in self._tasks)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self, address: str) -> str:
        try:
            async with asyncio.timeout(60) as deadline:
                body = self.limiter.enter(address, deadline, MAX)
                try:
                    await asyncio.Event().wait()
                finally:
                    self.limiter.leave(body)
        except Unavailable:
            return "rejected"
        except TimeoutError:
            assert body.is_evicted
            return "evicted"
        return "received"


@pytest.fixture
async def bodies() -> AsyncIterator[Bodies]:
    bodies = Bodies()
    yield bodies
    await bodies.end()
    assert bodies.limiter.total == 0


async def test_address_above_its_limit_is_rejected(bodies: Bodies) -> None:
    await bodies.begin_all(["a"], MAX)

    assert await (await bodies.begin("a")) == "rejected"
    assert bodies.pending == MAX


async def test_new_address_gets_the_oldest_place_of_the_fullest_address(bodies: Bodies) -> None:
    oldest = await bodies.begin("a")
    await bodies.begin_all(["a"], MAX - 1)
    await bodies.begin_all(["b", "c", "d"], MAX - 1)
    await bodies.begin_all(["e"], TOTAL - bodies.pending)

    await bodies.begin("new")

    assert await oldest == "evicted"
    assert (bodies.pending_of("new"), bodies.pending_of("a"), bodies.pending) == (1, MAX - 1, TOTAL)


async def test_many_addresses_with_half_bodies_get_equal_parts(bodies: Bodies) -> None:
    addresses = [f"hostile {number}" for number in range(2 * SHARES)]

    for address in addresses:
        await bodies.begin_all([address], 2 * MAX)

    assert [bodies.pending_of(address) for address in addresses] == [TOTAL // len(addresses)] * len(addresses)
    assert bodies.pending == TOTAL


async def test_address_with_an_equal_part_gets_no_more_when_full(bodies: Bodies) -> None:
    await bodies.begin_all(["a", "b", "c", "d"], MAX)

    assert await (await bodies.begin("a")) == "rejected"
    assert [bodies.pending_of(address) for address in "abcd"] == [MAX] * SHARES


async def test_full_limiter_of_single_bodies_rejects_a_new_address(bodies: Bodies) -> None:
    await bodies.begin_all([str(number) for number in range(TOTAL)], 1)

    assert await (await bodies.begin("new")) == "rejected"
    assert bodies.pending == TOTAL


async def test_place_of_a_body_that_reached_its_deadline_is_reused() -> None:
    limiter, places = BodyLimiter(), []
    async with asyncio.timeout(60) as deadline:
        for address in "abcd":
            places += [limiter.enter(address, deadline, MAX) for _ in range(MAX)]
        deadline.reschedule(0.0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            places.append(limiter.enter("new", deadline, MAX))  # its task has not left yet
    for place in places:
        limiter.leave(place)

    assert limiter.total == 0


def test_few_keys_never_use_all_concurrent_requests() -> None:
    limiter, limit = ConcurrencyLimiter(), 64
    for key in range(SHARES + 1):
        for _ in range(limit):
            try:
                limiter.enter("a kind", f"greedy {key}", limit)
            except Unavailable:
                break

    limiter.enter("a kind", "new", limit)
