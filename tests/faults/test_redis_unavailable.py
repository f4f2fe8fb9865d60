"""Redis faults: logins continue, a slow Redis is not called again, and a recovered Redis is used immediately."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from auth1.dev.redis import RedisServer
from tests.conftest import new_phone
from tests.faults.conftest import Launcher, redis_command
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer

Trouble = Callable[[RedisServer], Awaitable[None]]


async def killed(redis: RedisServer) -> None:
    redis.kill()


async def frozen(redis: RedisServer) -> None:
    redis.freeze()


async def back(redis: RedisServer) -> None:
    redis.thaw() if redis.running else redis.start()


async def full(redis: RedisServer) -> None:
    await redis_command(redis, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    await redis_command(redis, "CONFIG", "SET", "maxmemory", "1")


async def roomy(redis: RedisServer) -> None:
    await redis_command(redis, "CONFIG", "SET", "maxmemory", "0")


async def replica(redis: RedisServer) -> None:
    """Make the server a read-only replica, as after a failover."""
    await redis_command(redis, "REPLICAOF", "127.0.0.1", "1")


async def master(redis: RedisServer) -> None:
    await redis_command(redis, "REPLICAOF", "NO", "ONE")


async def flushed(redis: RedisServer) -> None:
    await redis_command(redis, "FLUSHALL")
    await redis_command(redis, "SCRIPT", "FLUSH")


async def healed(redis: RedisServer) -> None:
    """Do nothing; a flush needs no repair."""


@asynccontextmanager
async def trouble(redis: RedisServer, begin: Trouble, end: Trouble) -> AsyncIterator[None]:
    await begin(redis)
    try:
        yield
    finally:
        await end(redis)


async def log_in(server: Auth1, carrier: TwilioServer, key: str) -> None:
    """Request a code and verify it."""
    phone = new_phone()
    requested = await server.ask(phone, key)
    assert (requested.status_code, requested.json()["status"]) == (200, "sent"), requested.text
    answered = await server.answer(phone, carrier.code_for(phone), key)
    assert answered.status_code == 200, answered.text


async def health(server: Auth1) -> tuple[int, str, str]:
    answer = await server.client.get("/health")
    return answer.status_code, answer.json()["status"], answer.json()["redis"]


async def well(server: Auth1) -> bool:
    return await health(server) == (200, "healthy", "connected")


def say(what: str, seconds: float) -> None:
    """Print a measurement for pytest -s or -rP; no test depends on it."""
    print(f"{what}: {seconds:.2f} s", file=sys.stderr)


@pytest.mark.parametrize(("begin", "end"), [(killed, back), (frozen, back), (replica, master)])
async def test_logins_work_without_redis_and_redis_is_used_on_recovery(
    server: Auth1, own_redis: RedisServer, carrier: TwilioServer, begin: Trouble, end: Trouble
) -> None:
    await until(lambda: well(server))
    key = (await server.tenant())["api_key"]
    failed_before = await server.metric("auth1_redis_errors_total")
    local_before = await server.metric("auth1_rate_limit_fallbacks_total")

    async with trouble(own_redis, begin, end):
        for _ in range(10):
            await log_in(server, carrier, key)
        assert (
            await server.metric("auth1_rate_limit_fallbacks_total") - local_before >= 25
        )  # of 30 limits that were taken
        if begin is not replica:
            assert (await health(server))[:2] == (200, "degraded")
            # One call pays the time-out, with those that are under way beside it; all others fail at once.
            assert await server.metric("auth1_redis_errors_total") - failed_before <= 3

    say(f"after {begin.__name__}, redis is used again in", await until(lambda: well(server)))
    await flushed(own_redis)
    await log_in(server, carrier, key)
    assert await redis_command(own_redis, "KEYS", "ratelimit:*")


async def test_logins_work_with_a_full_redis(server: Auth1, own_redis: RedisServer, carrier: TwilioServer) -> None:
    key = (await server.tenant())["api_key"]
    await log_in(server, carrier, key)

    async with trouble(own_redis, full, roomy):
        local_before = await server.metric("auth1_rate_limit_fallbacks_total")
        for _ in range(5):
            await log_in(server, carrier, key)
        assert await server.metric("auth1_rate_limit_fallbacks_total") - local_before == 15

    local_before = await server.metric("auth1_rate_limit_fallbacks_total")
    await log_in(server, carrier, key)
    assert await server.metric("auth1_rate_limit_fallbacks_total") == local_before


async def test_redis_flush_resets_no_limit_and_loses_no_code(
    server: Auth1, own_redis: RedisServer, carrier: TwilioServer, phone: str
) -> None:
    tenant = await server.tenant(rate_limit_per_hour=1, max_otp_attempts=2)
    key = tenant["api_key"]
    assert (await server.ask(phone, key)).status_code == 200
    code = carrier.code_for(phone)
    assert (await server.answer(phone, str((int(code) + 1) % 1_000_000).zfill(6), key)).status_code == 400

    await flushed(own_redis)

    rejected = await server.ask(phone, key)
    assert (rejected.status_code, rejected.json()["code"]) == (429, "rate_limited")
    assert (await server.answer(phone, str((int(code) + 2) % 1_000_000).zfill(6), key)).status_code == 400
    exhausted = await server.answer(phone, code, key)
    assert (exhausted.status_code, exhausted.json()["code"]) == (429, "too_many_attempts")


async def test_redis_flushes_do_not_affect_concurrent_logins(
    server: Auth1, own_redis: RedisServer, carrier: TwilioServer
) -> None:
    key = (await server.tenant())["api_key"]

    async def flush_often() -> None:
        while True:
            await flushed(own_redis)
            await asyncio.sleep(0.01)

    flushing = asyncio.create_task(flush_often())
    await asyncio.gather(*(log_in(server, carrier, key) for _ in range(15)))
    assert not flushing.done()
    flushing.cancel()
    assert (await health(server))[1] == "healthy"


async def test_concurrent_logins_survive_a_redis_freeze(
    server: Auth1, own_redis: RedisServer, carrier: TwilioServer
) -> None:
    await until(lambda: well(server))
    key = (await server.tenant())["api_key"]
    logins = [asyncio.create_task(log_in(server, carrier, key)) for _ in range(8)]
    await asyncio.sleep(0)

    async with trouble(own_redis, frozen, back):
        await asyncio.gather(*logins)
    await until(lambda: well(server))


async def test_server_starts_without_redis_and_connects_later(
    module_launcher: Launcher, own_redis: RedisServer, carrier: TwilioServer
) -> None:
    own_redis.stop()
    try:
        async with module_launcher() as server:
            assert f"Redis unreachable: {own_redis.url()} (connection refused)\n" in server.text()
            await until(
                lambda: bool(server.lines("Redis is unavailable; rate limits fall back to per-process counters"))
            )
            assert await health(server) == (200, "degraded", "disconnected")
            key = (await server.tenant())["api_key"]
            await log_in(server, carrier, key)

            own_redis.start()

            say("redis, absent at the start, is used in", await until(lambda: well(server)))
            await log_in(server, carrier, key)
            assert await redis_command(own_redis, "KEYS", "ratelimit:*")
    finally:
        await back(own_redis)
