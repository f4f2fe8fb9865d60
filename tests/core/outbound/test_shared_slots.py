"""Slots of calls that tenants share: bounded, fair, and never lost."""

import asyncio
import random

import pytest

from auth1.core.outbound import AtCapacity, SharedSlots

LONG_S = 600.0


class Calls:
    """Calls of tenants that end when the test says so."""

    def __init__(self, size: int) -> None:
        self.slots = SharedSlots(size)
        self.running: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, *tenant_ids: str, wait_s: float = LONG_S) -> None:
        for tenant_id in tenant_ids:
            self.tasks.append(asyncio.create_task(self._call(tenant_id, wait_s)))
            await self.settle()

    async def end_one(self, tenant_id: str) -> None:
        next(event for owner, event in self.running if owner == tenant_id).set()
        await self.settle()

    def count(self, tenant_id: str) -> int:
        return sum(owner == tenant_id for owner, _ in self.running)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def end_all(self) -> None:
        while any(not task.done() for task in self.tasks):
            for _, event in self.running:
                event.set()
            await self.settle()

    async def _call(self, tenant_id: str, wait_s: float) -> None:
        async with self.slots.slot(tenant_id, wait_s):
            mine = (tenant_id, asyncio.Event())
            self.running.append(mine)
            try:
                await mine[1].wait()
            finally:
                self.running.remove(mine)


async def test_one_tenant_leaves_half_of_the_slots_to_others() -> None:
    calls = Calls(8)

    await calls.begin(*["greedy"] * 20)
    await calls.begin(*["other"] * 20)
    await calls.begin("third")

    assert [calls.count(tenant_id) for tenant_id in ("greedy", "other", "third")] == [4, 2, 1]
    await calls.end_all()


async def test_free_slot_goes_to_the_waiting_tenant_with_the_fewest() -> None:
    calls = Calls(4)
    await calls.begin("a", "a", "a", "b", "c", "d")
    assert [calls.count(tenant_id) for tenant_id in "abcd"] == [2, 1, 1, 0]

    await calls.end_one("a")

    assert [calls.count(tenant_id) for tenant_id in "abcd"] == [1, 1, 1, 1]
    await calls.end_all()


async def test_waiting_calls_of_a_tenant_begin_in_order() -> None:
    slots, order = SharedSlots(1), []

    async def call(number: int) -> None:
        async with slots.slot("a", LONG_S):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(call(number) for number in range(10)))

    assert order == list(range(10))


async def test_call_without_a_slot_in_time_is_not_made() -> None:
    calls = Calls(1)
    await calls.begin("a")

    with pytest.raises(AtCapacity):
        async with calls.slots.slot("b", 0.001):
            raise AssertionError("the call is made")
    await calls.end_all()

    async with calls.slots.slot("b", 0.0):
        pass


async def test_cancelled_and_failed_calls_lose_no_slot() -> None:
    """Any order of ends, timeouts and cancellations, also at the same moment, leaves all slots free."""
    rng = random.Random(7)  # a fixed sequence
    calls = Calls(3)
    for _ in range(300):
        await calls.begin(rng.choice("abc"), wait_s=rng.choice((0.0, 0.0001, LONG_S)))
        if rng.random() < 0.5 and calls.running:
            rng.choice(calls.running)[1].set()
        if rng.random() < 0.3:
            rng.choice(calls.tasks).cancel()
        if rng.random() < 0.5:
            await calls.settle()
        assert len(calls.running) <= 3
    await calls.end_all()
    await asyncio.gather(*calls.tasks, return_exceptions=True)

    await calls.begin("a", "b", "c")
    assert len(calls.running) == 3
    await calls.end_all()
    assert calls.slots.is_idle
