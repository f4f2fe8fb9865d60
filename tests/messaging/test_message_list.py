"""A tenant's messages as a list and as statistics."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres import MAX_REPORTS, Query
from auth1.dev.postgres import PostgresServer
from auth1.errors import Unavailable
from tests.conftest import Started
from tests.messaging.callbacks import UNDELIVERED, Report
from tests.messaging.conftest import TenantApp, spread_phones
from tests.support.elapsed import end_resend_delay
from tests.support.postgres_files import new_database

MESSAGES, STATISTICS = "/api/tenant/messages", "/api/tenant/statistics"
NEW = """
insert into messages (tenant_id, id, challenge_id, identifier, channel, country, state, provider, error,
  price_microdollars, created_at, delivered_at)
values ($1, id_floor('msg', $2) || $3, $4, $5, $6, $7, $8, $9, null, $10, $2, $2 + $11::float8 * interval '1 s')
"""
ANSWERED = """
insert into challenges (tenant_id, id, identifier, channel, status, expires_at, message_id)
values ($1, $2, '+12015550142', 'sms', $3, now(), $4)
"""


async def read(app: TenantApp, path: str, key: str = "secret_key", **query: Any) -> httpx.Response:
    named = {name: str(value) for name, value in query.items()}
    return await app.api.client.get(path, params=named, headers={"x-api-key": app.tenant[key]})


async def listed(app: TenantApp, **query: Any) -> list[dict[str, Any]]:
    answer = await read(app, MESSAGES, **query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def make(app: TenantApp, age: timedelta = timedelta(), **columns: Any) -> str:
    """Create a message with an age; return its id."""
    at = datetime.now(UTC) - age
    row = {"channel": "sms", "country": "US", "state": "sent", "provider": "twilio", "price": None, "took": None}
    row |= {"challenge_id": new_id("ch"), "identifier": "+12015550142"} | columns
    order = ("challenge_id", "identifier", "channel", "country", "state", "provider", "price", "took")
    suffix = new_id("x")[-16:]
    await app.message_db.do(NEW, app.id, at, suffix, *(row[name] for name in order))
    found = await app.message_db.connection.fetchval("select id_floor('msg', $1) || $2", at, suffix)
    return str(found)


async def verify(app: TenantApp, message_id: str, status: str = "answered") -> None:
    """Record the verification of the challenge of a message."""
    challenge_id = await app.message_db.connection.fetchval(
        "select challenge_id from messages where id = $1", message_id
    )
    await app.message_db.do(ANSWERED, app.id, challenge_id, status, message_id)


async def test_message_list_hides_the_phone_and_the_code(app: TenantApp, phone: str, url: str) -> None:
    costs = "update messages set country = 'US', segments = 2, price_microdollars = 15800, price_source = 'estimate'"
    await app.message_db.do(f"{costs} where identifier = $1", phone)
    await Report(url, "delivered").send(app.api)
    row = await app.message(phone)

    answer = await read(app, MESSAGES)

    [message] = answer.json()["data"]
    times = {name: datetime.fromisoformat(message.pop(name)) for name in ("created_at", "updated_at", "delivered_at")}
    assert times == {name: row[name] for name in times}
    assert message == {
        "message_id": row["id"],
        "challenge_id": row["challenge_id"],
        "channel": "sms",
        "destination": f"+1•••••••{phone[-3:]}",
        "country": "US",
        "state": "delivered",
        "provider": "twilio",
        "error": None,
        "retry_of": None,
        "notice": None,
        "segments": 2,
        "price": "0.015800",
        "price_source": "estimate",
    }
    assert answer.json()["next_cursor"] is None
    assert phone not in answer.text
    assert app.carrier.code_for(phone) not in answer.text


async def test_operator_and_secret_key_read_the_same_messages(app: TenantApp, phone: str) -> None:
    await app.ask(phone)
    other = await app.api.tenant()
    for path in ("messages", "statistics"):
        ours = await read(app, f"/api/tenant/{path}", until="2099-01-01T00:00:00Z", since="2098-12-31T00:00:00Z")
        query = "until=2099-01-01T00:00:00Z&since=2098-12-31T00:00:00Z"
        theirs = await app.api.admin("GET", f"/api/admin/tenants/{app.id}/{path}?{query}")
        assert ours.status_code == 200
        assert ours.json() == theirs.json()
        for key in ("api_key", "test_key"):
            rejected = await read(app, f"/api/tenant/{path}", key)
            assert (rejected.status_code, rejected.json()["code"]) == (403, "forbidden")
    assert await listed(TenantApp(app.api, app.carrier, app.message_db, other)) == []
    assert len(await listed(app)) == 1


async def test_sandbox_is_excluded_from_messages_and_statistics(app: TenantApp, phone: str) -> None:
    requested = await app.api.post("/api/auth/request", {"phone": phone}, app.tenant["test_key"])
    assert requested.status_code == 200

    assert await listed(app) == []
    assert (await read(app, STATISTICS)).json()["data"] == []


async def test_pagination_is_stable_while_messages_are_added(app: TenantApp) -> None:
    made = [await make(app, timedelta(seconds=n)) for n in range(7)]  # newest first

    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        page = (await read(app, MESSAGES, limit=2, cursor=cursor)).json()
        seen += [message["message_id"] for message in page["data"]]
        cursor = page["next_cursor"]
        await make(app, timedelta(seconds=-1))

    assert seen == made
    assert cursor is None


async def test_each_filter_returns_the_matching_messages(app: TenantApp) -> None:
    ch = new_id("ch")
    rows: dict[str, dict[str, Any]] = {
        "delivered": {"state": "delivered"},
        "sns": {"provider": "sns", "country": "DE", "identifier": "+491713920001"},
        "mail": {"channel": "email", "provider": "smtp", "country": None, "identifier": "a@b.co"},
        "of a challenge": {"challenge_id": ch, "state": "failed"},
        "old": {"age": timedelta(days=3)},
    }
    ids = {await make(app, **columns): name for name, columns in rows.items()}
    await app.message_db.do(ANSWERED, app.id, ch, "open", None)
    day, hour = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) - timedelta(hours=1)
    cases: list[tuple[dict[str, object], set[str]]] = [
        ({}, set(rows)),
        ({"state": "delivered"}, {"delivered"}),
        ({"state": "queued"}, set()),
        ({"provider": "sns"}, {"sns"}),
        ({"channel": "email"}, {"mail"}),
        ({"country": "DE"}, {"sns"}),
        ({"challenge_id": ch}, {"of a challenge"}),
        ({"challenge_id": ch, "state": "sent"}, set()),
        ({"challenge_id": ch, "until": day.isoformat()}, set()),
        ({"challenge_id": new_id("ch")}, set()),
        ({"until": day.isoformat()}, {"old"}),
        ({"since": day.isoformat()}, set(rows) - {"old"}),
        ({"since": "2020-01-01T00:00:00Z", "until": hour.isoformat()}, {"old"}),
    ]
    for query, names in cases:
        assert {ids[message["message_id"]] for message in await listed(app, **query)} == names, query
    [mail] = await listed(app, channel="email")
    assert mail["destination"] == "a•••@b.co"


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        *((path, {name: value}, name) for path in (MESSAGES, STATISTICS) for name in ("since", "until")
          for value in ("yesterday", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00Z", "1e9",
                        "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00Z\x00")),
        (MESSAGES, {"state": "lost"}, "state"),
        (MESSAGES, {"provider": "pigeon"}, "provider"),
        (MESSAGES, {"channel": "SMS"}, "channel"),
        (MESSAGES, {"country": "Germany"}, "country"),
        (MESSAGES, {"country": "D\x00"}, "country"),
        (MESSAGES, {"challenge_id": "ch_1"}, "challenge_id"),
        (MESSAGES, {"cursor": "\x00"}, "cursor"),
        (MESSAGES, {"limit": "201"}, "limit"),
        (STATISTICS, {"group_by": "tenant"}, "group_by"),
        (STATISTICS, {"since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:01Z"}, "since"),
        (STATISTICS, {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
        (STATISTICS, {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
    ],
)  # fmt: skip
async def test_invalid_query_parameter_is_rejected(
    app: TenantApp, path: str, query: dict[str, str], field: str
) -> None:
    rejected = await read(app, path, **query)

    assert (rejected.status_code, rejected.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in rejected.json()["errors"]] == [field]


async def test_statistics_are_grouped_by_country_provider_and_channel(app: TenantApp) -> None:
    american = [await make(app, state="delivered", took=seconds, price=7900) for seconds in (2.0, 4.5, 60.0)]
    american.append(await make(app, state="failed", price=0))
    american.append(await make(app, state="unknown", provider="sns"))
    await make(app, state="queued", provider=None)  # not sent yet
    await make(app, state="failed", provider="none")  # not sent either
    await make(app, state="delivered", took=1.0, age=timedelta(hours=25))  # of yesterday
    await make(app, country="DE", identifier="+491713920001", price=1_075_000)
    await make(app, channel="email", provider="smtp", country=None, identifier="a@b.co")
    await verify(app, american[0])
    await verify(app, american[1])
    await verify(app, american[2], "exhausted")

    by_country = (await read(app, STATISTICS)).json()
    by_provider = (await read(app, STATISTICS, group_by="provider")).json()["data"]
    by_channel = (await read(app, STATISTICS, group_by="channel")).json()["data"]

    until, since = (datetime.fromisoformat(by_country[name]) for name in ("until", "since"))
    assert (by_country["group_by"], until - since) == ("country", timedelta(days=1))
    nothing: dict[str, object] = {
        "sent": 1,
        "delivered": 0,
        "failed": 0,
        "unknown": 0,
        "verified": 0,
        "conversion": 0.0,
    }
    nothing |= {"median_delivery_in": None, "cost": "0.000000"}
    assert by_country["data"] == [
        {
            **{"group": "US", "sent": 5, "delivered": 3, "failed": 1, "unknown": 1, "verified": 2, "conversion": 0.4},
            **{"median_delivery_in": 5, "cost": "0.023700"},
        },
        nothing | {"group": "DE", "cost": "1.075000"},
        nothing | {"group": None},
    ]
    assert [(group["group"], group["sent"]) for group in by_provider] == [("twilio", 5), ("smtp", 1), ("sns", 1)]
    assert [(group["group"], group["sent"]) for group in by_channel] == [("sms", 6), ("email", 1)]


async def test_login_is_counted_for_the_newest_message_only(app: TenantApp) -> None:
    first, second, *_ = phones = spread_phones(3)
    for phone in phones:
        await app.ask(phone)
    await app.log_in(first)
    # The first message of the second person does not count, if the second one does.
    await end_resend_delay(app.message_db.connection, second)
    challenge_id = (await app.message(second))["challenge_id"]
    again = await app.api.post(
        "/api/auth/request", {"phone": second, "challenge_id": challenge_id}, app.tenant["api_key"]
    )
    assert again.json()["challenge_id"] == challenge_id
    await app.log_in(second)

    [group] = (await read(app, STATISTICS, group_by="channel")).json()["data"]

    assert (group["sent"], group["verified"], group["conversion"]) == (4, 2, 0.5)


async def test_failed_message_and_its_retry_are_listed_separately(app: TenantApp, phone: str, url: str) -> None:
    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)
    first = (await app.message(phone))["id"]
    await make(app, provider="console")
    await app.message_db.do("update messages set retry_of = $2 where tenant_id = $1 and id <> $2", app.id, first)

    second, shown = await listed(app)

    assert (shown["error"], shown["retry_of"], second["retry_of"]) == ("undelivered:30003", None, first)


@pytest.fixture(scope="module")
async def replica_url(postgres_server: PostgresServer) -> str:
    """Return an empty database, which stands for a replica that lags behind."""
    return await new_database(postgres_server, "auth1_replica")


async def test_lists_and_statistics_use_the_read_replica(
    start_app: Started, app: TenantApp, replica_url: str, phone: str
) -> None:
    await app.ask(phone)
    assert app.api.services.reads is app.api.services.postgres
    assert len(await listed(app)) == 1
    app.api = await start_app(DATABASE_READ_URL=replica_url)

    assert await listed(app) == []
    assert (await read(app, STATISTICS)).json()["data"] == []


async def test_reports_use_the_primary_while_the_replica_is_unavailable(
    start_app: Started, app: TenantApp, phone: str, unused_tcp_port: int
) -> None:
    nowhere = f"postgresql://auth1@127.0.0.1:{unused_tcp_port}/auth1"
    app.api = await start_app(DATABASE_READ_URL=nowhere, TWILIO_API_URL=app.carrier.url)

    for path in (MESSAGES, STATISTICS):
        assert (await read(app, path)).status_code == 200
    assert (await app.ask(phone))[0] == 200
    assert (await app.api.client.get("/health/ready")).status_code == 200


async def test_report_queries_are_read_only_with_a_longer_timeout(start_app: Started) -> None:
    postgres = (await start_app(TIMEOUT_SCALE="1")).services.postgres

    [row] = await postgres.report(Query("slow", "select current_setting('statement_timeout') from pg_sleep(1.1)"))

    assert row[0] == "10s"
    [row] = await postgres.rows(Query("after", "select current_setting('statement_timeout')"))
    assert row[0] == "1s"
    with pytest.raises(Unavailable):
        await postgres.report(Query("write", "delete from messages"))


async def test_report_limit_leaves_connections_for_other_requests(start_app: Started, app: TenantApp) -> None:
    app.api = await start_app(DATABASE_POOL_SIZE=str(MAX_REPORTS + 1), TIMEOUT_SCALE="1")
    postgres = app.api.services.postgres
    slow = [asyncio.create_task(postgres.report(Query("slow", "select pg_sleep(3)"))) for _ in range(MAX_REPORTS)]
    await asyncio.sleep(0)

    waiting = await read(app, STATISTICS)
    others = await app.api.tenant()

    assert (waiting.status_code, waiting.json()["code"]) == (503, "unavailable")
    assert others["tenant_id"]
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert (await read(app, STATISTICS)).status_code == 200


async def test_reports_leave_a_connection_for_logins_in_a_small_pool(
    start_app: Started, app: TenantApp, phone: str
) -> None:
    app.api = await start_app(DATABASE_POOL_SIZE="2", TIMEOUT_SCALE="1")
    postgres = app.api.services.postgres
    slow = [asyncio.create_task(postgres.report(Query("slow", "select pg_sleep(1.5)"))) for _ in range(2)]
    await asyncio.sleep(0)

    status, _ = await app.ask(phone)

    assert status == 200
    assert sorted(type(outcome).__name__ for outcome in await asyncio.gather(*slow, return_exceptions=True)) == [
        "Unavailable",
        "list",
    ]


async def test_report_on_the_only_connection_times_out_early(start_app: Started) -> None:
    postgres = (await start_app(DATABASE_POOL_SIZE="1", TIMEOUT_SCALE="1")).services.postgres

    with pytest.raises(Unavailable, match="exceeded its 1 s limit"):
        await postgres.report(Query("slow", "select pg_sleep(3)"))
