"""Connections to a real Redis, and keys that no other test uses."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from auth1.core.log import Log
from auth1.core.redis import Redis
from auth1.dev.redis import RedisServer
from tests.lua.wire import Wire

NewWire = Callable[[], Awaitable[Wire]]


@pytest.fixture
async def new_wire(redis_server: RedisServer) -> AsyncIterator[NewWire]:
    """Open a connection; all are closed at the end."""
    opened: list[Wire] = []

    async def connect() -> Wire:
        opened.append(await Wire.connect(redis_server.url()))
        return opened[-1]

    yield connect
    for wire in opened:
        wire.close()


@pytest.fixture
async def wire(new_wire: NewWire) -> Wire:
    return await new_wire()


@pytest.fixture
def key() -> str:
    """Return a rate limit key that no other test uses."""
    return new_key()


def new_key(tag: str = "") -> str:
    return f"slots:{{{tag or secrets.token_hex(8)}}}:{secrets.token_hex(8)}"


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Return the service's own connection."""
    redis = Redis(redis_server.url(), Log("error"))
    assert await redis.start()
    yield redis
    await redis.stop()
