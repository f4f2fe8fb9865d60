"""Rules of the whole schema: ids that sort by time, and primary keys that begin with the tenant."""

from datetime import UTC, datetime, timedelta

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.core.ids import new_id
from auth1.core.postgres.migrations import migrations
from tests.sql.schema import describe

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHARED = {"migrations", "tenants", "line_types", "datasets", "dataset_parts", "event_readers", "event_clock"} | {
    "keys"  # a key is found by its digest, before its tenant is known
}

moments = st.timedeltas(timedelta(0), timedelta(days=100_000)).map(lambda age: EPOCH + age)  # to the microsecond


def lowest_id(prefix: str, moment: datetime) -> str:
    """Return the lowest id of a timestamp: its milliseconds, then zeros."""
    number = (moment - EPOCH) // timedelta(milliseconds=1) << 80
    return f"{prefix}_" + "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(26)))


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(st.lists(moments, min_size=1, max_size=200))
async def test_id_floor_is_the_prefix_of_the_lowest_id_of_a_timestamp(migrated_url: str, times: list[datetime]) -> None:
    connection = await asyncpg.connect(migrated_url)  # its own: fixtures of one test hold for all examples

    rows = await connection.fetch("select id_floor('evt', t) from unnest($1::timestamptz[]) as t", times)

    assert [row[0] for row in rows] == [lowest_id("evt", moment)[: len("evt_") + 10] for moment in times]
    await connection.close()


async def test_new_id_is_between_the_surrounding_floors(connection: asyncpg.Connection) -> None:
    for _ in range(20):
        before = datetime.now(UTC)
        made = new_id("evt")
        after = datetime.now(UTC) + timedelta(milliseconds=1)

        between = """select id_floor('evt', $1) <= $3 collate "C" and $3 collate "C" < id_floor('evt', $2)"""
        assert await connection.fetchval(between, before, after, made)


async def test_ids_sort_by_creation_time() -> None:
    made = []
    for _ in range(50):
        made.append(new_id("evt"))
        now = datetime.now(UTC)
        while (datetime.now(UTC) - now) < timedelta(milliseconds=1):
            pass

    assert made == sorted(made)


async def test_primary_keys_of_tenant_tables_begin_with_tenant_id(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("""
        select c.relname as name, a.attname as first_column
        from pg_class c
        left join pg_index i on i.indrelid = c.oid and i.indisprimary
        left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')""")
    first_columns = {row["name"]: row["first_column"] for row in rows}

    assert first_columns.keys() >= SHARED | {"users", "sessions", "identifiers", "challenges", "messages", "events"}
    assert {column for name, column in first_columns.items() if name not in SHARED} == {"tenant_id"}


async def test_ids_have_the_c_collation(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("""
        select c.relname || '.' || a.attname as name
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        join pg_collation o on o.oid = a.attcollation
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and o.collname <> 'C'
          and a.attname in ('id', 'tenant_id', 'user_id', 'challenge_id', 'message_id', 'identifier', 'subject')""")

    assert [row["name"] for row in rows] == []


async def test_operator_column_on_users_survives_the_migrations(connection: asyncpg.Connection) -> None:
    await connection.execute("alter table users add column favourite_colour text")
    before = await describe(connection)

    for migration in migrations():
        await migration.run(connection)

    assert await describe(connection) == before
    await connection.execute("alter table users drop column favourite_colour")
