"""Rate limits: several acquired in one atomic step, all or none.

Redis runs `lua/ratelimit_acquire.lua`. While Redis is unavailable, this process does the same arithmetic: an outage
loosens a limit at most to once per worker and never stops a login.
"""

import asyncio
import math
import time
from collections import OrderedDict
from typing import NamedTuple, TypeVar

from auth1 import metrics
from auth1.core.redis import Redis, RedisUnavailable, Script

_ACQUIRE = Script.load("ratelimit_acquire")
_RELEASE = Script.load("ratelimit_release")
_LOCAL_KEYS = 100_000
_EMPTY = [0] * 10
_NEVER = (0.0, 0.0)

_Value = TypeVar("_Value")


class RateLimit(NamedTuple):
    """A limit: `limit` slots per sliding `window_ms`, kept under `key`, shown to callers as `policy`."""

    policy: str
    key: str
    limit: int
    window_ms: int


class Remaining(NamedTuple):
    """What is left of a rate_limit, and when its next slot returns."""

    rate_limit: RateLimit
    remaining: int
    reset_ms: int


class Decision(NamedTuple):
    """The outcome: `limited_by` is the full rate_limit that waits longest, None when the slots were taken."""

    limited_by: RateLimit | None
    retry_after_ms: int
    levels: list[Remaining]


class RateLimiter:
    """Takes slots."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._local: OrderedDict[str, tuple[int, list[int]]] = OrderedDict()
        self._full: OrderedDict[str, tuple[float, float]] = OrderedDict()  # believed until, a slot returns at
        self._releases: list[RateLimit] = []

    async def acquire(self, *rate_limits: RateLimit) -> Decision:
        """Take one slot in each rate_limit, or in none. All keys must share a hash tag."""
        now = time.monotonic()
        if full := [rate_limit for rate_limit in rate_limits if self._full.get(rate_limit.key, _NEVER)[0] > now]:
            # Known to be full: a flood costs neither Redis nor Postgres anything.
            longest = max(full, key=lambda rate_limit: self._full[rate_limit.key][1])
            wait_ms = math.ceil((self._full[longest.key][1] - now) * 1000)
            return Decision(longest, wait_ms, [Remaining(rate_limit, 0, wait_ms) for rate_limit in rate_limits])
        try:
            arguments = [number for rate_limit in rate_limits for number in (rate_limit.limit, rate_limit.window_ms)]
            reply = await self._redis.run(_ACQUIRE, [rate_limit.key for rate_limit in rate_limits], [*arguments])
        except RedisUnavailable:
            metrics.RATE_LIMIT_FALLBACKS.inc()
            reply = self._acquire_locally(rate_limits, time.time_ns() // 1_000_000)
        refused, retry_after_ms, *levels = reply
        slots = Decision(
            rate_limits[refused - 1] if refused else None,
            retry_after_ms,
            [Remaining(rate_limit, levels[2 * i], levels[2 * i + 1]) for i, rate_limit in enumerate(rate_limits)],
        )
        if slots.limited_by is not None:
            metrics.LIMITED.labels(slots.limited_by.policy).inc()
            # DevState for a second at most: by then a slot may have been given back, or the limit raised.
            now, wait_s = time.monotonic(), retry_after_ms / 1000
            self._remember(self._full, slots.limited_by.key, (now + min(wait_s, 1.0), now + wait_s))
        return slots

    def release_later(self, rate_limit: RateLimit) -> None:
        """Give one slot back with the next `flush_releases`: nobody has to wait for it, and a lost one stays taken."""
        self._releases.append(rate_limit)

    async def flush_releases(self) -> None:
        """Give back what `release_later` has collected."""
        rate_limits, self._releases = self._releases, []
        await asyncio.gather(*(self._release(rate_limit) for rate_limit in rate_limits))

    async def _release(self, rate_limit: RateLimit) -> None:
        try:
            await self._redis.run(_RELEASE, [rate_limit.key], [])
        except RedisUnavailable:
            counts = self._local.get(rate_limit.key, (0, _EMPTY))[1]
            newest = next((place for place, count in enumerate(counts) if count), None)
            if newest is not None:
                counts[newest] -= 1

    def _acquire_locally(self, rate_limits: tuple[RateLimit, ...], now: int) -> list[int]:
        """Do what `ratelimit_acquire.lua` does, in this process."""
        refused, retry_after = 0, 0
        states: list[tuple[RateLimit, int, list[int], int, int]] = []
        for i, rate_limit in enumerate(rate_limits, start=1):
            tenth = rate_limit.window_ms // 10
            index = now // tenth
            at, old = self._local.get(rate_limit.key, (index, _EMPTY))
            counts = [0] * min(index - at, 10) + old[: max(0, 10 - (index - at))]
            used = rest = sum(counts)
            reset, wait = (index + 10) * tenth - now, 0
            for place in range(9, -1, -1):  # oldest first: when this tenth has left, `rest` is what still counts
                if counts[place]:
                    leaves = (index - place + 10) * tenth - now
                    reset = min(reset, leaves)
                    if rest + 1 > rate_limit.limit:
                        wait = leaves
                    rest -= counts[place]
            if wait > retry_after:
                refused, retry_after = i, wait
            states.append((rate_limit, index, counts, used, reset))
        answer = [refused, retry_after]
        for rate_limit, index, counts, used, reset in states:
            if not refused:
                counts[0] += 1
                used += 1
                self._remember(self._local, rate_limit.key, (index, counts))
            answer += [max(0, rate_limit.limit - used), reset]
        return answer

    @staticmethod
    def _remember(memory: OrderedDict[str, _Value], key: str, value: _Value) -> None:
        memory[key] = value
        memory.move_to_end(key)
        if len(memory) > _LOCAL_KEYS:
            memory.popitem(last=False)
