"""Redis may be flushed, killed or filled at any moment: codes stay valid, and no limit is reset."""

import itertools
from collections.abc import Iterator

import asyncpg
import pytest

from auth1.dev.redis import RedisServer
from tests.conftest import Started
from tests.races.conftest import RaceUser, outcome, outcomes
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_redis import RawRedis

SENDS = 5
GUESSES = 25
FOREIGN_KEYS = 100_000
SMALL = ["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"]


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a small Redis of the test that evicts keys."""
    with RedisServer(tmp_path_factory.mktemp("redis"), arguments=SMALL) as server:
        yield server


@pytest.fixture
async def user(
    start_app: Started, races_url: str, redis: RedisServer, twilio_server: TwilioServer, database: asyncpg.Connection
) -> RaceUser:
    api = await start_app(DATABASE_URL=races_url, REDIS_URL=redis.url(), DATABASE_POOL_SIZE="2", TIMEOUT_SCALE="100")
    return RaceUser([api], await api.tenant(max_otp_attempts=10, rate_limit_per_hour=SENDS), twilio_server, database)


async def test_code_is_valid_after_redis_is_flushed(user: RaceUser, redis: RedisServer) -> None:
    challenge = await user.open_challenge()
    await empty(redis)

    assert (await user.answer(user.code, challenge_id=challenge)).status_code == 200


async def test_codes_are_valid_after_redis_is_killed(user: RaceUser, redis: RedisServer) -> None:
    await user.open_challenge()
    redis.kill()

    assert (await user.answer(user.code)).status_code == 200
    await user.open_challenge()
    assert (await user.answer(user.code)).status_code == 200
    assert (await user.apis[0].client.get("/health")).json()["status"] == "degraded"


@pytest.mark.parametrize("loss", ["emptied", "killed"])
async def test_no_rate_limit_is_reset_when_redis_is_lost(user: RaceUser, redis: RedisServer, loss: str) -> None:
    await spend_the_budgets(user)

    await empty(redis) if loss == "emptied" else redis.kill()

    await assert_spent(user)


async def test_no_rate_limit_is_reset_when_redis_evicts_keys(user: RaceUser, redis: RedisServer) -> None:
    raw_redis = await RawRedis.connect(redis.url())
    await spend_the_budgets(user)
    ours = await raw_redis.call("KEYS", f"ratelimit:{{{user.tenant_id}}}*")
    assert ours

    for first in itertools.count(0, 1000):
        replies = await raw_redis.calls([("SET", f"foreign:{n}", "x" * 20) for n in range(first, first + 1000)])
        assert set(replies) == {b"OK"}
        # Its choice is by chance among keys of about the same age; in the end it has thrown all of ours out.
        if first >= FOREIGN_KEYS and await raw_redis.call("EXISTS", *ours) == 0:
            break

    assert await raw_redis.call("DBSIZE") < FOREIGN_KEYS
    raw_redis.close()
    await assert_spent(user)


async def empty(redis: RedisServer) -> None:
    raw_redis = await RawRedis.connect(redis.url())
    assert await raw_redis.call("FLUSHALL") == b"OK"
    raw_redis.close()


async def spend_the_budgets(user: RaceUser) -> None:
    """Use all sends and all wrong codes of an hour."""
    guesses = 0
    for _ in range(SENDS):
        await user.open_challenge()
        for number in range(GUESSES // SENDS):
            assert outcome(await user.answer(user.wrong(number))) == "invalid_code"
            guesses += 1
        await user.later(120)
    assert guesses == GUESSES


async def assert_spent(user: RaceUser) -> None:
    answers = [await user.ask() for _ in range(3)] + [await user.answer(user.code) for _ in range(3)]

    assert outcomes(answers) == {"rate_limited": 3, "too_many_attempts": 3}
    assert all(answer.json()["retry_after"] > 1000 for answer in answers)
    assert await user.count("messages") == SENDS
    assert await user.count("sessions") == 0
