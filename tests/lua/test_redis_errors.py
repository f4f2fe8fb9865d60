"""A Redis that returns errors: limits continue in this process, and no exception reaches a caller."""

from collections.abc import AsyncIterator, Iterator

import pytest

from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Redis, RedisUnavailable, Script, open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.redis import RedisServer
from tests.conftest import Started, new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_redis import RawRedis

ACQUIRE = Script.load("ratelimit_acquire")
RELEASE = Script.load("ratelimit_release")
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that a test may misconfigure."""
    with RedisServer(tmp_path_factory.mktemp("spoilt")) as server:
        yield server


@pytest.fixture
async def operator(server: RedisServer) -> AsyncIterator[RawRedis]:
    """Return a connection that misconfigures Redis; it is restored at the end."""
    raw_redis = await RawRedis.connect(server.url())
    yield raw_redis
    for words in (
        ("REPLICAOF", "NO", "ONE"),
        ("CONFIG", "SET", "maxmemory", "0"),
        ("ACL", "SETUSER", "default", "+@all"),
    ):
        assert await raw_redis.call(*words) == b"OK"
    raw_redis.close()


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    redis = open_redis(server.url(), Log("error"))
    assert await redis.start()
    yield redis
    await redis.stop()


async def run(redis: Redis, script: Script, keys: list[str], arguments: list[str | int]) -> object:
    """Run a script, with retries because the service times out after 50 ms."""
    while True:
        try:
            return await redis.run(script, keys, arguments)
        except RedisUnavailable as error:
            if str(error) not in ("not connected", "connection lost"):
                raise
            await redis.stop()
            await redis.start()


async def spoil(operator: RawRedis, how: str, key: str) -> None:
    """Make every write of a script fail."""
    commands: dict[str, tuple[str | int, ...]] = {
        "READONLY": ("REPLICAOF", "127.0.0.1", 1),
        "OOM": ("CONFIG", "SET", "maxmemory", 1),
        "NOPERM": ("ACL", "SETUSER", "default", "-evalsha", "-eval"),
        "WRONGTYPE": ("LPUSH", key, "not a bucket"),
    }
    assert await operator.call(*commands[how]) in (b"OK", 1)


async def test_flushed_script_is_loaded_again(redis: Redis, operator: RawRedis, key: str) -> None:
    for remaining in (4, 3, 2):
        assert await operator.call("SCRIPT", "FLUSH") == b"OK"
        answer = await run(redis, ACQUIRE, [key], [5, HOUR_MS])
        assert isinstance(answer, list)
        assert answer[2] <= remaining
    assert await operator.call("SCRIPT", "FLUSH") == b"OK"
    assert await run(redis, RELEASE, [key], []) == 1
    assert await operator.call("SCRIPT", "EXISTS", ACQUIRE.sha1, RELEASE.sha1) == [0, 1]


@pytest.mark.parametrize("how", ["READONLY", "OOM", "NOPERM", "WRONGTYPE"])
async def test_local_limit_applies_when_redis_returns_errors(
    redis: Redis, operator: RawRedis, key: str, how: str
) -> None:
    limiter, bucket = RateLimiter(redis), RateLimit("any", key, 3, HOUR_MS)
    await spoil(operator, how, key)
    with pytest.raises(RedisUnavailable, match=f"{how}|not connected|connection lost"):
        await redis.run(ACQUIRE, [key], [3, HOUR_MS])

    outcomes = [await limiter.acquire(bucket) for _ in range(5)]

    assert [slots.limited_by for slots in outcomes] == [None] * 3 + [bucket] * 2
    limiter.release_later(bucket)
    await limiter.flush_releases()  # raises nothing either


@pytest.mark.parametrize("how", ["READONLY", "OOM", "NOPERM"])
async def test_login_works_when_redis_returns_errors(
    start_app: Started, server: RedisServer, operator: RawRedis, twilio_server: TwilioServer, how: str
) -> None:
    api = await start_app(REDIS_URL=server.url(), DATABASE_POOL_SIZE="2")
    key = (await api.tenant())["api_key"]
    await spoil(operator, how, "")

    await log_in(api, twilio_server, key)


async def log_in(api: ApiClient, twilio_server: TwilioServer, key: str) -> None:
    phone = new_phone()
    requested = await api.post("/api/auth/request", {"phone": phone}, key)
    assert requested.status_code == 200, requested.text
    body = {"phone": phone, "code": twilio_server.code_for(phone)}
    verified = await api.post("/api/auth/verify", body, key)
    assert verified.status_code == 200, verified.text
    await api.services.limiter.flush_releases()


async def test_redis_is_used_again_after_a_failover(redis: Redis, operator: RawRedis, key: str) -> None:
    limiter, bucket = RateLimiter(redis), RateLimit("any", key, 1000, HOUR_MS)
    await spoil(operator, "READONLY", key)
    await limiter.acquire(bucket)
    assert not redis.connected  # its name may lead elsewhere by now
    assert await operator.call("EXISTS", key) == 0

    assert await operator.call("REPLICAOF", "NO", "ONE") == b"OK"

    for _ in range(1000):
        await run(redis, ACQUIRE, [key], [1000, HOUR_MS])
        if await operator.call("EXISTS", key):
            break
    assert await operator.call("EXISTS", key) == 1
