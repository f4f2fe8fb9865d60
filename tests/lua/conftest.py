"""Connections to a real Redis, and keys that no other test uses."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from auth1.core.redis import Redis, open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.redis import RedisServer
from tests.support.raw_redis import RawRedis

NewWire = Callable[[], Awaitable[RawRedis]]


@pytest.fixture
async def new_raw_redis(redis_server: RedisServer) -> AsyncIterator[NewWire]:
    """Open a connection; all are closed at the end."""
    opened: list[RawRedis] = []

    async def connect() -> RawRedis:
        opened.append(await RawRedis.connect(redis_server.url()))
        return opened[-1]

    yield connect
    for raw_redis in opened:
        raw_redis.close()


@pytest.fixture
async def raw_redis(new_raw_redis: NewWire) -> RawRedis:
    return await new_raw_redis()


@pytest.fixture
def key() -> str:
    """Return a rate limit key that no other test uses."""
    return new_key()


def new_key(tag: str = "") -> str:
    return f"ratelimit:{{{tag or secrets.token_hex(8)}}}:{secrets.token_hex(8)}"


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Return the service's own connection."""
    redis = open_redis(redis_server.url(), Log("error"))
    assert await redis.start()
    yield redis
    await redis.stop()
