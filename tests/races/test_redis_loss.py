"""Redis may be flushed, killed or filled at any moment: codes stay valid, and no limit is reset."""

import itertools
from collections.abc import Iterator

import asyncpg
import pytest

from auth1.dev.redis import RedisServer
from tests.conftest import Started
from tests.lua.wire import Wire
from tests.outside.twilio import TwilioServer
from tests.races.conftest import Person, outcome, outcomes

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
async def person(
    start_app: Started, races_url: str, redis: RedisServer, twilio_server: TwilioServer, database: asyncpg.Connection
) -> Person:
    door = await start_app(DATABASE_URL=races_url, REDIS_URL=redis.url(), DATABASE_POOL_SIZE="2")
    return Person([door], await door.tenant(max_otp_attempts=10, rate_limit_per_hour=SENDS), twilio_server, database)


async def test_code_is_valid_after_redis_is_flushed(person: Person, redis: RedisServer) -> None:
    challenge = await person.asked()
    await empty(redis)

    assert (await person.answer(person.code, challenge_id=challenge)).status_code == 200


async def test_codes_are_valid_after_redis_is_killed(person: Person, redis: RedisServer) -> None:
    await person.asked()
    redis.kill()

    assert (await person.answer(person.code)).status_code == 200
    await person.asked()
    assert (await person.answer(person.code)).status_code == 200
    assert (await person.doors[0].client.get("/health")).json()["status"] == "degraded"


@pytest.mark.parametrize("loss", ["emptied", "killed"])
async def test_no_rate_limit_is_reset_when_redis_is_lost(person: Person, redis: RedisServer, loss: str) -> None:
    await spend_the_budgets(person)

    await empty(redis) if loss == "emptied" else redis.kill()

    await assert_spent(person)


async def test_no_rate_limit_is_reset_when_redis_evicts_keys(person: Person, redis: RedisServer) -> None:
    wire = await Wire.connect(redis.url())
    await spend_the_budgets(person)
    ours = await wire.call("KEYS", f"slots:{{{person.tenant_id}}}*")
    assert ours

    for first in itertools.count(0, 1000):
        replies = await wire.calls([("SET", f"foreign:{n}", "x" * 20) for n in range(first, first + 1000)])
        assert set(replies) == {b"OK"}
        # Its choice is by chance among keys of about the same age; in the end it has thrown all of ours out.
        if first >= FOREIGN_KEYS and await wire.call("EXISTS", *ours) == 0:
            break

    assert await wire.call("DBSIZE") < FOREIGN_KEYS
    wire.close()
    await assert_spent(person)


async def empty(redis: RedisServer) -> None:
    wire = await Wire.connect(redis.url())
    assert await wire.call("FLUSHALL") == b"OK"
    wire.close()


async def spend_the_budgets(person: Person) -> None:
    """Use all sends and all wrong codes of an hour."""
    guesses = 0
    for _ in range(SENDS):
        await person.asked()
        for number in range(GUESSES // SENDS):
            assert outcome(await person.answer(person.wrong(number))) == "invalid_code"
            guesses += 1
        await person.later(120)
    assert guesses == GUESSES


async def assert_spent(person: Person) -> None:
    answers = [await person.ask() for _ in range(3)] + [await person.answer(person.code) for _ in range(3)]

    assert outcomes(answers) == {"rate_limited": 3, "too_many_attempts": 3}
    assert all(answer.json()["retry_after"] > 1000 for answer in answers)
    assert await person.count("messages") == SENDS
    assert await person.count("sessions") == 0
