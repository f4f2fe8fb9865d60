"""`ratelimit_acquire.lua` in a real Redis: its contract, its atomicity, its arithmetic."""

import asyncio
import random
import re
import time
from typing import Any

import pytest

from auth1.core.ratelimit import RateLimit
from auth1.core.redis import Script
from tests.lua.conftest import NewWire, new_key
from tests.lua.model import Model
from tests.support.raw_redis import RawRedis

ACQUIRE = Script.load("ratelimit_acquire")
HOUR_MS = 3_600_000


def bucket(key: str, limit: int, window_ms: int = HOUR_MS) -> RateLimit:
    return RateLimit("any", key, limit, window_ms)


async def acquire(raw_redis: RawRedis, *buckets: RateLimit) -> list[int]:
    arguments = [number for one in buckets for number in (one.limit, one.window_ms)]
    answer: list[int] = await raw_redis.run(ACQUIRE, [one.key for one in buckets], arguments)
    return answer


def contract(script: Script) -> dict[str, str]:
    """Return the parts of a script's comment: KEYS, ARGV, Returns."""
    lines = script.text.decode().splitlines()
    head = "\n".join(line[3:] for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("--"))])
    return {
        name: " ".join(text.split())
        for name, text in re.findall(r"^(KEYS|ARGV|Returns)((?:.*\n?)(?: .*\n?)*)", head, re.M)
    }


async def test_acquire_returns_the_documented_values(raw_redis: RawRedis, key: str) -> None:
    parts = contract(ACQUIRE)
    assert parts["KEYS"] == "the rate limits; all share one hash tag"
    assert parts["ARGV"] == "limit and window in ms for each rate limit, in the order of KEYS"
    assert parts["Returns"].startswith(
        "{limited_by, retry_after_ms, remaining 1, reset_ms 1, remaining 2, reset_ms 2, …}"
    )

    narrow, wide = bucket(f"{key}:a", 1), bucket(f"{key}:b", 3)
    limited_by, retry_after_ms, remaining_1, reset_ms_1, remaining_2, reset_ms_2 = await acquire(
        raw_redis, narrow, wide
    )

    assert (limited_by, retry_after_ms, remaining_1, remaining_2) == (0, 0, 0, 2)
    assert 0.9 * HOUR_MS < reset_ms_1 <= HOUR_MS
    assert 0.9 * HOUR_MS < reset_ms_2 <= HOUR_MS

    limited_by, retry_after_ms, remaining_1, reset_ms_1, remaining_2, reset_ms_2 = await acquire(
        raw_redis, narrow, wide
    )

    assert (limited_by, remaining_1, remaining_2) == (1, 0, 2)
    assert 0 < retry_after_ms == reset_ms_1 <= HOUR_MS


async def test_longest_wait_of_several_full_limits_is_reported(raw_redis: RawRedis, key: str) -> None:
    short, long = bucket(f"{key}:a", 1, HOUR_MS), bucket(f"{key}:b", 1, 24 * HOUR_MS)
    await acquire(raw_redis, short, long)

    limited_by, retry_after_ms, *_ = await acquire(raw_redis, short, long)

    assert limited_by == 2
    assert retry_after_ms > 0.9 * 24 * HOUR_MS


async def test_rate_limit_is_one_string_that_expires_with_its_window(raw_redis: RawRedis, key: str) -> None:
    window_ms = 60_000
    await acquire(raw_redis, bucket(key, 5, window_ms))

    assert 0.9 * window_ms < await raw_redis.call("PTTL", key) <= window_ms
    assert re.fullmatch(rb"\d+:1", await raw_redis.call("GET", key))


async def test_two_hundred_concurrent_acquires_stay_within_a_limit_of_fifty(new_raw_redis: NewWire, key: str) -> None:
    connections = [await new_raw_redis() for _ in range(8)]

    answers = await asyncio.gather(
        *(one.calls([("EVAL", ACQUIRE.text, 1, key, 50, HOUR_MS)] * 25) for one in connections)
    )

    outcomes = [reply for replies in answers for reply in replies]
    assert sum(limited_by == 0 for limited_by, *_ in outcomes) == 50
    assert sorted(remaining for limited_by, _, remaining, _ in outcomes if limited_by == 0) == list(range(50))
    assert all(retry_after_ms > 0 for limited_by, retry_after_ms, *_ in outcomes if limited_by)


async def test_several_limits_are_acquired_atomically(new_raw_redis: NewWire) -> None:
    buckets = [bucket(new_key("together"), limit) for limit in (40, 60, 90)]
    dice = random.Random(1)

    async def acquire_some() -> list[tuple[list[RateLimit], Any]]:
        one = await new_raw_redis()
        subsets = [dice.sample(buckets, dice.randint(1, 3)) for _ in range(25)]
        commands: list[tuple[str | bytes | int, ...]] = [
            (
                "EVAL",
                ACQUIRE.text,
                len(subset),
                *(b.key for b in subset),
                *(n for b in subset for n in (b.limit, HOUR_MS)),
            )
            for subset in subsets
        ]
        return list(zip(subsets, await one.calls(commands), strict=True))

    outcomes = [
        outcome for outcomes in await asyncio.gather(*(acquire_some() for _ in range(8))) for outcome in outcomes
    ]

    raw_redis = await new_raw_redis()
    for one in buckets:
        acquired = sum(one in subset for subset, (limited_by, *_) in outcomes if limited_by == 0)
        attempts = sum(one in subset for subset, _ in outcomes)
        assert attempts > one.limit
        # A request with a higher limit returns how many are acquired: one more than before, because it acquires one.
        _, _, remaining, _ = await acquire(raw_redis, one._replace(limit=1000))
        assert acquired <= one.limit
        assert 1000 - remaining - 1 == acquired
    assert any(limited_by == 0 for _, (limited_by, *_) in outcomes)
    assert any(len(subset) > 1 and limited_by for subset, (limited_by, *_) in outcomes)


async def test_full_limit_leaves_other_limits_unchanged(raw_redis: RawRedis, key: str) -> None:
    full, empty = bucket(f"{key}:full", 1), bucket(f"{key}:empty", 1)
    await acquire(raw_redis, full)

    limited_by, _, _, _, remaining, _ = await acquire(raw_redis, full, empty)

    assert (limited_by, remaining) == (1, 1)
    assert await raw_redis.call("EXISTS", empty.key) == 0


async def test_changed_limit_applies_immediately(raw_redis: RawRedis, key: str) -> None:
    for _ in range(5):
        await acquire(raw_redis, bucket(key, 5))

    assert (await acquire(raw_redis, bucket(key, 3)))[0::2] == [1, 0]
    assert (await acquire(raw_redis, bucket(key, 6)))[0::2] == [0, 0]


async def test_requests_stay_counted_when_the_clock_goes_back(raw_redis: RawRedis, key: str) -> None:
    window_ms = 1000
    future = (await milliseconds(raw_redis) + HOUR_MS) // (window_ms // 10)
    await raw_redis.call("SET", key, f"{future}:2,0,0,1,0,0,0,0,0,0", "PX", window_ms)

    limited_by, retry_after_ms, *_ = await acquire(raw_redis, bucket(key, 3, window_ms))

    assert limited_by == 1
    assert 0 < retry_after_ms <= window_ms


@pytest.mark.parametrize("seed", range(5))
async def test_script_matches_the_model_within_one_tenth(raw_redis: RawRedis, seed: int) -> None:
    # So wide a window that we are in the middle of one of its tenths, and stay there.
    window_ms = 10 * int(time.time() * 1000 / 1.5)
    dice = random.Random(seed)
    buckets = [bucket(new_key("model"), dice.randint(1, 8), window_ms + 10 * n) for n in range(3)]
    model = Model()

    for _ in range(40):
        subset = tuple(dice.sample(buckets, dice.randint(1, 3)))
        before = await milliseconds(raw_redis)
        answer = await acquire(raw_redis, *subset)
        assert_agrees(model, subset, answer, before, await milliseconds(raw_redis))


async def test_script_matches_the_model_while_the_window_slides(raw_redis: RawRedis) -> None:
    dice = random.Random(2)
    buckets = [bucket(new_key("model"), limit, 1000) for limit in (2, 3)]
    model = Model()

    for _ in range(30):
        await asyncio.sleep(dice.uniform(0, 0.15))  # the time that passes is what is tested
        subset = tuple(dice.sample(buckets, dice.randint(1, 2)))
        before = await milliseconds(raw_redis)
        answer = await acquire(raw_redis, *subset)
        assert_agrees(model, subset, answer, before, await milliseconds(raw_redis))


async def milliseconds(raw_redis: RawRedis) -> int:
    """Return the server's time."""
    seconds, microseconds = await raw_redis.call("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


def assert_agrees(model: Model, buckets: tuple[RateLimit, ...], answer: list[int], before: int, after: int) -> None:
    """Check that the model gives the same result at some time of the call, and set the model to it."""
    for moment in range(before, after + 1):
        attempt = Model()
        attempt.acquired_until.update({key: list(ends) for key, ends in model.acquired_until.items()})
        if attempt.acquire(buckets, moment) == answer:
            model.acquired_until = attempt.acquired_until
            return
    raise AssertionError(f"{answer} is the model's answer at no moment from {before} to {after}")
