"""Monthly partitions of events: created in advance, filled from the default partition, dropped as a whole."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres import Queries
from tests.sql.conftest import Connect

QUERIES, PURGES = Queries("retention"), Queries("event_purges")
MONTHS = 13
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TENANT = "tn_partitions"


def month(offset: int) -> date:
    """Return the first day of a month, counted from this one."""
    today = datetime.now(UTC).date()
    number = today.year * 12 + today.month - 1 + offset
    return date(number // 12, number % 12 + 1, 1)


def name_of(first: date) -> str:
    return f"events_{first:%Y_%m}"


@pytest.fixture(autouse=True)
async def no_other_partitions(connection: asyncpg.Connection) -> None:
    """Keep only the partitions of three months, and no events."""
    await connection.execute("truncate events")
    expected = [name_of(month(offset)) for offset in range(3)]
    for partition in await partitions(connection):
        if partition not in expected:
            await connection.execute(f"drop table {partition}")


async def partitions(connection: asyncpg.Connection) -> list[str]:
    """Return the monthly partitions."""
    rows = await connection.fetch("""
        select inhrelid::regclass::text from pg_inherits
        where inhparent = 'events'::regclass and inhrelid::regclass::text <> 'events_rest' order by 1""")
    return [row[0] for row in rows]


async def insert(connection: asyncpg.Connection, moment: datetime, after_ms: int = 0) -> str:
    """Insert an event with an id of a timestamp; return the id."""
    event_id: str = await connection.fetchval(
        """insert into events (tenant_id, id, type, actor, subject, created_at)
           values ($1, id_floor('evt', $2) || right($3, 16), 'user.created', 'auth1', 'usr_1', $2) returning id""",
        *(TENANT, moment + timedelta(milliseconds=after_ms), new_id("evt")),
    )
    return event_id


async def where(connection: asyncpg.Connection) -> dict[str, str]:
    """Return the partition of each event by its id."""
    rows = await connection.fetch(
        "select id, tableoid::regclass::text as name from events where tenant_id = $1", TENANT
    )
    return {row["id"]: row["name"] for row in rows}


def start_of(first: date) -> datetime:
    return datetime(first.year, first.month, 1, tzinfo=UTC)


async def test_migration_creates_partitions_for_three_months(connection: asyncpg.Connection) -> None:
    assert await partitions(connection) == [name_of(month(offset)) for offset in range(3)]


async def test_concurrent_workers_create_each_partition_once(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    await connection.execute(f"drop table {name_of(month(2))}")
    workers = [await connect(migrated_url) for _ in range(4)]

    made = await asyncio.gather(*(worker.fetch(QUERIES["make_partitions"].text) for worker in workers))

    assert sorted(bool(row[0]) for rows in made for row in rows) == [False] * 11 + [True]
    assert await partitions(connection) == [name_of(month(offset)) for offset in range(3)]


async def test_event_is_stored_in_the_partition_of_its_id(connection: asyncpg.Connection) -> None:
    next_month = start_of(month(1))
    ids = [await insert(connection, next_month, after_ms) for after_ms in (-1, 0, 1)]

    places = await where(connection)

    assert [places[event_id] for event_id in ids] == [name_of(month(0)), name_of(month(1)), name_of(month(1))]


async def test_early_events_move_to_their_new_partition(connection: asyncpg.Connection) -> None:
    far = start_of(month(5))
    before, first, last, after = [
        await insert(connection, moment, ms)
        for moment, ms in ((far, -1), (far, 0), (start_of(month(6)), -1), (start_of(month(6)), 0))
    ]
    assert set((await where(connection)).values()) == {"events_rest"}

    assert await connection.fetchval("select make_events_partition($1)", month(5)) is True
    assert await connection.fetchval("select make_events_partition($1)", month(5)) is False

    assert await where(connection) == {
        before: "events_rest",
        first: name_of(month(5)),
        last: name_of(month(5)),
        after: "events_rest",
    }


async def test_partitions_older_than_thirteen_months_are_dropped(connection: asyncpg.Connection) -> None:
    oldest = -MONTHS
    for offset in range(oldest - 3, 0):
        await connection.fetchval("select make_events_partition($1)", month(offset))
        await insert(connection, start_of(month(offset)))
    last_to_go = await insert(connection, start_of(month(oldest)), -1)
    first_to_stay = await insert(connection, start_of(month(oldest)))
    early = await insert(connection, start_of(month(5)))

    dropped = await connection.fetchval(PURGES["drop_partitions"].text, MONTHS)

    assert dropped == 3
    assert await partitions(connection) == [name_of(month(offset)) for offset in range(oldest, 3)]
    kept = await where(connection)
    assert last_to_go not in kept
    assert first_to_stay in kept
    assert kept[early] == "events_rest"
    assert await connection.fetchval(PURGES["drop_partitions"].text, MONTHS) == 0


async def test_concurrent_workers_drop_each_partition_once(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    await connection.fetchval("select make_events_partition($1)", month(-20))
    first, second = await connect(migrated_url), await connect(migrated_url)
    drop = PURGES["drop_partitions"].text

    async with first.transaction():
        assert await first.fetchval(drop, MONTHS) == 1
        other = asyncio.create_task(second.fetchval(drop, MONTHS))
        while not await connection.fetchval("select cardinality(pg_blocking_pids($1))", second.get_server_pid()):
            assert not other.done(), other

    assert await other == 0


async def test_events_are_written_during_partition_maintenance(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    await connection.fetchval("select make_events_partition($1)", month(-20))
    writer, tidier = await connect(migrated_url), await connect(migrated_url)
    done = asyncio.Event()

    async def write() -> int:
        written = 0
        while not done.is_set() or not written:
            await insert(writer, datetime.now(UTC))
            await insert(writer, start_of(month(3)), written)
            written += 1
        return written

    async def run_once() -> None:
        await tidier.fetchval(PURGES["drop_partitions"].text, MONTHS)
        await tidier.fetchval("select make_events_partition($1)", month(4))
        done.set()

    written, _ = await asyncio.gather(write(), run_once())

    assert len(await where(connection)) == 2 * written
