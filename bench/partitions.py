"""Compare plain tables with hash partitions of identifiers, users and sessions, in alternating rounds of one run.

    .venv/bin/python -m bench.partitions [ROWS] [--partitions 16] [--rounds 5] [--calls 400] [--directory DIR]

The key of the partitions is `tenant_id`: unique keys of a partitioned table must contain its key, and all contain this
one. Both databases are in one PostgreSQL, each with so many rows in each of the three tables, of 1,000 tenants. Prints
the CPU of the backend per call: a check of a token (`find_sessions`), an update of an identifier, and the rows of a new
user: user, identifier and session. Then one of a hundred sessions is deleted and the table vacuumed.

The ids grow, as those of Auth1 do. Indexes are built after the load, which checks no foreign keys. 13.4 million
rows in each table take 30 GB for some minutes, in a directory that is deleted at the end.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import asyncpg

from auth1.core.postgres.functions import functions
from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import PostgresServer

TABLES = ("users", "identifiers", "sessions")
TENANTS = 1000
SPLIT = """
create table {table}_split (like {table} including all) partition by hash (tenant_id);
do $$
declare options text := (select array_to_string(reloptions, ', ') from pg_class where oid = '{table}'::regclass);
begin for n in 0..{last} loop
  execute format(
    'create table {table}_%s partition of {table}_split for values with (modulus {count}, remainder %s) with (%s)',
    n, n, options);
end loop; end $$;
drop table {table} cascade;
alter table {table}_split rename to {table};
"""
REFERENCES = """
alter table sessions add foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade;
alter table identifiers add foreign key (tenant_id, user_id) references users (tenant_id, id)
  on delete set null (user_id);
alter table codes add foreign key (tenant_id, identifier) references identifiers (tenant_id, identifier)
  on delete cascade;
"""
FILL = """
insert into users (tenant_id, id)
select 'tn_' || n % 1000, 'usr_' || lpad(n::text, 26, '0') from generate_series($1::int, $2::int) as n;
insert into identifiers (tenant_id, identifier, type, user_id)
select 'tn_' || n % 1000, '+1' || n, 'phone', 'usr_' || lpad(n::text, 26, '0')
from generate_series($1::int, $2::int) as n;
insert into sessions (tenant_id, id, user_id, expires_at)
select 'tn_' || n % 1000, 'ses_' || lpad(n::text, 26, '0'), 'usr_' || lpad(n::text, 26, '0'), now() + interval '90 days'
from generate_series($1::int, $2::int) as n;
"""
STEP = 200_000
LOADING = {"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
# Constraints, the foreign keys first, and the indexes beside them.
KEYS = """
select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
  format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    || case contype when 'f' then ' not valid' else '' end as make
from pg_constraint
where contype in ('f', 'p') and conparentid = 0
  and (conrelid = any($1::text[]::regclass[]) or confrelid = any($1::text[]::regclass[]))
order by contype
"""
INDEXES = """
select format('drop index %s', indexrelid::regclass) as drop,
  replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') as make
from pg_index where indrelid = any($1::text[]::regclass[]) and not indisprimary
"""
SIZES = """
select sum(pg_table_size(c.oid))::bigint as rows, sum(pg_indexes_size(c.oid))::bigint as indexes
from pg_class c left join pg_inherits i on i.inhrelid = c.oid
where c.relkind = 'r' and coalesce(i.inhparent, c.oid) = any($1::text[]::regclass[])
"""


async def split(url: str, partitions: int) -> None:
    """Replace the three empty tables by partitioned ones, and install the functions again: they name the row types."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"drop schema {functions().schema} cascade")
    await connection.execute("drop view live_codes")
    for table in TABLES:
        await connection.execute(SPLIT.format(table=table, count=partitions, last=partitions - 1))
    await connection.execute(REFERENCES)
    await connection.execute("delete from migrations where name = '0024_codes'")  # creates the view
    await connection.close()
    await migrate(url)


async def fill(connection: asyncpg.Connection, rows: int) -> None:
    await connection.execute(
        "insert into tenants (id, slug, name) select 'tn_' || n, 't' || n, 'T' from generate_series(0, $1::int) as n",
        TENANTS - 1,
    )
    keys, indexes = await connection.fetch(KEYS, TABLES), await connection.fetch(INDEXES, TABLES)
    for one in (*keys, *indexes):
        await connection.execute(one["drop"])
    async with connection.transaction():
        await connection.execute(f"truncate {', '.join(TABLES)}")  # so that the rows need no WAL
        for first in range(1, rows + 1, STEP):
            for statement in filter(str.strip, FILL.split(";\n")):
                await connection.execute(statement, first, min(first + STEP - 1, rows))
    await connection.execute("set maintenance_work_mem = '1GB'")
    for one in (*indexes, *reversed(keys)):
        await connection.execute(one["make"])
    await connection.execute("vacuum analyze users, identifiers, sessions")


class Side:
    """One of the two databases, with a connection whose CPU is measured."""

    def __init__(self, connection: asyncpg.Connection, rows: int) -> None:
        self._connection = connection
        self._rows = rows
        self._new = rows
        self._stat = Path(f"/proc/{connection.get_server_pid()}/schedstat")
        schema = functions().schema
        request = f"row($2::text, 'ses_' || lpad($1::text, 26, '0'))::{schema}.find_session"
        self._find = f"select * from {schema}.find_sessions(array[{request}])"

    def _any(self) -> tuple[str, str]:
        """Return the number of a row, and its tenant."""
        number = random.randrange(1, self._rows + 1)
        return str(number), f"tn_{number % TENANTS}"

    async def check_token(self) -> None:
        assert await self._connection.fetchrow(self._find, *self._any())

    async def update_identifier(self) -> None:
        update = "update identifiers set sends = 1 where tenant_id = $2 and identifier = '+1' || $1::text"
        assert await self._connection.execute(update, *self._any()) == "UPDATE 1"

    async def add_user(self) -> None:
        self._new += 1
        async with self._connection.transaction():
            for statement in filter(str.strip, FILL.split(";\n")):
                await self._connection.execute(statement, self._new, self._new)

    async def vacuum(self) -> tuple[float, float]:
        """Delete one of a hundred sessions. Return seconds of CPU of the deletion, and of the vacuum."""
        used = []
        for statement in ("delete from sessions where substr(id, 29) = '00'", "vacuum (parallel 0) sessions"):
            before = int(self._stat.read_text().split()[0])
            await self._connection.execute(statement)
            used.append((int(self._stat.read_text().split()[0]) - before) / 1e9)
        return used[0], used[1]

    async def measure(self, call: Callable[["Side"], Awaitable[None]], calls: int) -> float:
        """Return microseconds of the backend per call."""
        before = int(self._stat.read_text().split()[0])
        for _ in range(calls):
            await call(self)
        return (int(self._stat.read_text().split()[0]) - before) / 1000 / calls


async def compare(server: PostgresServer, rows: int, partitions: int, rounds: int, calls: int) -> None:
    """Fill both databases, and print the medians of the rounds."""
    sides = {}
    for name in ("plain", "partitioned"):
        admin = await asyncpg.connect(server.url())
        await admin.execute(f"create database {name}")
        await admin.close()
        await migrate(server.url(name))
        if name == "partitioned":
            await split(server.url(name), partitions)
        connection = await asyncpg.connect(server.url(name))
        started = perf_counter()
        await fill(connection, rows)
        [size] = await connection.fetch(SIZES, TABLES)
        sizes = f"{size['rows'] / 1e9:.2f} GB of rows, {size['indexes'] / 1e9:.2f} GB of indexes"
        print(f"{name}: {3 * rows} rows in {perf_counter() - started:.0f} s, {sizes}", flush=True)
        sides[name] = Side(connection, rows)
    for call in (Side.check_token, Side.update_identifier, Side.add_user):
        results: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, side in sides.items():
                used = await side.measure(call, calls)
                results[name] += [used] if number else []
        medians = {name: statistics.median(values) for name, values in results.items()}
        ratio = medians["partitioned"] / medians["plain"]
        print(
            f"{call.__name__}: {medians['plain']:.0f} and {medians['partitioned']:.0f} µs, ratio {ratio:.2f}",
            flush=True,
        )
    for name, side in sides.items():
        deleted, vacuumed = await side.vacuum()
        print(
            f"{name}: {deleted:.1f} s of CPU for {rows // 100} deletions, {vacuumed:.1f} s for the vacuum", flush=True
        )


def main() -> None:
    """Read the arguments, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    for name, default in (("partitions", 16), ("rounds", 5), ("calls", 400)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--directory", type=Path, help="for the data (default: of temporary files)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as directory,
        PostgresServer(Path(directory), durable=False, settings=LOADING) as server,
    ):
        asyncio.run(compare(server, options.rows, options.partitions, options.rounds, options.calls))


if __name__ == "__main__":
    main()
