"""Sentinel: the promoted replica is used, and logins succeed meanwhile."""

from auth1.core.ratelimit import RateLimiter
from auth1.core.redis import Redis, Server
from tests.conftest import Started
from tests.core.redis.conftest import NewLogins, OpenRedis, limit
from tests.support.process import until
from tests.support.redis_fleet import SERVICE, SentinelFleet, is_primary, is_replicated, send


async def remaining(redis: Redis, tag: str) -> int:
    """Acquire one request of a rate limit and return what remains."""
    decision = await RateLimiter(redis).acquire(limit(tag))
    assert decision.limited_by is None
    return decision.remaining[0].remaining


def port(redis: Redis) -> int:
    [server] = redis.primaries()
    assert server.endpoint is not None
    return server.endpoint.port if server.connected else 0


async def test_killed_primary_is_replaced_and_logins_succeed(
    sentinels: SentinelFleet, connect: OpenRedis, new_logins: NewLogins
) -> None:
    redis = await connect(sentinels.url)
    primary, replica = await sentinels.roles()
    assert port(redis) == primary.port
    assert [await remaining(redis, "killed") for _ in range(3)] == [9, 8, 7]
    await until(lambda: is_replicated(primary), 60)
    async with await new_logins(sentinels.url) as logins:
        primary.kill()
        try:
            await until(lambda: is_primary(replica), 60)
            seconds = await until(lambda: port(redis) == replica.port, 60)
            await logins.more(2)
        finally:
            primary.start()
            await send(primary, "REPLICAOF", "127.0.0.1", replica.port)  # Sentinel would wait 10 s
    print(f"a promoted replica is used after {seconds:.2f} s")
    assert await remaining(redis, "killed") == 6


async def test_planned_failover_moves_clients_and_their_subscriptions(
    sentinels: SentinelFleet, connect: OpenRedis, start_app: Started, new_logins: NewLogins
) -> None:
    redis = await connect(sentinels.url)
    listener = redis.listener("listener")
    messages: list[str] = []
    listener.subscribe("any", messages.append)
    assert await listener.start()
    old, new = await sentinels.roles()
    assert [await remaining(redis, "planned") for _ in range(2)] == [9, 8]
    await until(lambda: is_replicated(old), 60)
    async with await new_logins(sentinels.url) as logins:
        assert await send(sentinels.sentinels[1], "SENTINEL", "FAILOVER", SERVICE) == b"OK"
        await until(lambda: is_primary(new), 60)
        seconds = await until(lambda: port(redis) == port(listener) == new.port, 60)
        await logins.more(2)
    print(f"a promoted replica is used after {seconds:.2f} s")
    assert await remaining(redis, "planned") == 7
    await redis.call("PUBLISH", "any", "after")
    await until(lambda: "after" in messages, 10)
    assert messages[-2:] == ["", "after"]  # "" empties the cache, because messages may have been lost
    await listener.stop()


async def test_server_that_is_no_longer_primary_is_left_at_once(sentinels: SentinelFleet, connect: OpenRedis) -> None:
    redis = await connect(sentinels.url)
    [server] = redis.primaries()
    assert isinstance(server, Server)
    right = server.endpoint
    wrong = sentinels.primary if port(redis) == sentinels.replica.port else sentinels.replica
    assert right is not None
    server.endpoint = right._replace(port=wrong.port)  # as if Sentinel had named another one meanwhile

    await until(lambda: server.endpoint == right and server.connected, 10)
