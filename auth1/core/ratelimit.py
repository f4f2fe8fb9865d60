"""Rate limits: several acquired in one atomic step, all or none.

Redis runs `lua/ratelimit_acquire.lua`. While Redis is unavailable, this process does the same arithmetic: an outage
loosens a limit at most to once per worker and never stops a login.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from auth1 import metrics
from auth1.core.http.client_ip import rate_limit_prefix
from auth1.core.http.request import Request
from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.errors import RateLimited

_ACQUIRE = Script.load("ratelimit_acquire")
_RELEASE = Script.load("ratelimit_release")
_LOCAL_KEYS = 50_000
_FULL_KEYS = 10_000  # limits that were exhausted within the last second
_RELEASED_AT_ONCE = 200  # rate limits of one call, which takes about a millisecond
_EMPTY = [0] * 10  # counts of the ten parts of a window, newest first
_NEVER = (0.0, 0.0)

_Value = TypeVar("_Value")


class RateLimit(NamedTuple):
    """A limit of `limit` requests per sliding `window_ms`, stored under `key`, shown to callers as `policy`."""

    policy: str
    key: str
    limit: int
    window_ms: int


class ClientRateLimit(NamedTuple):
    """A rate limit per client address (IPv6: per /64). `size` reads limit and window (ms) from the settings."""

    policy: str
    size: Callable[[Any], tuple[int, int]]

    def of(self, settings: object, address: str, scope: str = "") -> RateLimit:
        """Return the limit of one address; each scope has a limit of its own."""
        key = f"ratelimit:{{{scope}{rate_limit_prefix(address)}}}:{self.policy}"
        return RateLimit(self.policy, key, *self.size(settings))


class Remaining(NamedTuple):
    """The requests that a rate limit still allows, and the time until the next one returns."""

    rate_limit: RateLimit
    remaining: int
    reset_ms: int


class Decision(NamedTuple):
    """The outcome: `limited_by` is the exhausted limit with the longest wait; None when all were acquired."""

    limited_by: RateLimit | None
    retry_after_ms: int
    remaining: list[Remaining]


class RateLimiter:
    """Acquires and releases rate limits."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._local: OrderedDict[str, tuple[int, list[int]]] = OrderedDict()
        self._full: OrderedDict[str, tuple[float, float]] = (
            OrderedDict()
        )  # cached until, available at (monotonic seconds)
        self._releases: dict[str, int] = {}  # requests to release, by key

    async def acquire(self, *rate_limits: RateLimit) -> Decision:
        """Acquire one request of each rate limit, or of none. All keys must share a hash tag."""
        if (known := self.known_full(*rate_limits)) is not None:
            return known
        try:
            arguments = [number for rate_limit in rate_limits for number in (rate_limit.limit, rate_limit.window_ms)]
            reply = await self._redis.run(_ACQUIRE, [rate_limit.key for rate_limit in rate_limits], [*arguments])
        except RedisUnavailable:
            metrics.RATE_LIMIT_FALLBACKS.inc()
            reply = self.acquire_locally(rate_limits, time.time_ns() // 1_000_000)
        return self.decision_of(rate_limits, reply)

    def decision_of(self, rate_limits: Sequence[RateLimit], reply: Sequence[int]) -> Decision:
        """Return the decision of a reply: limited_by (an index, from 1), retry_after_ms, remaining 1, reset_ms 1, …"""
        limited_by, retry_after_ms = reply[0], reply[1]
        decision = Decision(
            rate_limits[limited_by - 1] if limited_by else None,
            retry_after_ms,
            [Remaining(rate_limit, reply[2 * i + 2], reply[2 * i + 3]) for i, rate_limit in enumerate(rate_limits)],
        )
        if decision.limited_by is not None:
            metrics.LIMITED[decision.limited_by.policy].inc()
            # Cached for at most a second: by then a request may have been released, or the limit raised.
            now, wait_s = time.monotonic(), retry_after_ms / 1000
            self._remember(self._full, decision.limited_by.key, (now + min(wait_s, 1.0), now + wait_s), _FULL_KEYS)
        return decision

    def known_full(self, *rate_limits: RateLimit) -> Decision | None:
        """Return the decision where a limit was full a moment ago: a flood costs neither Redis nor PostgreSQL anything.

        None says nothing about the limits.
        """
        now = time.monotonic()
        full = [rate_limit for rate_limit in rate_limits if self._full.get(rate_limit.key, _NEVER)[0] > now]
        if not full:
            return None
        longest = max(full, key=lambda rate_limit: self._full[rate_limit.key][1])
        wait_ms = math.ceil((self._full[longest.key][1] - now) * 1000)
        return Decision(longest, wait_ms, [Remaining(rate_limit, 0, wait_ms) for rate_limit in rate_limits])

    def keep_full(self, rate_limit: RateLimit) -> None:
        """Let `known_full` find a limit full for another second, if no request has returned since it was full.

        Not for limits of which requests are released.
        """
        now, available_at = time.monotonic(), self._full.get(rate_limit.key, _NEVER)[1]
        if available_at > now:
            self._full[rate_limit.key] = (now + min(available_at - now, 1.0), available_at)

    def release_later(self, rate_limit: RateLimit) -> None:
        """Release one request with the next `flush_releases`, so that the caller need not wait."""
        self._releases[rate_limit.key] = self._releases.get(rate_limit.key, 0) + 1

    async def flush_releases(self) -> None:
        """Release everything that `release_later` collected, with one call for the limits of a hash tag.

        The first call goes alone, so that an unavailable Redis fails one call and not all of them.
        """
        releases, self._releases = self._releases, {}
        by_tag: dict[str, list[str]] = {}
        for key in releases:
            by_tag.setdefault(key.partition("}")[0], []).append(key)
        calls = [
            {key: releases[key] for key in keys[start : start + _RELEASED_AT_ONCE]}
            for keys in by_tag.values()
            for start in range(0, len(keys), _RELEASED_AT_ONCE)
        ]
        if calls:
            await self._release(calls[0])
            await asyncio.gather(*(self._release(call) for call in calls[1:]))

    async def _release(self, releases: Mapping[str, int]) -> None:
        try:
            await self._redis.run(_RELEASE, list(releases), list(releases.values()))
        except RedisUnavailable:
            for key, wanted in releases.items():
                counts, left = self._local.get(key, (0, _EMPTY))[1], wanted
                for place, count in enumerate(counts):
                    if taken := min(left, count):
                        counts[place] -= taken
                        left -= taken

    def acquire_locally(self, rate_limits: Sequence[RateLimit], now: int, *, acquire: bool = True) -> list[int]:
        """Do the arithmetic of `ratelimit_acquire.lua` in this process; without `acquire`, only read."""
        limited_by, retry_after = 0, 0
        states: list[tuple[RateLimit, int, list[int], int, int]] = []
        for i, rate_limit in enumerate(rate_limits, start=1):
            tenth = rate_limit.window_ms // 10
            index = now // tenth
            at, old = self._local.get(rate_limit.key, (index, _EMPTY))
            counts = [0] * min(index - at, 10) + old[: max(0, 10 - (index - at))]
            used = rest = sum(counts)
            reset, wait = (index + 10) * tenth - now, 0
            for place in range(9, -1, -1):  # oldest first: `rest` counts what remains after this tenth has left
                if counts[place]:
                    leaves = (index - place + 10) * tenth - now
                    reset = min(reset, leaves)
                    if rest + 1 > rate_limit.limit:
                        wait = leaves
                    rest -= counts[place]
            if wait > retry_after:
                limited_by, retry_after = i, wait
            states.append((rate_limit, index, counts, used, reset))
        reply = [limited_by, retry_after]
        for rate_limit, index, counts, used, reset in states:
            if acquire and not limited_by:
                counts[0] += 1
                used += 1
                self._remember(self._local, rate_limit.key, (index, counts), _LOCAL_KEYS)
            reply += [max(0, rate_limit.limit - used), reset]
        return reply

    @staticmethod
    def _remember(memory: OrderedDict[str, _Value], key: str, value: _Value, size: int) -> None:
        memory[key] = value
        memory.move_to_end(key)
        if len(memory) > size:
            memory.popitem(last=False)

    async def acquire_for_client(
        self, request: Request[Any], settings: object, rate_limit: ClientRateLimit, scope: str = ""
    ) -> RateLimit:
        """Acquire one request of the client's limit, and return the limit. Raises RateLimited."""
        limit = rate_limit.of(settings, request.client, scope)
        raise_if_limited(request, await self.acquire(limit))
        return limit

    def check_known_full(self, request: Request[Any], settings: object, rate_limit: ClientRateLimit) -> None:
        """Check without a round trip whether the client's limit was full a moment ago. Raises RateLimited."""
        if (full := self.known_full(rate_limit.of(settings, request.client))) is not None:
            raise_if_limited(request, full)


def raise_if_limited(request: Request[Any], decision: Decision) -> None:
    """Add the RateLimit headers (IETF draft 10) to the response. Raises RateLimited when a limit is exceeded."""
    shown = [level for level in decision.remaining if decision.limited_by in (None, level.rate_limit)]
    policy = ", ".join([f'"{limit.policy}";q={limit.limit};w={_seconds(limit.window_ms)}' for limit, _, _ in shown])
    state = ", ".join(
        [f'"{limit.policy}";r={remaining};t={_seconds(reset_ms)}' for limit, remaining, reset_ms in shown]
    )
    request.headers += [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
    if decision.limited_by is not None:
        raise RateLimited(retry_after=_seconds(decision.retry_after_ms))


def _seconds(milliseconds: int) -> int:
    return max(1, math.ceil(milliseconds / 1000))
