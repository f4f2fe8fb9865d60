"""`ratelimit_release.lua` in a real Redis: its contract, and an exact count."""

import asyncio
import random

from auth1.core.redis import Script
from tests.lua.conftest import NewWire
from tests.lua.test_ratelimit_acquire import HOUR_MS, bucket, contract, take
from tests.lua.wire import Wire

GIVE_BACK = Script.load("ratelimit_release")


async def give_back(wire: Wire, key: str) -> int:
    given: int = await wire.run(GIVE_BACK, [key], [])
    return given


async def test_release_returns_the_documented_values(wire: Wire, key: str) -> None:
    assert contract(GIVE_BACK) == {
        "KEYS": "the rate limit, as ratelimit_acquire.lua writes it; its newest request is released",
        "Returns": "1 when a request was released, 0 when none was counted",
    }

    assert await give_back(wire, key) == 0
    assert await wire.call("EXISTS", key) == 0
    await take(wire, bucket(key, 5))
    assert await give_back(wire, key) == 1
    assert await give_back(wire, key) == 0


async def test_released_request_can_be_acquired_again(wire: Wire, key: str) -> None:
    full = bucket(key, 2)
    for _ in range(2):
        await take(wire, full)
    assert (await take(wire, full))[0] == 1

    await give_back(wire, key)

    assert (await take(wire, full))[0] == 0
    assert (await take(wire, full))[0] == 1


async def test_release_does_not_extend_the_expiry(wire: Wire, key: str) -> None:
    await take(wire, bucket(key, 5))
    await wire.call("PEXPIRE", key, 5000)

    await give_back(wire, key)

    assert 0 < await wire.call("PTTL", key) <= 5000


async def test_release_removes_the_newest_request_first(wire: Wire, key: str) -> None:
    tenths = ["0", "0", "3", "0", "2", "0", "0", "0", "0", "1"]
    await wire.call("SET", key, "123:" + ",".join(tenths), "PX", HOUR_MS)

    given = [await give_back(wire, key) for _ in range(4)]

    assert given == [1, 1, 1, 1]
    assert await wire.call("GET", key) == b"123:0,0,0,0,1,0,0,0,0,1"


async def test_concurrent_acquires_and_releases_keep_the_count_exact(new_wire: NewWire, key: str) -> None:
    dice = random.Random(1)
    limit = 30

    async def act() -> tuple[int, int]:
        wire = await new_wire()
        taken = given = 0
        for _ in range(40):
            if dice.random() < 0.6:
                taken += (await take(wire, bucket(key, limit)))[0] == 0
            else:
                given += await give_back(wire, key)
        return taken, given

    outcomes = await asyncio.gather(*(act() for _ in range(6)))

    taken, given = (sum(numbers) for numbers in zip(*outcomes, strict=True))
    assert given > 0
    assert taken > limit
    _, _, remaining, _ = await take(await new_wire(), bucket(key, 1000))
    assert 1000 - remaining - 1 == taken - given
