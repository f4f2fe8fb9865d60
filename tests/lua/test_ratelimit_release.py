"""`ratelimit_release.lua` in a real Redis: its contract, and an exact count."""

import asyncio
import random

from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Script, Timeouts, open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.redis import RedisServer
from tests.lua.conftest import NewWire
from tests.lua.test_ratelimit_acquire import HOUR_MS, acquire, bucket, contract
from tests.support.raw_redis import RawRedis

RELEASE = Script.load("ratelimit_release")


async def release(raw_redis: RawRedis, key: str) -> int:
    released: int = await raw_redis.run(RELEASE, [key], [])
    return released


async def test_release_returns_the_documented_values(raw_redis: RawRedis, key: str) -> None:
    assert contract(RELEASE) == {
        "KEYS": "the rate limits, as ratelimit_acquire.lua writes them; all share one hash tag",
        "ARGV": "how many requests to release of each rate limit, the newest first; 1 where there is none",
        "Returns": "how many requests were released",
    }

    assert await release(raw_redis, key) == 0
    assert await raw_redis.call("EXISTS", key) == 0
    await acquire(raw_redis, bucket(key, 5))
    assert await release(raw_redis, key) == 1
    assert await release(raw_redis, key) == 0


async def test_released_request_can_be_acquired_again(raw_redis: RawRedis, key: str) -> None:
    full = bucket(key, 2)
    for _ in range(2):
        await acquire(raw_redis, full)
    assert (await acquire(raw_redis, full))[0] == 1

    await release(raw_redis, key)

    assert (await acquire(raw_redis, full))[0] == 0
    assert (await acquire(raw_redis, full))[0] == 1


async def test_release_does_not_extend_the_expiry(raw_redis: RawRedis, key: str) -> None:
    await acquire(raw_redis, bucket(key, 5))
    await raw_redis.call("PEXPIRE", key, 5000)

    await release(raw_redis, key)

    assert 0 < await raw_redis.call("PTTL", key) <= 5000


async def test_release_removes_the_newest_request_first(raw_redis: RawRedis, key: str) -> None:
    tenths = ["0", "0", "3", "0", "2", "0", "0", "0", "0", "1"]
    await raw_redis.call("SET", key, "123:" + ",".join(tenths), "PX", HOUR_MS)

    released = [await release(raw_redis, key) for _ in range(4)]

    assert released == [1, 1, 1, 1]
    assert await raw_redis.call("GET", key) == b"123:0,0,0,0,1,0,0,0,0,1"


async def test_several_limits_are_released_in_one_call(raw_redis: RawRedis, key: str) -> None:
    await raw_redis.call("SET", f"{key}:a", "123:1,0,4,0,0,0,0,0,0,0", "PX", HOUR_MS)
    await raw_redis.call("SET", f"{key}:b", "123:0,0,0,0,0,0,0,0,0,2", "PX", HOUR_MS)
    keys = [f"{key}:a", f"{key}:none", f"{key}:b"]

    assert await raw_redis.run(RELEASE, keys, [3, 1, 9]) == 5

    assert await raw_redis.call("MGET", *keys) == [b"123:0,0,2,0,0,0,0,0,0,0", None, b"123:0,0,0,0,0,0,0,0,0,0"]


async def test_pending_releases_of_a_tenant_take_one_call(redis_server: RedisServer, key: str) -> None:
    redis = open_redis(redis_server.url(), Log("error"), timeouts=Timeouts(2.0, 2.0))
    await redis.start()
    limiter = RateLimiter(redis)
    limits = [RateLimit("prefix", f"ratelimit:{{{key}}}:{number}", 5, HOUR_MS) for number in range(3)]
    for limit in [*limits, limits[0]]:
        await limiter.acquire(limit)
        limiter.release_later(limit)
    before = redis.round_trips

    await limiter.flush_releases()
    await limiter.flush_releases()

    assert redis.round_trips - before <= 2  # the second when Redis does not know the script yet
    assert [(await limiter.acquire(limit)).remaining[0].remaining for limit in limits] == [4, 4, 4]
    await redis.stop()


async def test_concurrent_acquires_and_releases_keep_the_count_exact(new_raw_redis: NewWire, key: str) -> None:
    dice = random.Random(1)
    limit = 30

    async def act() -> tuple[int, int]:
        raw_redis = await new_raw_redis()
        acquired = released = 0
        for _ in range(40):
            if dice.random() < 0.6:
                acquired += (await acquire(raw_redis, bucket(key, limit)))[0] == 0
            else:
                released += await release(raw_redis, key)
        return acquired, released

    outcomes = await asyncio.gather(*(act() for _ in range(6)))

    acquired, released = (sum(numbers) for numbers in zip(*outcomes, strict=True))
    assert released > 0
    assert acquired > limit
    _, _, remaining, _ = await acquire(await new_raw_redis(), bucket(key, 1000))
    assert 1000 - remaining - 1 == acquired - released
