"""Invalidations of cached tenants: each change is published after it, and a failed publication is retried."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from auth1.authn.tenants import CHANNEL, TenantCache
from auth1.core.redis import RedisUnavailable


class ScriptedRedis:
    """Holds each command until the test decides about its reply."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.replies: list[asyncio.Future[int]] = []

    def call(self, *words: str) -> asyncio.Future[int]:
        self.calls.append(words)
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]


@pytest.fixture
def redis() -> ScriptedRedis:
    return ScriptedRedis()


@pytest.fixture
def tenants(redis: ScriptedRedis) -> TenantCache:
    unused: Any = None
    scripted: Any = redis
    listener: Any = SimpleNamespace(subscribe=lambda channel, on_message: None)
    return TenantCache(unused, scripted, listener)


async def start(publication: Any) -> asyncio.Task[None]:
    """Start a publication, until it waits for Redis."""
    task = asyncio.create_task(publication)
    await asyncio.sleep(0)
    return task


async def test_change_during_the_publication_of_an_earlier_one_is_retried(
    tenants: TenantCache, redis: ScriptedRedis
) -> None:
    first = await start(tenants.publish_invalidation("tn_1"))
    second = await start(tenants.publish_invalidation("tn_1"))
    redis.replies[0].set_result(1)
    await first
    redis.replies[1].set_exception(RedisUnavailable("connection lost"))
    await second

    third = await start(tenants.retry_publish())

    assert redis.calls == [("PUBLISH", CHANNEL, "tn_1")] * 3
    redis.replies[2].set_result(1)
    await third
    await tenants.retry_publish()
    assert len(redis.calls) == 3, "the last change is published"


async def test_publication_that_was_cancelled_is_retried(tenants: TenantCache, redis: ScriptedRedis) -> None:
    cancelled = await start(tenants.publish_invalidation("tn_1"))
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)

    retried = await start(tenants.retry_publish())

    assert redis.calls == [("PUBLISH", CHANNEL, "tn_1")] * 2
    redis.replies[1].set_result(1)
    await retried


async def test_failed_publication_leaves_later_ones_for_the_retry(tenants: TenantCache, redis: ScriptedRedis) -> None:
    for number, tenant_id in enumerate(("tn_1", "tn_2")):
        failing = await start(tenants.publish_invalidation(tenant_id))
        redis.replies[number].set_exception(RedisUnavailable("not connected"))
        await failing

    retried = await start(tenants.retry_publish())
    redis.replies[2].set_result(1)
    await asyncio.sleep(0)
    redis.replies[3].set_result(1)
    await retried

    assert {words[2] for words in redis.calls[2:]} == {"tn_1", "tn_2"}
