"""`ratelimit_release.lua` in a real Redis: its contract, and an exact count."""

import asyncio
import random

from auth1.core.redis import Script
from tests.lua.conftest import NewWire
from tests.lua.test_ratelimit_acquire import HOUR_MS, bucket, contract, take
from tests.support.raw_redis import RawRedis

GIVE_BACK = Script.load("ratelimit_release")


async def give_back(raw_redis: RawRedis, key: str) -> int:
    given: int = await raw_redis.run(GIVE_BACK, [key], [])
    return given


async def test_release_returns_the_documented_values(raw_redis: RawRedis, key: str) -> None:
    assert contract(GIVE_BACK) == {
        "KEYS": "the rate limit, as ratelimit_acquire.lua writes it; its newest request is released",
        "Returns": "1 when a request was released, 0 when none was counted",
    }

    assert await give_back(raw_redis, key) == 0
    assert await raw_redis.call("EXISTS", key) == 0
    await take(raw_redis, bucket(key, 5))
    assert await give_back(raw_redis, key) == 1
    assert await give_back(raw_redis, key) == 0


async def test_released_request_can_be_acquired_again(raw_redis: RawRedis, key: str) -> None:
    full = bucket(key, 2)
    for _ in range(2):
        await take(raw_redis, full)
    assert (await take(raw_redis, full))[0] == 1

    await give_back(raw_redis, key)

    assert (await take(raw_redis, full))[0] == 0
    assert (await take(raw_redis, full))[0] == 1


async def test_release_does_not_extend_the_expiry(raw_redis: RawRedis, key: str) -> None:
    await take(raw_redis, bucket(key, 5))
    await raw_redis.call("PEXPIRE", key, 5000)

    await give_back(raw_redis, key)

    assert 0 < await raw_redis.call("PTTL", key) <= 5000


async def test_release_removes_the_newest_request_first(raw_redis: RawRedis, key: str) -> None:
    tenths = ["0", "0", "3", "0", "2", "0", "0", "0", "0", "1"]
    await raw_redis.call("SET", key, "123:" + ",".join(tenths), "PX", HOUR_MS)

    given = [await give_back(raw_redis, key) for _ in range(4)]

    assert given == [1, 1, 1, 1]
    assert await raw_redis.call("GET", key) == b"123:0,0,0,0,1,0,0,0,0,1"


async def test_concurrent_acquires_and_releases_keep_the_count_exact(new_raw_redis: NewWire, key: str) -> None:
    dice = random.Random(1)
    limit = 30

    async def act() -> tuple[int, int]:
        raw_redis = await new_raw_redis()
        taken = given = 0
        for _ in range(40):
            if dice.random() < 0.6:
                taken += (await take(raw_redis, bucket(key, limit)))[0] == 0
            else:
                given += await give_back(raw_redis, key)
        return taken, given

    outcomes = await asyncio.gather(*(act() for _ in range(6)))

    taken, given = (sum(numbers) for numbers in zip(*outcomes, strict=True))
    assert given > 0
    assert taken > limit
    _, _, remaining, _ = await take(await new_raw_redis(), bucket(key, 1000))
    assert 1000 - remaining - 1 == taken - given
