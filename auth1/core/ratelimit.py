"""Rate limits: several buckets in one atomic step, all or none.

In Redis (`lua/take_slots.lua`) while it is there; else by the same arithmetic in this process, so that an outage of
Redis loosens a limit at most to once per worker and never stops a login.
"""

import asyncio
import math
import time
from collections import OrderedDict
from typing import NamedTuple, TypeVar

from auth1 import metrics
from auth1.core.redis import Redis, RedisAway, Script

_TAKE = Script.load("take_slots")
_GIVE_BACK = Script.load("give_back")
_LOCAL_BUCKETS = 100_000
_EMPTY = [0] * 10
_NEVER = (0.0, 0.0)

_Value = TypeVar("_Value")


class Bucket(NamedTuple):
    """A limit: `limit` slots per sliding `window_ms`, kept under `key`, shown to callers as `policy`."""

    policy: str
    key: str
    limit: int
    window_ms: int


class Level(NamedTuple):
    """What is left of a bucket, and when its next slot returns."""

    bucket: Bucket
    remaining: int
    reset_ms: int


class Slots(NamedTuple):
    """The outcome: `refused_by` is the full bucket that waits longest, None when the slots were taken."""

    refused_by: Bucket | None
    retry_after_ms: int
    levels: list[Level]


class Limiter:
    """Takes slots."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._local: OrderedDict[str, tuple[int, list[int]]] = OrderedDict()
        self._full: OrderedDict[str, tuple[float, float]] = OrderedDict()  # believed until, a slot returns at
        self._given_back: list[Bucket] = []

    async def take(self, *buckets: Bucket) -> Slots:
        """Take one slot in each bucket, or in none. All keys must share a hash tag."""
        now = time.monotonic()
        if full := [bucket for bucket in buckets if self._full.get(bucket.key, _NEVER)[0] > now]:
            # Known to be full: a flood costs neither Redis nor Postgres anything.
            longest = max(full, key=lambda bucket: self._full[bucket.key][1])
            wait_ms = math.ceil((self._full[longest.key][1] - now) * 1000)
            return Slots(longest, wait_ms, [Level(bucket, 0, wait_ms) for bucket in buckets])
        try:
            arguments = [number for bucket in buckets for number in (bucket.limit, bucket.window_ms)]
            reply = await self._redis.run(_TAKE, [bucket.key for bucket in buckets], [*arguments])
        except RedisAway:
            metrics.LOCAL_LIMITS.inc()
            reply = self._take_locally(buckets, time.time_ns() // 1_000_000)
        refused, retry_after_ms, *levels = reply
        slots = Slots(
            buckets[refused - 1] if refused else None,
            retry_after_ms,
            [Level(bucket, levels[2 * i], levels[2 * i + 1]) for i, bucket in enumerate(buckets)],
        )
        if slots.refused_by is not None:
            metrics.LIMITED.labels(slots.refused_by.policy).inc()
            # Remembered for a second at most: by then a slot may have been given back, or the limit raised.
            now, wait_s = time.monotonic(), retry_after_ms / 1000
            self._remember(self._full, slots.refused_by.key, (now + min(wait_s, 1.0), now + wait_s))
        return slots

    def give_back_soon(self, bucket: Bucket) -> None:
        """Give one slot back with the next `give_back_all`: nobody has to wait for it, and a lost one stays taken."""
        self._given_back.append(bucket)

    async def give_back_all(self) -> None:
        """Give back what `give_back_soon` has collected."""
        buckets, self._given_back = self._given_back, []
        await asyncio.gather(*(self._give_back(bucket) for bucket in buckets))

    async def _give_back(self, bucket: Bucket) -> None:
        try:
            await self._redis.run(_GIVE_BACK, [bucket.key], [])
        except RedisAway:
            counts = self._local.get(bucket.key, (0, _EMPTY))[1]
            newest = next((place for place, count in enumerate(counts) if count), None)
            if newest is not None:
                counts[newest] -= 1

    def _take_locally(self, buckets: tuple[Bucket, ...], now: int) -> list[int]:
        """Do what `take_slots.lua` does, in this process."""
        refused, retry_after = 0, 0
        states: list[tuple[Bucket, int, list[int], int, int]] = []
        for i, bucket in enumerate(buckets, start=1):
            tenth = bucket.window_ms // 10
            index = now // tenth
            at, old = self._local.get(bucket.key, (index, _EMPTY))
            counts = [0] * min(index - at, 10) + old[: max(0, 10 - (index - at))]
            used = rest = sum(counts)
            reset, wait = (index + 10) * tenth - now, 0
            for place in range(9, -1, -1):  # oldest first: when this tenth has left, `rest` is what still counts
                if counts[place]:
                    leaves = (index - place + 10) * tenth - now
                    reset = min(reset, leaves)
                    if rest + 1 > bucket.limit:
                        wait = leaves
                    rest -= counts[place]
            if wait > retry_after:
                refused, retry_after = i, wait
            states.append((bucket, index, counts, used, reset))
        answer = [refused, retry_after]
        for bucket, index, counts, used, reset in states:
            if not refused:
                counts[0] += 1
                used += 1
                self._remember(self._local, bucket.key, (index, counts))
            answer += [max(0, bucket.limit - used), reset]
        return answer

    @staticmethod
    def _remember(memory: OrderedDict[str, _Value], key: str, value: _Value) -> None:
        memory[key] = value
        memory.move_to_end(key)
        if len(memory) > _LOCAL_BUCKETS:
            memory.popitem(last=False)
