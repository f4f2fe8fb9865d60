"""Retention deletes all expired rows and nothing else, without blocking."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg
import pytest

from auth1 import retention
from auth1.core.ids import new_id
from auth1.core.postgres import Queries
from tests.sql.conftest import Connect
from tests.sql.rows import (
    make_challenge,
    make_consent,
    make_grant,
    make_hosted_login,
    make_idempotency,
    make_identifier,
    make_link,
    make_message,
    make_session,
    make_spending,
)
from tests.support.api_client import ApiClient

QUERIES = Queries("retention")


class Purge(NamedTuple):
    """A purge, how to create its rows, and which ages are expired or kept."""

    query: str
    table: str
    key: str
    make: Callable[..., Awaitable[None]]
    old: dict[str, tuple[str | int | None, ...]]
    kept: dict[str, tuple[str | int | None, ...]]


INDEXED_PURGES = [
    Purge(
        "purge_challenges",
        "challenges",
        "id",
        make_challenge,
        old={"expired": ("30 days 1 minute",), "long_ago": ("1 year",)},
        kept={"still": ("29 days 23 hours",), "open": ("-10 minutes",)},
    ),
    Purge(
        "purge_messages",
        "messages",
        "id",
        make_message,
        old={state: ("30 days 1 minute", state) for state in ("sent", "delivered", "failed", "unknown")},
        kept={"queued": ("31 days", "queued"), "still": ("29 days 23 hours", "sent")},
    ),
    Purge(
        "purge_links",
        "links",
        "message_id",
        make_link,
        old={"expired": ("1 day 1 minute",), "long_ago": ("1 year",)},
        kept={"still": ("23 hours",), "open": ("-10 minutes",)},
    ),
    Purge(
        "purge_idempotency",
        "idempotency",
        "route",
        make_idempotency,
        old={"used": ("24 hours 1 minute",), "long_ago": ("1 year",)},
        kept={"still": ("23 hours 59 minutes",), "new": ("0",)},
    ),
    Purge(
        "purge_spending",
        "spending",
        "country",
        make_spending,
        old={"last_year": ("14 months",), "long_ago": ("3 years",)},
        kept={"still": ("12 months",), "today": ("0",)},
    ),
    Purge(
        "purge_sessions",
        "sessions",
        "id",
        make_session,
        old={
            "expired": ("30 days 1 minute", None),
            "revoked": ("-60 days", "30 days 1 minute"),
            "both": ("31 days", "1 day"),
        },
        kept={"live": ("-60 days", None), "ended": ("29 days 23 hours", None), "logged_out": ("-60 days", "29 days")},
    ),
    Purge(
        "purge_logins",
        "logins",
        "id",
        make_hosted_login,
        old={
            "expired": ("1 day 1 minute", 1),
            "long_ago": ("1 year", 1),
            "without_code": ("1 hour 1 minute", 0),
            "pushed": ("1 second", 0, ""),  # no browser has begun it
        },
        kept={
            "still": ("23 hours", 1),
            "expired_lately": ("59 minutes", 0),
            "open": ("-10 minutes", 0),
            "pushed_lately": ("-1 minute", 0, ""),
        },
    ),
    Purge(
        "purge_grants",
        "grants",
        "id",
        make_grant,
        old={
            "expired": ("1 day 1 minute", None),
            "revoked": ("-60 days", "1 day 1 minute"),
        },
        kept={"live": ("-60 days", None), "ended": ("23 hours", None), "revoked_lately": ("-60 days", "23 hours")},
    ),
    Purge(
        "purge_consents",
        "consents",
        "user_id",
        make_consent,
        old={"ended": ("30 days 1 minute",)},
        kept={"given": (None,), "ended_lately": ("29 days",)},
    ),
    Purge(
        "purge_identifiers",
        "identifiers",
        "identifier",
        make_identifier,
        old={
            "never_sent": (None, None, None, None),
            "sent": ("2 days 1 minute", None, None, None),
            "guessed": ("3 days", "2 days 1 minute", None, None),
            "was_locked": ("3 days", "3 days", "1 minute", None),
        },
        kept={
            "proven": ("1 year", None, None, "usr_1"),
            "sent_yesterday": ("1 day 23 hours", None, None, None),
            "guessed_yesterday": ("3 days", "1 day 23 hours", None, None),
            "locked": ("3 days", "3 days", "-1 hour", None),
        },
    ),
]
every_purge = pytest.mark.parametrize("purge", INDEXED_PURGES, ids=lambda purge: str(purge.query))


async def names(connection: asyncpg.Connection, purge: Purge, tenant: str) -> list[str]:
    rows = await connection.fetch(f"select {purge.key} from {purge.table} where tenant_id = $1 order by 1", tenant)
    return [row[0] for row in rows]


def arguments_of(name: str, **values: object) -> list[object]:
    """Return the arguments of a purge in the order of its parameters."""
    return [values[parameter] for parameter in QUERIES[name].parameters]


async def purged(connection: asyncpg.Connection, name: str, limit: int) -> int:
    arguments = arguments_of(name, max_rows=limit, first_page=0, end_page=1_000_000)
    count: int = await connection.fetchval(QUERIES[name].text, *arguments)
    return count


@every_purge
async def test_purge_deletes_expired_rows_only(connection: asyncpg.Connection, purge: Purge) -> None:
    tenant = new_id("tn")
    for name, details in (purge.old | purge.kept).items():
        await purge.make(connection, tenant, name, *details)

    assert await purged(connection, purge.query, 1000) == len(purge.old)

    assert await names(connection, purge, tenant) == sorted(purge.kept)
    assert await purged(connection, purge.query, 1000) == 0


@pytest.mark.parametrize(
    ("make", "purge", "details"),
    [
        (make_hosted_login, "purge_logins", ("-10 minutes", 0)),
        (make_grant, "purge_grants", ("-60 days", None)),
        (make_consent, "purge_consents", (None,)),
    ],
)
async def test_rows_of_a_deleted_application_are_purged(
    connection: asyncpg.Connection,
    make: Callable[..., Awaitable[None]],
    purge: str,
    details: tuple[str | int | None, ...],
) -> None:
    tenant = new_id("tn")
    await make(connection, tenant, "live", *details)
    await connection.execute("update logins set client_id = 'app_1' where tenant_id = $1", tenant)
    await connection.execute(
        "insert into applications (tenant_id, id, name, kind) values ($1, 'app_2', '', 'web')", tenant
    )
    await connection.execute(
        "insert into applications (tenant_id, id, name, kind) values ($1, 'app_1', '', 'web') on conflict do nothing",
        tenant,
    )
    assert await purged(connection, purge, 1000) == 0

    await connection.execute("delete from applications where tenant_id = $1 and id = 'app_1'", tenant)

    assert await purged(connection, purge, 1000) == 1


@every_purge
async def test_purge_is_limited_to_its_batch_size(connection: asyncpg.Connection, purge: Purge) -> None:
    tenant = new_id("tn")
    details = next(iter(purge.old.values()))
    for number in range(7):
        await purge.make(connection, tenant, f"old_{number}", *details)

    assert [await purged(connection, purge.query, 3) for _ in range(4)] == [3, 3, 1, 0]

    assert await names(connection, purge, tenant) == []


@every_purge
async def test_purge_skips_locked_rows(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str, purge: Purge
) -> None:
    tenant = new_id("tn")
    details = next(iter(purge.old.values()))
    for name in ("held", "free"):
        await purge.make(connection, tenant, name, *details)
    holder = await connect(migrated_url)

    async with holder.transaction():
        await holder.execute(
            f"select 1 from {purge.table} where tenant_id = $1 and {purge.key} = 'held' for no key update", tenant
        )
        assert await purged(connection, purge.query, 1000) == 1
        assert await names(connection, purge, tenant) == ["held"]

    assert await purged(connection, purge.query, 1000) == 1


async def test_one_retention_run_deletes_several_batches(app: ApiClient, connection: asyncpg.Connection) -> None:
    tenant = new_id("tn")
    many = 2 * retention.BATCH + 1
    await connection.execute(
        """insert into challenges (tenant_id, id, identifier, channel, expires_at)
           select $1, 'ch_' || n, '+15551234567', 'sms', now() - interval '31 days'
           from generate_series(1, $2::int) as n""",
        *(tenant, many),
    )

    await retention.run_once(app.services)

    assert await connection.fetchval("select count(*) from challenges where tenant_id = $1", tenant) == 0


async def test_concurrent_retention_runs_are_independent(app: ApiClient, connection: asyncpg.Connection) -> None:
    tenant = new_id("tn")
    for number in range(50):
        await make_challenge(connection, tenant, f"ch_{number}", "31 days")
    await connection.fetch(
        "select make_events_partition((now() - make_interval(years => n))::date) from generate_series(2, 6) n"
    )

    await asyncio.gather(*(retention.run_once(app.services) for _ in range(4)))

    assert await connection.fetchval("select count(*) from challenges where tenant_id = $1", tenant) == 0
    years_ago = "select count(*) from pg_class where relname ~ ('^events_' || extract(year from now()) - 2)"
    assert await connection.fetchval(years_ago) == 0


async def plan_of(connection: asyncpg.Connection, name: str) -> str:
    text = QUERIES[name].text
    for number, value in enumerate(arguments_of(name, max_rows=1000, first_page=10, end_page=20), 1):
        text = text.replace(f"${number}", str(value))
    return "\n".join(row[0] for row in await connection.fetch(f"explain {text}"))


@pytest.mark.parametrize("name", [*retention.TABLE_SCANS, "purge_idempotency", "purge_spending"])
async def test_no_purge_needs_a_sequential_scan(connection: asyncpg.Connection, name: str) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("set local enable_seqscan = off")  # which the planner passes over where it must

    plan = await plan_of(connection, name)

    await transaction.rollback()
    assert "Seq Scan" not in plan, plan


async def test_purge_of_an_empty_deleted_tenant_needs_no_sequential_scan(
    connection: asyncpg.Connection,
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        """insert into challenges (tenant_id, id, identifier, channel, expires_at)
           select $1, 'ch_' || n, '+15551234567', 'sms', now() from generate_series(1, 20000) as n""",
        new_id("tn"),
    )
    await connection.execute("analyze challenges")

    plan = await plan_of(connection, "purge_deleted_challenges")

    await transaction.rollback()
    assert "Seq Scan on challenges c " not in plan, plan  # c_1, of those found, may be a small table's


async def test_purge_scans_its_page_range_only(connection: asyncpg.Connection) -> None:
    tenant = new_id("tn")
    await make_challenge(connection, tenant, "old", "31 days")
    page = await connection.fetchval(
        "select (ctid::text::point)[0]::bigint from challenges where tenant_id = $1", tenant
    )
    purge = QUERIES["purge_challenges"].text

    async def look_at(first_page: int, end_page: int) -> int:
        arguments = arguments_of("purge_challenges", max_rows=1000, first_page=first_page, end_page=end_page)
        return int(await connection.fetchval(purge, *arguments))

    assert await look_at(page + 1, page + 1000) == 0
    assert await look_at(page, page + 1) == 1


def test_page_ranges_cover_small_tables_at_once_and_large_tables_over_time() -> None:
    small = retention.RANGE_PAGES * (retention.MAX_RANGES - 1) + 1
    assert sorted(retention.sample_page_ranges(small)) == list(range(0, small, retention.RANGE_PAGES))
    assert retention.sample_page_ranges(0) == []

    large = retention.RANGE_PAGES * retention.MAX_RANGES * 4
    rounds = [retention.sample_page_ranges(large) for _ in range(200)]
    assert {len(set(firsts)) for firsts in rounds} == {retention.MAX_RANGES}
    assert {first for firsts in rounds for first in firsts} == set(range(0, large, retention.RANGE_PAGES))


async def test_failed_purge_of_a_table_does_not_block_other_tables(
    app: ApiClient, connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    tenant = new_id("tn")
    await make_challenge(connection, tenant, "ch_1", "31 days")
    await make_link(connection, tenant, "msg_1", "31 days")
    holder = await connect(migrated_url)

    async with holder.transaction():
        await holder.execute("lock table challenges in exclusive mode")
        await retention.run_once(app.services)

    assert await connection.fetchval("select count(*) from links where tenant_id = $1", tenant) == 0
    assert await connection.fetchval("select count(*) from challenges where tenant_id = $1", tenant) == 1


async def test_purge_deletes_look_ups_that_expired_30_days_ago(connection: asyncpg.Connection) -> None:
    ages = {
        b"old": ("31 days", "31 days"),
        b"typed": ("31 days", None),
        b"risk": ("31 days", "1 day"),
        b"new": ("0", None),
    }
    await connection.execute("delete from line_types")
    for digest, times in ages.items():
        await connection.execute(
            """insert into line_types (digest, line_type, looked_up_at, signals_at)
               values ($1, 'mobile', now() - $2::text::interval, now() - $3::text::interval)""",
            *(digest, *times),
        )

    assert await purged(connection, "purge_line_types", 1000) == 2

    rows = await connection.fetch("select digest from line_types order by digest")
    assert [row["digest"] for row in rows] == [b"new", b"risk"]
