"""Calls leave in order."""

import asyncio

from auth1.webhooks.delivery.turns import Turn


async def test_turn_waits_for_all_earlier_ones() -> None:
    first = Turn([])
    second = Turn([first])
    third = Turn([first, second])
    left: list[str] = []

    async def leave(name: str, turn: Turn) -> None:
        await turn.wait()
        left.append(name)

    tasks = [asyncio.create_task(leave(name, turn)) for name, turn in (("third", third), ("second", second))]
    await asyncio.sleep(0)
    second.end()  # its call ended before it left
    await asyncio.sleep(0)
    assert left == []
    await leave("first", first)
    await asyncio.gather(*tasks)

    assert left[0] == "first"
    assert sorted(left) == ["first", "second", "third"]


async def test_turn_after_ended_ones_leaves_at_once() -> None:
    first = Turn([])
    first.end()

    second = Turn([first])
    await asyncio.wait_for(second.wait(), 60)

    assert second.has_ended
