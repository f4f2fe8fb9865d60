"""The number of calls per request, counted by the service and by the servers it calls."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import asyncpg
import httpx
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.conftest import Started
from tests.races.conftest import DAY_S, SETTINGS, RaceUser, outcome
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_redis import RawRedis

ONE_CONNECTION = SETTINGS | {"DATABASE_POOL_SIZE": "1"}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that only this file uses."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
async def counted_url(postgres_server: PostgresServer) -> str:
    """Return a database whose server logs every statement."""
    url = await new_database(postgres_server, "auth1_counted")
    connection = await asyncpg.connect(url)
    await connection.execute("alter database auth1_counted set log_min_duration_statement = 0")
    await connection.close()
    return url


@pytest.fixture(scope="module")
async def api(start_app: Started, counted_url: str, redis: RedisServer) -> ApiClient:
    return await start_app(DATABASE_URL=counted_url, REDIS_URL=redis.url(), **ONE_CONNECTION)


@dataclass
class Counts:
    """The calls of one request: by our counters, and as PostgreSQL, Redis and Twilio saw them."""

    postgres: int
    redis: int
    statements: list[str]
    commands: list[str]
    messages: int


@dataclass
class Meter:
    """Counts from one reading to the next."""

    api: ApiClient
    postgres_server: PostgresServer
    twilio: TwilioServer
    monitor: RawRedis
    caller: RawRedis

    async def measure(
        self, prepare: Callable[[], Awaitable[object]], call: Callable[[], Awaitable[httpx.Response]]
    ) -> tuple[httpx.Response, Counts]:
        """Count the calls of a request."""
        await prepare()
        await self.read()
        answer = await call()
        return answer, await self.read()

    async def read(self) -> Counts:
        services = self.api.services
        trips = (services.postgres.round_trips, services.redis.round_trips, len(self.twilio.requests))
        before, self._before = getattr(self, "_before", (0, 0, 0)), trips
        statements, commands = self._statements(), await self._commands()
        return Counts(trips[0] - before[0], trips[1] - before[1], statements, commands, trips[2] - before[2])

    def _statements(self) -> list[str]:
        """Return the messages that PostgreSQL received, such as bind and execute."""
        log = self.postgres_server.log.read_bytes()
        start, self._log_end = getattr(self, "_log_end", 0), len(log)
        return re.findall(r"LOG:  duration: [\d.]+ ms  (\w+)", log[start:].decode())

    async def _commands(self) -> list[str]:
        """Return the commands that Redis received, without those of scripts, the test and health checks."""
        await self.caller.call("ECHO", "enough")
        commands: list[str] = []
        while True:
            line = (await self.monitor.read()).decode()
            found = re.fullmatch(r'\d+\.\d+ \[\d+ (\S+)\] "(.*?)".*', line, re.DOTALL)
            assert found is not None, line
            if found[2].upper() == "ECHO":
                return commands
            if found[1] != "lua" and found[2].upper() != "PING":
                commands.append(found[2].upper())


@pytest.fixture
async def meter(
    api: ApiClient, postgres_server: PostgresServer, twilio_server: TwilioServer, redis: RedisServer
) -> AsyncIterator[Meter]:
    monitor, caller = await RawRedis.connect(redis.url()), await RawRedis.connect(redis.url())
    assert await monitor.call("MONITOR") == b"OK"
    meter = Meter(api, postgres_server, twilio_server, monitor, caller)
    await meter.read()
    yield meter
    monitor.close()
    caller.close()


@pytest.fixture
async def user(api: ApiClient, twilio_server: TwilioServer, counted_url: str) -> AsyncIterator[RaceUser]:
    """Return a user whose tenant is cached and whose statements are prepared."""
    database = await asyncpg.connect(counted_url, server_settings={"log_min_duration_statement": "-1"})
    user = RaceUser([api], await api.tenant(), twilio_server, database)
    await user.open_challenge()
    await user.answer(user.code)
    yield user
    await database.close()


ONE = ["bind", "execute"]  # a statement that was prepared before


async def test_code_request_makes_two_redis_two_postgres_and_one_provider_call(user: RaceUser, meter: Meter) -> None:
    answer, counts = await meter.measure(partial(user.later, DAY_S), user.ask)

    assert answer.status_code == 200
    assert counts == Counts(postgres=2, redis=2, statements=ONE * 2, commands=["EVALSHA"] * 2, messages=1)


async def test_idempotency_key_adds_no_statement(user: RaceUser, meter: Meter) -> None:
    body = {"phone": user.phone}

    async def ask() -> httpx.Response:
        path, key = "/api/auth/request", user.tenant["api_key"]
        return await user.apis[0].post(path, body, key, idempotency_key="one")

    async def forget() -> None:
        await user.later(DAY_S)
        await user.database.execute("delete from idempotency")

    answer, counts = await meter.measure(forget, ask)
    assert answer.status_code == 200
    assert counts == Counts(postgres=2, redis=2, statements=ONE * 2, commands=["EVALSHA"] * 2, messages=1)

    again, counts = await meter.measure(ask, ask)
    assert again.content == answer.content
    assert counts == Counts(postgres=1, redis=2, statements=ONE, commands=["EVALSHA"] * 2, messages=0)


async def test_rejected_request_releases_its_idempotency_key_in_one_statement(user: RaceUser, meter: Meter) -> None:
    async def ask() -> httpx.Response:
        path, key = "/api/auth/request", user.tenant["api_key"]
        return await user.apis[0].post(path, {"phone": user.phone}, key, idempotency_key="two")

    await meter.measure(user.ask, ask)
    answer, counts = await meter.measure(user.ask, ask)

    assert outcome(answer) == "resend_too_soon"
    assert counts == Counts(postgres=2, redis=2, statements=ONE * 2, commands=["EVALSHA"] * 2, messages=0)


async def test_budget_adds_no_statement(user: RaceUser, meter: Meter, api: ApiClient) -> None:
    settings = {"sms_budget_per_day": 1, "messages_per_day": 100}
    await api.admin("PATCH", f"/api/admin/tenants/{user.tenant_id}", {"settings": settings})

    async def prepare() -> None:
        for _ in range(2):  # the first makes the row
            await user.later(DAY_S)
            await user.open_challenge()
        await user.later(DAY_S)

    answer, counts = await meter.measure(prepare, user.ask)

    assert answer.status_code == 200
    assert counts == Counts(postgres=2, redis=2, statements=ONE * 2, commands=["EVALSHA"] * 2, messages=1)


async def test_rejected_code_request_makes_one_postgres_and_no_provider_call(user: RaceUser, meter: Meter) -> None:
    answer, counts = await meter.measure(user.ask, user.ask)

    assert outcome(answer) == "resend_too_soon"
    assert counts == Counts(postgres=1, redis=2, statements=ONE, commands=["EVALSHA"] * 2, messages=0)


@pytest.mark.parametrize("right", [True, False])
async def test_verification_makes_one_redis_and_one_postgres_call(user: RaceUser, meter: Meter, right: bool) -> None:
    async def prepare() -> None:
        await user.later(DAY_S)
        await user.open_challenge()

    answer, counts = await meter.measure(prepare, lambda: user.answer(user.code if right else user.wrong()))

    assert (answer.status_code == 200) is right
    assert counts == Counts(postgres=1, redis=1, statements=ONE, commands=["EVALSHA"], messages=0)


async def test_first_call_with_an_api_key_adds_one_statement(user: RaceUser, meter: Meter, api: ApiClient) -> None:
    async def prepare() -> None:
        user.tenant = await api.tenant()

    await user.later(DAY_S)
    await user.answer("000000")  # Redis knows the scripts
    for statements in (2, 1):
        answer, counts = await meter.measure(prepare, lambda: user.answer("000000"))

        assert outcome(answer) == "no_active_challenge"
        # Without a code, Redis may know of a login that got no answer.
        commands = ["EVALSHA", "EVALSHA"]
        assert counts == Counts(
            postgres=statements, redis=2, statements=ONE * statements, commands=commands, messages=0
        )
        prepare = partial(user.answer, "000000")  # type: ignore[assignment]


async def change_policy(api: ApiClient, user: RaceUser, **changes: object) -> None:
    """Give the tenant a policy of its own: the defaults, and what is changed. The next request reads it."""
    answer = await api.admin("PUT", f"/api/admin/tenants/{user.tenant_id}/fraud/policy", changes)
    assert answer.status_code == 200, answer.text
    await user.answer("000000")


async def test_request_rejected_by_exposures_adds_one_statement(user: RaceUser, meter: Meter, api: ApiClient) -> None:
    """Decision and event are one statement; the counts of the number are read where they could change the answer."""
    await change_policy(api, user, rules={"address": {"allowance": 0}})
    unknown = RaceUser(user.apis, user.tenant, user.twilio, user.database)

    for _ in range(2):  # the first prepares the statements
        answer, counts = await meter.measure(partial(asyncio.sleep, 0), unknown.ask)

        assert outcome(answer) == "request_blocked"
    assert counts == Counts(postgres=1, redis=2, statements=ONE, commands=["EVALSHA"] * 2, messages=0)


async def test_known_number_adds_one_statement(user: RaceUser, meter: Meter, api: ApiClient) -> None:
    await change_policy(api, user, rules={"block_of_1000": {"allowance": 1.9}})

    for _ in range(2):
        answer, counts = await meter.measure(partial(user.later, DAY_S), user.ask)

        assert answer.status_code == 200, answer.text
        await user.answer(user.code)
    assert counts == Counts(postgres=3, redis=2, statements=ONE * 3, commands=["EVALSHA"] * 2, messages=1)


async def test_first_request_after_a_flush_saves_and_reads_the_exposures_once(user: RaceUser, meter: Meter) -> None:
    async def prepare() -> None:
        await user.later(DAY_S)
        await meter.caller.call("FLUSHALL")

    for _ in range(2):
        answer, counts = await meter.measure(prepare, user.ask)

        assert answer.status_code == 200
    assert counts == Counts(postgres=4, redis=4, statements=ONE * 4, commands=["EVALSHA"] * 4, messages=1)


async def test_rate_limited_flood_makes_at_most_one_redis_call_a_second(
    start_app: Started, counted_url: str, redis: RedisServer, user: RaceUser, meter: Meter
) -> None:
    meter.api = api = await start_app(
        DATABASE_URL=counted_url, REDIS_URL=redis.url(), RATE_LIMIT_MAX="1", **ONE_CONNECTION
    )
    await meter.caller.call("FLUSHALL")
    flooder = RaceUser([api], user.tenant, user.twilio, user.database)
    for expected in ("no_active_challenge", "rate_limited"):
        assert outcome(await flooder.answer("000000")) == expected
    await meter.read()
    started = time.monotonic()

    answers = [await flooder.answer("000000") for _ in range(50)]

    elapsed_s = time.monotonic() - started
    assert {outcome(answer) for answer in answers} == {"rate_limited"}
    counts = await meter.read()
    assert (counts.postgres, counts.statements, counts.messages) == (0, [], 0)
    assert counts.commands.count("EVALSHA") <= 1 + elapsed_s
