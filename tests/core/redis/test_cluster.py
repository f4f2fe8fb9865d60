"""Redis Cluster: redirections are followed, a moved slot keeps its counts, and a promoted replica is used at once."""

import asyncio

import pytest

from auth1 import metrics
from auth1.core.ratelimit import RateLimiter
from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.core.redis import cluster as cluster_module
from auth1.core.redis.slots import key_slot
from tests.conftest import Started
from tests.core.redis.conftest import NewLogins, OpenRedis, limit
from tests.support.metric_values import value_of
from tests.support.process import until
from tests.support.redis_fleet import ClusterFleet, is_primary, is_replicated, migrate_slot, send

ACQUIRE = Script.load("ratelimit_acquire")


def tag_on(fleet: ClusterFleet, number: int, salt: str = "") -> str:
    """Return a hash tag whose slot the primary of a number has at first."""
    count = len(fleet.primaries)
    return next(tag for n in range(1000) if key_slot(tag := f"tag{salt}{n}") * count // 16384 == number)


async def nothing() -> None:
    """Do nothing while a slot is moved."""


async def remaining(redis: Redis, *names: str, tag: str) -> list[int]:
    """Acquire one request of each rate limit and return what remains."""
    decision = await RateLimiter(redis).acquire(*(limit(tag, name) for name in names))
    assert decision.limited_by is None
    return [one.remaining for one in decision.remaining]


async def test_commands_reach_the_server_of_their_slot(cluster: ClusterFleet, connect: OpenRedis) -> None:
    redis = await connect(cluster.url)
    for number, server in enumerate(cluster.primaries):
        tag = tag_on(cluster, number)
        assert await remaining(redis, "one", "two", tag=tag) == [9, 9]
        assert await send(server, "EXISTS", f"ratelimit:{{{tag}}}:one", f"ratelimit:{{{tag}}}:two") == 2
    assert redis.round_trips == 6  # each script once by its digest and once by its text: no redirection


async def test_unknown_topology_is_learned_from_redirections(cluster: ClusterFleet, connect: OpenRedis) -> None:
    redis = await connect(cluster.url)
    tag = tag_on(cluster, 2, "moved")
    await migrate_slot(key_slot(tag), cluster.primaries[2], cluster.primaries[0], nothing)

    assert await remaining(redis, "any", tag=tag) == [9]
    before = redis.round_trips
    assert await remaining(redis, "any", tag=tag) == [8]

    assert redis.round_trips == before + 1
    assert await send(cluster.primaries[0], "EXISTS", f"ratelimit:{{{tag}}}:any") == 1


async def test_every_listener_receives_what_any_server_publishes(cluster: ClusterFleet, connect: OpenRedis) -> None:
    redis = await connect(cluster.url)
    listeners = [redis.listener(f"listener{number}") for number in range(4)]
    received: list[list[str]] = [[] for _ in listeners]
    for listener, messages in zip(listeners, received, strict=True):
        listener.subscribe("any", messages.append)
        assert await listener.start()

    for number in range(6):
        await redis.call("PUBLISH", "any", f"message{number}")

    await until(lambda: all(len(messages) == 7 for messages in received), 10)
    assert {tuple(sorted(messages)) for messages in received} == {("", *(f"message{n}" for n in range(6)))}
    for listener in listeners:
        await listener.stop()


async def test_suspended_tenant_is_rejected_by_another_worker(cluster: ClusterFleet, start_app: Started) -> None:
    apis = [await start_app(background=True, REDIS_URL=cluster.url, DATABASE_POOL_SIZE="2") for _ in range(2)]
    made = await apis[0].tenant()
    guess = {"phone": "+14155550100", "code": "000000"}
    for api in apis:  # both have it in their caches
        assert (await api.post("/api/auth/verify", guess, made["api_key"])).status_code != 403

    changed = await apis[0].admin("POST", f"/api/admin/tenants/{made['tenant_id']}/suspend")
    assert changed.is_success, changed.text

    async def is_rejected() -> bool:
        answer = await apis[1].post("/api/auth/verify", guess, made["api_key"])
        return bool(answer.json()["code"] == "tenant_suspended")

    assert await until(is_rejected, 10) < 5  # entries live for 30 s


async def test_moved_slot_keeps_its_budgets_and_logins_succeed(
    cluster: ClusterFleet, connect: OpenRedis, new_logins: NewLogins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "TRY_AGAIN_S", 60.0)
    redis = await connect(cluster.url)
    tag = tag_on(cluster, 0, "live")
    source, target = cluster.primaries[:2]
    assert await remaining(redis, "one", "two", tag=tag) == [9, 9]
    fallbacks = value_of(metrics.RATE_LIMIT_FALLBACKS)
    waiting: asyncio.Task[list[int]] | None = None

    async def half_moved() -> None:
        nonlocal waiting
        assert await remaining(redis, "one", tag=tag) == [8]  # ASK: the target has it by now
        assert await remaining(redis, "two", tag=tag) == [8]
        waiting = asyncio.create_task(remaining(redis, "one", "two", tag=tag))  # TRYAGAIN until both are there
        await until(lambda: redis.round_trips > 8, 10)
        assert not waiting.done()

    async with await new_logins(cluster.url) as logins:
        await migrate_slot(key_slot(tag), source, target, half_moved)
        assert waiting is not None
        assert await waiting == [7, 7]
        await logins.more(2)

    assert await remaining(redis, "one", "two", tag=tag) == [6, 6]  # MOVED
    assert value_of(metrics.RATE_LIMIT_FALLBACKS) == fallbacks
    assert await send(target, "EXISTS", f"ratelimit:{{{tag}}}:one", f"ratelimit:{{{tag}}}:two") == 2


async def test_scripts_fail_when_a_migration_takes_too_long(
    cluster: ClusterFleet, connect: OpenRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "TRY_AGAIN_S", 0.05)
    redis = await connect(cluster.url)
    tag = tag_on(cluster, 1, "slow")
    await remaining(redis, "one", "two", tag=tag)
    attempts = []

    async def half_moved() -> None:
        for _ in range(2):
            before = redis.round_trips
            with pytest.raises(RedisUnavailable, match="TRYAGAIN"):
                await redis.run(ACQUIRE, [limit(tag, "one").key, limit(tag, "two").key], [9, 1000, 9, 1000])
            attempts.append(redis.round_trips - before)

    await migrate_slot(key_slot(tag), cluster.primaries[1], cluster.primaries[0], half_moved)

    assert attempts[0] > 1
    assert attempts[1] == 1  # the time for waiting is over, for all commands of the slot


async def test_promoted_replica_is_used_and_logins_succeed(
    cluster: ClusterFleet, connect: OpenRedis, new_logins: NewLogins
) -> None:
    redis = await connect(cluster.url)
    killed, replica, tag = cluster.primaries[2], cluster.replica, tag_on(cluster, 2, "killed")
    assert replica is not None
    assert await remaining(redis, "any", tag=tag) == [9]
    await until(lambda: is_replicated(killed), 60)
    async with await new_logins(cluster.url) as logins:
        killed.kill()
        try:
            with pytest.raises(RedisUnavailable):
                await redis.call("GET", f"{{{tag}}}")
            assert not redis.connected
            assert await remaining(redis, "any", tag=tag_on(cluster, 0)) != []  # other slots are served
            await until(lambda: is_primary(replica), 60)
            seconds = await until(lambda: redis.connected, 60)
            assert await remaining(redis, "any", tag=tag) == [8]
            await logins.more(2)
        finally:
            killed.start()
    print(f"a promoted replica is used after {seconds:.2f} s")
