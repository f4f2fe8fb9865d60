"""Daily budgets of a tenant are exact under concurrency, and cost nothing without a budget."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta

import asyncpg
import pytest

from auth1.core.postgres import Query
from auth1.identifiers import parse_phone
from tests.conftest import Started
from tests.messaging.conftest import spread_phones
from tests.races.conftest import SETTINGS, NewUser, RaceUser, at_once, outcome, outcomes
from tests.races.test_rejected_messages import waiting
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import Request, TwilioServer, reject, take

CENT = 10_000  # microdollars; what an SMS of one segment to the United States is estimated to cost
COUNTED = """
insert into spending values ($1, (now() at time zone 'UTC')::date, 'US', 'sms', pg_backend_pid() % 16, 1, 10000)
on conflict (tenant_id, day, country, channel, slot) do update set messages = spending.messages + 1
"""
OF_MESSAGES = """
select count(*)::int, coalesce(sum(price_microdollars), 0)::int
from messages where tenant_id = $1 and price_microdollars > 0
"""
SPENT = "select coalesce(sum(messages), 0)::int, coalesce(sum(microdollars), 0)::int from spending where tenant_id = $1"


@pytest.fixture(scope="module")
async def carrier() -> AsyncIterator[TwilioServer]:
    """Return a carrier of the test, which may reject messages."""
    async with TwilioServer() as server:
        yield server


@pytest.fixture(scope="module")
async def own_api(start_app: Started, races_url: str, carrier: TwilioServer) -> ApiClient:
    return await start_app(DATABASE_URL=races_url, TWILIO_API_URL=carrier.url, **SETTINGS | {"DATABASE_POOL_SIZE": "4"})


def crowd(user: RaceUser, number: int) -> list[RaceUser]:
    """Return users of the same tenant with numbers of different prefixes, where a message costs a cent."""
    phones = [phone for phone in spread_phones(200) if parse_phone(phone).country == "US"]
    return [RaceUser(user.apis, user.tenant, user.twilio, user.database, phone) for phone in phones[:number]]


def pair(row: asyncpg.Record | None) -> tuple[int, int]:
    assert row is not None
    return row[0], row[1]


async def slot_of(api: ApiClient) -> int:
    """Return the counter slot that an application's only connection writes to."""
    row = await api.services.postgres.row(Query("slot", "select pg_backend_pid() % 16"))
    assert row is not None
    return int(row[0])


async def spent(user: RaceUser) -> tuple[int, int]:
    """Return messages and microdollars of the counters."""
    return pair(await user.database.fetchrow(SPENT, user.tenant_id))


async def of_messages(user: RaceUser) -> tuple[int, int]:
    """Return messages and microdollars of the messages themselves."""
    return pair(await user.database.fetchrow(OF_MESSAGES, user.tenant_id))


async def budget(user: RaceUser) -> tuple[int, int]:
    row = await user.database.fetchrow(
        "select messages, microdollars from budgets where tenant_id = $1", user.tenant_id
    )
    return pair(row)


async def marks(user: RaceUser) -> list[tuple[str, str, float]]:
    """Return the data of the tenant's budget events."""
    rows = await user.database.fetch(
        "select data from events where tenant_id = $1 and subject = $1 and type = 'budget.reached' order by id",
        user.tenant_id,
    )
    reported = [json.loads(row["data"]) for row in rows]
    return sorted((data["mark"], data["budget"], data["dollars"]) for data in reported)


async def test_fifty_concurrent_requests_spend_exactly_the_daily_budget(
    apis: list[ApiClient], new_user: NewUser
) -> None:
    user = await new_user(apis, sms_budget_per_day=0.07)
    users, before = crowd(user, 50), len(user.twilio.requests)

    answers = await at_once(*(one.ask for one in users))

    assert outcomes(answers) == {"200": 7, "budget_exceeded": 43}
    assert await spent(user) == await of_messages(user) == await budget(user) == (7, 7 * CENT)
    assert len(user.twilio.requests) - before <= 7
    assert await marks(user) == [
        ("hard", "sms_budget_per_day", 0.07),
        ("soft", "sms_budget_per_day", 0.06),
    ]
    assert await user.count("identifiers") == 7, "a request rejected by the budget creates no identifier"


async def test_fifty_concurrent_requests_send_exactly_the_daily_message_limit(
    apis: list[ApiClient], new_user: NewUser
) -> None:
    user = await new_user(apis, messages_per_day=9)
    users = crowd(user, 50)

    answers = await at_once(*(one.ask for one in users))

    assert outcomes(answers) == {"200": 9, "budget_exceeded": 41}
    assert await spent(user) == await budget(user) == (9, 9 * CENT)
    assert await marks(user) == [("hard", "messages_per_day", 0.09)]


async def test_rejected_request_spends_no_budget(user: RaceUser, first: ApiClient) -> None:
    await first.admin("PATCH", f"/api/admin/tenants/{user.tenant_id}", {"settings": {"sms_budget_per_day": 0.02}})

    [user, other] = crowd(user, 2)

    answers = await at_once(*[user.ask] * 12)

    assert outcomes(answers) == {"200": 1, "resend_too_soon": 11}
    assert await spent(user) == await budget(user) == (1, CENT)
    await other.open_challenge()


async def test_budget_error_has_retry_after_until_the_end_of_the_day(new_user: NewUser) -> None:
    user = await new_user(messages_per_day=0)

    answer = await user.ask()

    assert (answer.status_code, answer.json()["code"]) == (429, "budget_exceeded")
    wait = answer.json()["retry_after"]
    day_after = datetime.now(UTC) + timedelta(seconds=wait)
    assert day_after.time() < time(0, 1) or day_after.time() > time(23, 59)
    assert 0 < wait <= 24 * 3600
    assert answer.headers["retry-after"] == str(answer.json()["retry_after"])


async def test_budget_and_its_alerts_reset_on_a_new_day(new_user: NewUser) -> None:
    user = await new_user(sms_budget_per_day=0.01, sms_budget_soft=1)
    users = crowd(user, 6)
    for those in (users[:3], users[3:]):
        assert [outcome(await one.ask()) for one in those] == ["200", "budget_exceeded", "budget_exceeded"]
        await user.database.execute("update budgets set day = day - 1 where tenant_id = $1", user.tenant_id)

    assert await marks(user) == [("hard", "sms_budget_per_day", 0.01)] * 2 + [("soft", "sms_budget_per_day", 0.01)] * 2


async def test_budget_set_later_includes_earlier_spending(new_user: NewUser, first: ApiClient) -> None:
    user = await new_user()
    users = crowd(user, 6)
    await at_once(*(one.ask for one in users[:3]))
    assert await user.count("budgets") == 0

    path = f"/api/admin/tenants/{user.tenant_id}"
    await first.admin("PATCH", path, {"settings": {"sms_budget_per_day": 0.04}})
    answers = await at_once(*(one.ask for one in users[3:5]))
    assert outcomes(answers) == {"200": 1, "budget_exceeded": 1}
    await first.admin("PATCH", path, {"settings": {"sms_budget_per_day": 0.05}})
    await users[5].open_challenge()

    assert await budget(user) == await spent(user) == (5, 5 * CENT)
    # Each budget has marks of its own.
    assert await marks(user) == [
        ("hard", "sms_budget_per_day", 0.04),
        ("soft", "sms_budget_per_day", 0.04),
        ("soft", "sms_budget_per_day", 0.05),
    ]


async def test_send_rejected_by_all_providers_refunds_the_budget(
    own_api: ApiClient, carrier: TwilioServer, database: asyncpg.Connection
) -> None:
    user = RaceUser([own_api], await own_api.tenant(sms_budget_per_day=0.01), carrier, database)
    carrier.behaviour = reject(20429, status=429)
    users = crowd(user, 2)

    assert [outcome(await one.ask()) for one in users] == ["delivery_failed"] * 2
    assert await spent(user) == await budget(user) == (0, 0)
    assert await of_messages(user) == (0, 0)
    assert await user.count("messages") == 2

    carrier.behaviour = take
    assert [outcome(await one.ask()) for one in users] == ["200", "budget_exceeded"]
    assert await spent(user) == await budget(user) == (1, CENT)


async def test_concurrent_refunds_and_requests_keep_the_counters_correct(
    own_api: ApiClient, carrier: TwilioServer, database: asyncpg.Connection
) -> None:
    user = RaceUser([own_api], await own_api.tenant(sms_budget_per_day=1), carrier, database)
    carrier.script.extend([reject(21211), take] * 15)

    users = crowd(user, 30)

    answers = await at_once(*(one.ask for one in users))

    assert outcomes(answers) == {"200": 15, "invalid_phone": 15}
    assert await spent(user) == await budget(user) == await of_messages(user)
    assert (await spent(user))[0] == 15


async def test_refund_and_request_lock_rows_in_the_same_order(
    own_api: ApiClient, carrier: TwilioServer, database: asyncpg.Connection, races_url: str
) -> None:
    user = RaceUser([own_api], await own_api.tenant(sms_budget_per_day=1), carrier, database)
    [user] = crowd(user, 1)
    arrived, decided = asyncio.Event(), asyncio.Event()

    async def reject_when_decided(request: Request, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await decided.wait()
        await reject(20429, status=429)(request, writer)

    carrier.behaviour = reject_when_decided
    rejected = asyncio.create_task(user.ask())
    await arrived.wait()
    carrier.behaviour = take
    holder = await asyncpg.connect(races_url)

    # Both wait for the tenant's budget and the identifier's row, the refund first, behind another transaction.
    async with holder.transaction():
        await holder.execute("select 1 from identifiers where tenant_id = $1 for update", user.tenant_id)
        decided.set()
        await waiting(database, 1, rejected)
        again = asyncio.create_task(user.ask())
        await waiting(database, 2, again)

    await holder.close()
    assert outcome(await rejected) == "delivery_failed"
    assert outcome(await again) == "200"
    assert await spent(user) == await budget(user) == (1, CENT)


async def test_login_without_a_budget_does_not_wait_for_another_commit(
    start_app: Started, races_url: str, twilio_server: TwilioServer, database: asyncpg.Connection
) -> None:
    api = await start_app(DATABASE_URL=races_url, DATABASE_POOL_SIZE="1")
    slot = await slot_of(api)
    users = [
        RaceUser([api], await api.tenant(**settings), twilio_server, database)
        for settings in ({}, {"sms_budget_per_day": 1})
    ]
    for user in users:
        await user.open_challenge()
        assert await user.count("budgets") == await user.count("spending") - (user is users[0])
    holder = await asyncpg.connect(races_url)
    while (await holder.fetchval("select pg_backend_pid() % 16")) == slot:
        holder = await asyncpg.connect(races_url)

    async with holder.transaction():
        for user in users:
            await holder.execute(COUNTED, user.tenant_id)
            await holder.execute("update budgets set messages = messages where tenant_id = $1", user.tenant_id)
        free = await crowd(users[0], 1)[0].ask()
        bound = await crowd(users[1], 1)[0].ask()
    await holder.close()

    assert (outcome(free), outcome(bound)) == ("200", "unavailable")


async def test_sandbox_and_emails_spend_no_sms_budget(new_user: NewUser) -> None:
    user = await new_user(messages_per_day=1, sms_budget_per_day=0)
    sandbox = RaceUser(user.apis, user.tenant | {"api_key": user.tenant["test_key"]}, user.twilio, user.database)

    assert [outcome(await sandbox.ask()) for _ in range(3)] == ["200"] * 3
    assert await spent(user) == (0, 0)
    assert await user.database.fetchval("select count(*) from spending where tenant_id like '%:test'") == 0
    assert outcome(await user.ask()) == "budget_exceeded"
    assert [mark[:2] for mark in await marks(user)] == [("hard", "sms_budget_per_day")]


async def test_spending_is_counted_by_country_and_segments(new_user: NewUser) -> None:
    user = await new_user(texts={"sms": {"en": "{code} " + "é" * 10 + "ж" * 80}})
    user.phone = "+491713920042"
    await user.open_challenge()

    row = await user.database.fetchrow("select * from messages where tenant_id = $1", user.tenant_id)

    assert row is not None
    assert (row["country"], row["segments"], row["price_source"]) == ("DE", 2, "estimate")
    assert row["price_microdollars"] == 2 * 110_000
    counted = await user.database.fetch("select * from spending where tenant_id = $1", user.tenant_id)
    assert [(one["country"], one["channel"], one["messages"], one["microdollars"]) for one in counted] == [
        ("DE", "sms", 1, 220_000)
    ]
