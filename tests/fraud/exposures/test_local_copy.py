"""Redis is unavailable: a worker decides on its own copy, and Redis learns of it later."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from auth1.core.ratelimit import RateLimit
from auth1.core.redis import Redis
from auth1.dev.redis import RedisServer
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.local_copy import share_of
from auth1.fraud.exposures.messages import Message, read_state
from auth1.fraud.policy import FraudPolicy, FraudRule, FraudRules
from tests.fraud.exposures.conftest import NOON, NewExposures
from tests.support.raw_redis import RawRedis

POLICY = FraudPolicy()
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
async def alone(new_exposures: NewExposures) -> Exposures:
    """Return the exposures of one of two workers without Redis."""
    return await new_exposures(url=NOWHERE, workers=2)


@pytest.fixture
async def server(redis_server: RedisServer) -> AsyncIterator[RawRedis]:
    raw_redis = await RawRedis.connect(redis_server.url())
    yield raw_redis
    raw_redis.close()


@pytest.mark.parametrize(("workers", "sent"), [(1, 6), (2, 3), (4, 1), (64, 1)])
async def test_allowance_is_divided_by_the_workers(
    new_exposures: NewExposures, message: Message, workers: int, sent: int
) -> None:
    exposures = await new_exposures(url=NOWHERE, workers=workers)

    outcomes = [await exposures.acquire(POLICY, message, now=NOON) for _ in range(10)]

    assert sum(one.is_acquired for one in outcomes) == sent
    assert all(one.is_local for one in outcomes)
    assert outcomes[-1].evaluate().loads


async def test_rate_limits_and_scopes_are_acquired_together_without_redis(alone: Exposures, message: Message) -> None:
    limit = RateLimit("tenant", f"ratelimit:{{{message.tenant_id}}}:tenant", 5, 60_000)
    tight = RateLimit("identifier", f"ratelimit:{{{message.tenant_id}}}:identifier", 1, 60_000)
    assert (await alone.acquire(POLICY, message._replace(number=None), (tight,), now=NOON)).is_acquired

    limited = await alone.acquire(POLICY, message, (tight, limit), now=NOON)
    outcomes = [await alone.acquire(POLICY, message, (limit,), now=NOON) for _ in range(5)]

    assert (limited.is_acquired, limited.limits.limited_by) == (False, tight)
    assert [one.is_acquired for one in outcomes] == [True] * 3 + [False] * 2
    assert outcomes[-1].limits.remaining[0].remaining == 2


async def test_right_code_and_returned_message_count_without_redis(alone: Exposures, message: Message) -> None:
    for _ in range(3):
        await alone.acquire(POLICY, message, now=NOON)
    alone.settlements.verified_later(POLICY, message, now=NOON)
    alone.settlements.returned_later(POLICY, message, now=NOON)
    await alone.settlements.flush()

    assert sum([(await alone.acquire(POLICY, message, now=NOON)).is_acquired for _ in range(5)]) == 3


async def test_proof_is_redeemed_once_without_redis(alone: Exposures, message: Message) -> None:
    for _ in range(3):
        await alone.acquire(POLICY, message, now=NOON)

    solved = message._replace(proof="5" * 32)
    proofs = [(await alone.acquire(POLICY, solved, now=NOON)).proof for _ in range(3)]

    assert proofs == ["redeemed", "used", "used"]


async def test_guessing_is_noticed_without_redis(alone: Exposures, message: Message) -> None:
    for _ in range(31):
        alone.settlements.wrong_code_later(POLICY, message.tenant_id, now=NOON)
    await alone.settlements.flush()

    assert (await alone.acquire(POLICY, message, now=NOON)).is_guessed
    assert (await alone.acquire(POLICY, message._replace(number=None), now=NOON + 60)).is_guessed
    assert not (await alone.acquire(POLICY, message, now=NOON + 3000)).is_guessed


async def test_wide_states_begin_with_this_workers_share(
    new_exposures: NewExposures, redis: Redis, message: Message
) -> None:
    exposures = await new_exposures(redis=redis, workers=2)
    wide = FraudPolicy(
        rules=msgspec.structs.replace(
            FraudRules(),
            **{name: FraudRule(0, "off") for name in ("block_of_1000", "block_of_10000", "address", "network")},
        )
    )
    for _ in range(8):
        assert (await exposures.acquire(wide, message._replace(price=0.5), now=NOON)).is_acquired
    await redis.stop()

    local = await exposures.acquire(wide, message._replace(price=0.5), now=NOON)

    assert local.is_local
    assert local.facts.scopes["country"][0] == pytest.approx(4 / 2 + 0.5)
    assert not (await exposures.acquire(wide, message._replace(price=0.5), now=NOON)).is_acquired


async def test_redis_learns_of_an_outage_when_it_is_back(
    new_exposures: NewExposures, redis: Redis, server: RawRedis, message: Message
) -> None:
    exposures = await new_exposures(redis=redis)
    await exposures.acquire(POLICY, message, now=NOON)
    await redis.stop()
    for _ in range(3):
        assert (await exposures.acquire(POLICY, message, now=NOON)).is_local
    exposures.settlements.returned_later(POLICY, message, now=NOON)
    await exposures.settlements.flush()
    await exposures.settlements.flush()
    assert await redis.start()

    await exposures.settlements.flush()
    await exposures.settlements.flush()

    stored = {key: read_state(await server.call("GET", key)) for key in message.narrow_keys()}
    assert {state.exposure for state in stored.values()} == {3.0}
    assert read_state(await server.call("HGET", message.wide_key(), "US")).exposure == pytest.approx(0.15)
    assert not (await exposures.acquire(POLICY, message, now=NOON)).is_local


def test_share_of_a_policy_keeps_at_least_one_message() -> None:
    shared = share_of(FraudPolicy(exposure_budget=8), 8)

    assert shared.rules.block_of_10000.allowance == 1
    assert shared.rules.network.allowance == 2.5
    assert shared.exposure_budget == 1
    assert share_of(POLICY, 1) is POLICY
    assert (
        share_of(
            FraudPolicy(rules=msgspec.structs.replace(FraudRules(), address=FraudRule(0))), 4
        ).rules.address.allowance
        == 0
    )
