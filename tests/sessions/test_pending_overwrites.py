"""Entries of the session cache that could not be overwritten: kept within a bound, and the newest of each session."""

import asyncio
from typing import Any, cast

import pytest

from auth1.core.postgres import Postgres
from auth1.core.redis import Redis, RedisUnavailable
from auth1.sessions import cache
from auth1.sessions.cache import SessionCache

MAX = 4
TENANT_ID = "tn_1"


class FakeRedis:
    """A Redis that a test stops. `gate` holds the calls that will fail."""

    def __init__(self) -> None:
        self.is_stopped = True
        self.written: dict[str, bytes] = {}
        self.gate: asyncio.Event | None = None

    async def call(self, command: str, key: str, value: bytes, *options: Any) -> None:
        if self.is_stopped:
            if self.gate is not None:
                await self.gate.wait()
            raise RedisUnavailable("stopped")
        self.written[key.rpartition(":")[2]] = value


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    monkeypatch.setattr(cache, "MAX_PENDING", MAX)
    return FakeRedis()


@pytest.fixture
def sessions(redis: FakeRedis) -> SessionCache:
    return SessionCache(cast(Postgres, None), cast(Redis, redis))


async def flushed(sessions: SessionCache, redis: FakeRedis) -> set[str]:
    """Start Redis, and return the sessions that are written then."""
    redis.is_stopped, redis.gate = False, None
    await sessions.flush_pending()
    return set(redis.written)


async def test_failed_overwrites_are_written_later_up_to_the_bound(sessions: SessionCache, redis: FakeRedis) -> None:
    await sessions.revoke(TENANT_ID, [f"ses_{number}" for number in range(MAX + 2)])

    assert await flushed(sessions, redis) == {f"ses_{number}" for number in range(MAX)}


async def test_overwrites_during_a_failed_flush_stay_within_the_bound(sessions: SessionCache, redis: FakeRedis) -> None:
    await sessions.revoke(TENANT_ID, [f"old_{number}" for number in range(MAX)])
    gate = redis.gate = asyncio.Event()
    flush = asyncio.create_task(sessions.flush_pending())
    await asyncio.sleep(0)
    redis.gate = None
    await sessions.revoke(TENANT_ID, [f"new_{number}" for number in range(MAX)])
    gate.set()
    await flush
    await sessions.revoke(TENANT_ID, [f"newest_{number}" for number in range(2 * MAX)])

    assert await flushed(sessions, redis) == {f"new_{number}" for number in range(MAX)}


async def test_failed_flush_keeps_the_newer_overwrite_of_a_session(sessions: SessionCache, redis: FakeRedis) -> None:
    await sessions.invalidate(TENANT_ID, ["ses_1"])
    gate = redis.gate = asyncio.Event()
    flush = asyncio.create_task(sessions.flush_pending())
    await asyncio.sleep(0)
    redis.gate = None
    await sessions.revoke(TENANT_ID, ["ses_1"])
    gate.set()
    await flush

    await flushed(sessions, redis)

    assert redis.written == {"ses_1": b"-"}
