"""Completed hours are aggregated once; statistics are equal before and after.

The database is separate, because aggregation covers all tenants.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from auth1 import retention
from auth1.dev.postgres import PostgresServer
from auth1.messaging import handlers
from tests.conftest import Started
from tests.messaging.conftest import APP_URL, MessageDatabase, TenantApp
from tests.messaging.test_message_list import STATISTICS, make, read, verify
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import TwilioServer

HOURS = 6


@pytest.fixture(scope="module")
async def own_database_url(postgres_server: PostgresServer) -> str:
    return await new_database(postgres_server, "auth1_hours")


@pytest.fixture(scope="module")
async def message_db(own_database_url: str) -> AsyncIterator[MessageDatabase]:
    connection = await asyncpg.connect(own_database_url)
    yield MessageDatabase(connection)
    await connection.close()


@pytest.fixture(scope="module")
async def module_api(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> ApiClient:
    return await start_app(TWILIO_API_URL=module_carrier.url, APP_URL=APP_URL, DATABASE_URL=own_database_url)


@pytest.fixture
async def app(app: TenantApp) -> TenantApp:
    """Return a tenant on a database with several hours that are not aggregated."""
    await app.message_db.do("delete from message_hours")
    await app.message_db.do(
        "update message_hours_next set hour = date_trunc('hour', now(), 'UTC') - interval '6 hours'"
    )
    return app


async def statistics(app: TenantApp, since: datetime, until: datetime, group_by: str) -> dict[str, Any]:
    answer = await read(app, STATISTICS, since=since.isoformat(), until=until.isoformat(), group_by=group_by)
    assert answer.status_code == 200, answer.text
    return {str(group["group"]): group for group in answer.json()["data"]}


async def added_up(app: TenantApp) -> list[tuple[datetime, int]]:
    """Return the aggregated hours of the tenant with their message counts."""
    rows = await app.message_db.connection.fetch(
        "select hour, sum(messages) as n from message_hours where tenant_id = $1 group by hour order by hour", app.id
    )
    return [(row["hour"], row["n"]) for row in rows]


async def test_statistics_are_equal_before_and_after_aggregation(app: TenantApp) -> None:
    draw = random.Random(3)
    for _ in range(150):
        columns: dict[str, Any] = draw.choice([
            {"state": "delivered", "took": draw.choice([0.0, 0.4, 3.0, 7.7, 299.5, 1000.0]), "price": 7900},
            {"state": "delivered", "took": 2.0, "provider": "sns", "country": "DE"},
            {"state": "failed", "price": 0},
            {"state": "unknown"},
            {"state": "queued", "provider": None},
            {"channel": "email", "provider": "smtp", "country": None, "identifier": "a@b.co"},
        ])  # fmt: skip
        made = await make(app, timedelta(seconds=draw.uniform(0, HOURS * 3600)), **columns)
        if draw.random() < 0.5:
            await verify(app, made, draw.choice(["answered", "cancelled"]))
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    spans = [(now - timedelta(days=1), now), (hour - timedelta(hours=4), hour - timedelta(hours=2))]
    spans += [(hour - timedelta(hours=4), hour - timedelta(hours=3, seconds=-1))]
    for _ in range(15):
        ends = sorted(now - timedelta(seconds=draw.uniform(0, HOURS * 3600)) for _ in range(2))
        spans.append((ends[0], ends[1]))
    queries = [(since, until, group_by) for since, until in spans for group_by in ("country", "provider", "channel")]

    before = [await statistics(app, *query) for query in queries]
    await handlers.aggregate_statistics(app.api.services)
    after = [await statistics(app, *query) for query in queries]

    assert len(await added_up(app)) >= HOURS - 2
    assert after == before


async def test_aggregated_hours_are_not_read_from_messages(app: TenantApp) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    for _ in range(3):
        await make(app, datetime.now(UTC) - hour - timedelta(minutes=5), state="delivered", took=2.0)
    await handlers.aggregate_statistics(app.api.services)
    await app.message_db.do("delete from messages where tenant_id = $1", app.id)

    [group] = (await statistics(app, hour, hour + timedelta(hours=1), "country")).values()

    assert (group["sent"], group["median_delivery_in"]) == (3, 2)
    assert await statistics(app, hour, hour + timedelta(minutes=30), "country") == {}


async def test_messages_of_a_code_that_another_message_answered_are_counted(app: TenantApp) -> None:
    """Two messages of other challenges and an earlier one of the same; one is of a code that was not answered."""
    now = datetime.now(UTC)
    age = now - now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
    for status, closed_at in (("cancelled", now), ("answered", now), ("cancelled", now - timedelta(minutes=1))):
        made = await make(app, age)
        await verify(app, made, status)
        await app.message_db.do("update challenges set closed_at = $2 where message_id = $1", made, closed_at)
        if status == "answered":
            found = await app.message_db.connection.fetchval("select challenge_id from messages where id = $1", made)
            await make(app, age, challenge_id=found)

    await handlers.aggregate_statistics(app.api.services)

    [row] = await app.message_db.connection.fetch(
        "select sum(messages) as messages, sum(verified) as verified, sum(repeated) as repeated"
        " from message_hours where tenant_id = $1",
        app.id,
    )
    assert (row["messages"], row["verified"], row["repeated"]) == (4, 1, 2)


async def test_racing_workers_aggregate_each_hour_once(
    app: TenantApp, start_app: Started, own_database_url: str
) -> None:
    other = await start_app(DATABASE_URL=own_database_url)
    for n in range(40):
        await make(app, timedelta(minutes=n * 9))
    apis = [app.api, other]

    for _ in range(2):
        await asyncio.gather(*(handlers.aggregate_statistics(api.services) for api in apis))

    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    next_hour = await app.message_db.connection.fetchval("select hour from message_hours_next")
    assert next_hour >= hour - timedelta(hours=2)  # the clock may have struck meanwhile
    counted = await app.message_db.connection.fetch(
        "select date_trunc('hour', created_at, 'UTC') as hour, count(*) as n from messages"
        " where tenant_id = $1 and created_at < $2 and created_at >= $3 group by 1 order by 1",
        *(app.id, next_hour, hour - timedelta(hours=HOURS)),
    )
    assert await added_up(app) == [(row["hour"], row["n"]) for row in counted]


async def test_hour_with_pending_delivery_reports_is_not_aggregated(app: TenantApp) -> None:
    await app.message_db.do("update message_hours_next set hour = date_trunc('hour', now(), 'UTC') - interval '1 hour'")
    await make(app, timedelta(hours=1))

    await handlers.aggregate_statistics(app.api.services)

    assert await added_up(app) == []


async def test_aggregates_of_old_hours_and_deleted_tenants_are_deleted(app: TenantApp) -> None:
    await make(app, timedelta(hours=4))
    await handlers.aggregate_statistics(app.api.services)
    [(hour, _)] = await added_up(app)
    sql = (
        "insert into message_hours select tenant_id, $2, channel, country, provider, state, delivery_s, messages,"
        " verified, microdollars from message_hours where tenant_id = $1"
    )
    await app.message_db.do(sql, app.id, hour - timedelta(days=33))

    await retention.run_once(app.api.services)
    assert [at for at, _ in await added_up(app)] == [hour]

    await app.api.admin("DELETE", f"/api/admin/tenants/{app.id}")
    await app.message_db.do("update tenants set deleted_at = now() - interval '61 s' where id = $1", app.id)
    await retention.run_once(app.api.services)
    assert await added_up(app) == []
    assert await app.message_db.connection.fetchval("select count(*) from tenants where id = $1", app.id) == 0
