"""The exposures of a worker on a real Redis and PostgreSQL, with tenants that no other test uses."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from auth1.core.postgres import Postgres
from auth1.core.ratelimit import RateLimiter
from auth1.core.redis import Redis, Timeouts, open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.redis import RedisServer
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.messages import Message
from tests.support.raw_redis import RawRedis

PATIENT = Timeouts(connect_s=5, call_s=10)  # a busy machine is not an unavailable Redis
NOON = 1_700_000_000.0
BUDGET = 10.0

NewExposures = Callable[..., Awaitable[Exposures]]
NewMessage = Callable[..., Message]


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[Postgres]:
    postgres = Postgres(database_url, Log("error"), size=4, ready=1, timeout_scale=10)
    await postgres.start()
    yield postgres
    await postgres.stop()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    redis = open_redis(redis_server.url(), Log("error"), timeouts=PATIENT)
    assert await redis.start()
    yield redis
    await redis.stop()


@pytest.fixture
async def raw_redis(redis_server: RedisServer) -> AsyncIterator[RawRedis]:
    raw_redis = await RawRedis.connect(redis_server.url())
    yield raw_redis
    raw_redis.close()


@pytest.fixture
async def new_exposures(redis_server: RedisServer, postgres: Postgres) -> AsyncIterator[NewExposures]:
    """Return a function that makes the exposures of another worker, with a connection of its own or a given one."""
    connections: list[Redis] = []

    async def make(*, url: str | None = None, redis: Redis | None = None, workers: int = 1) -> Exposures:
        if redis is None:
            redis = open_redis(url or redis_server.url(), Log("error"), timeouts=PATIENT)
            await redis.start()
            connections.append(redis)
        return Exposures(redis, postgres, RateLimiter(redis), exposure_budget=BUDGET, workers=workers)

    yield make
    for redis in connections:
        await redis.stop()


@pytest.fixture
async def exposures(new_exposures: NewExposures) -> Exposures:
    return await new_exposures()


def new_tenant() -> str:
    return f"tn_{secrets.token_hex(8)}"


@pytest.fixture
def message() -> Message:
    """Return a message of a new tenant."""
    tenant_id = new_tenant()
    return Message(
        tenant_id, "+12025550100", number="+12025550100", country="US", price=0.05, address="203.0.113.7", code_s=600
    )
