"""Measure the audit log: CPU per sealed and verified event, and lists and exports on a large table beside a small one.

    python -m bench.audit [--events 1000000] [--small 50000] [--rounds 5]

Both tables are in one PostgreSQL, and the rounds alternate between them. CPU is that of this process and of all
processes of PostgreSQL. A page looks at the events that it returns, and at 20,000 where its filters match none. The
ratio of the medians is large by small.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import asyncpg

from auth1.app import start_services, stop_services
from auth1.audit import export, lists, seals
from auth1.audit.pages import AuditReader
from auth1.audit.schemas import EventQuery
from auth1.audit.seals import seal_keys
from auth1.audit.verify import Verification
from auth1.config.settings import load_settings
from auth1.core.log import Log
from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import PostgresServer
from auth1.services import Services
from bench.accounts import cpu_s

TENANT = "tn_" + "0" * 26
PER_TRANSACTION = 1000
MEASURED = 60_000  # events of a round
MAX_CALLS = 200
FILL = """
do $$ begin for batch in 0..{last} loop
  insert into events (tenant_id, id, type, actor, subject, request_id, network, data)
  select case when n % 5 = 0 then 'tn_' || repeat('1', 26) else '{tenant}' end,
    id_floor('evt', now() - interval '20 days' + (batch * {size} + n) * interval '1 ms')
      || substr(md5(random()::text), 1, 16),
    'challenge.answered', 'key_01kf0fv2pjhdzzhmns4181skmx', 'ch_' || substr(md5(random()::text), 1, 26),
    'req_' || substr(md5(random()::text), 1, 26), '203.0.113.0/24',
    jsonb_build_object('user_id', 'usr_' || (batch * {size} + n) % {users}, 'session_id', 'ses_' || md5(n::text),
      'is_new_user', false)
  from generate_series(1, {size}) as n;
  commit;
end loop; end $$"""
QUERIES = {
    "page": EventQuery(),
    "type": EventQuery(type="user.banned"),
    "subject": EventQuery(subject="ch_nothing"),
    "actor": EventQuery(actor="key_nothing"),
    "request_id": EventQuery(request_id="req_nothing"),
    "user": EventQuery(user="usr_7"),
}


class Table(NamedTuple):
    """A filled database, and the services on it."""

    events: int
    services: Services
    tenant_users: int


async def fill(server: PostgresServer, events: int) -> Table:
    """Create a database with events; about 250 of them for each user."""
    name = f"audit_{events}"
    admin = await asyncpg.connect(server.url())
    await admin.execute(f"create database {name}")
    await admin.close()
    await migrate(server.url(name))
    users = max(1, events // 250)
    connection = await asyncpg.connect(server.url(name))
    last = events // PER_TRANSACTION - 1
    await connection.execute(FILL.format(last=last, tenant=TENANT, size=PER_TRANSACTION, users=users), timeout=7200)
    await connection.execute("vacuum analyze events")
    await connection.close()
    settings = load_settings(
        {
            "DATABASE_URL": server.url(name),
            "REDIS_URL": "redis://127.0.0.1:1",
            "JWT_SECRET": "a secret for a measurement, as long as it has to be",
            "TIMEOUT_SCALE": "20",
        }
    )
    return Table(events, await start_services(settings, Log("error"), background=False), users)


async def page(table: Table, query: EventQuery) -> int:
    """Read one page; return the number of events that it looked at."""
    found = await lists.list_events(table.services.postgres, TENANT, query)
    if found.rows:
        return len(found.rows) + 1
    return min(lists.MAX_LOOKED, table.events)


async def export_some(table: Table, _: EventQuery) -> int:
    """Export some pages from the beginning."""
    pieces, count = await export.begin(table.services.postgres, TENANT, "ndjson", ""), 0
    for _page in range(10):
        count += (await anext(pieces)).count(b"\n")
    return count


def cpu(server: PostgresServer) -> float:
    """Return the CPU of this process and of PostgreSQL, in seconds."""
    return time.process_time() + cpu_s(server.pid)


async def compare(server: PostgresServer, tables: list[Table], rounds: int) -> None:
    """Print the CPU of lists and exports for each event that they look at."""

    async def measure(table: Table, act: Callable[[Table, EventQuery], Awaitable[int]], query: EventQuery) -> float:
        await act(table, query)
        began, looked, calls = cpu(server), 0, 0
        while looked < MEASURED and calls < MAX_CALLS:
            looked, calls = looked + await act(table, query), calls + 1
        return (cpu(server) - began) / looked * 1e6

    small, large = tables
    print(f"{'µs of CPU per event':20} {small.events:>12,} {large.events:>12,} {'ratio':>8}")
    for name, query in [*QUERIES.items(), ("export", EventQuery())]:
        act = export_some if name == "export" else page
        results = [[await measure(table, act, query) for table in tables] for _ in range(rounds)]
        one, other = (statistics.median(result[number] for result in results) for number in (0, 1))
        print(f"{name:20} {one:12.2f} {other:12.2f} {other / one:8.2f}", flush=True)


async def seal_and_verify(server: PostgresServer, table: Table) -> None:
    """Seal all events of a table, then verify them; print the CPU of an event."""
    began, own, sealed = cpu(server), time.process_time(), 0
    while count := await seals.seal_once(table.services):
        sealed += count
    whole, own = (cpu(server) - began) / sealed * 1e6, (time.process_time() - own) / sealed * 1e6
    print(f"seal {sealed:,}: {whole:.1f} µs an event, {own:.1f} of them in Python", flush=True)
    began = cpu(server)
    reader = AuditReader(table.services.postgres, None)
    report = await Verification(reader, seal_keys(table.services.keyring)).run()
    assert not report.findings
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"verify {report.events:,}: {(cpu(server) - began) / report.events * 1e6:.1f} µs an event; peak {memory} MiB")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        PostgresServer(Path(directory), durable=False, settings={"max_wal_size": "4GB"}) as server,
    ):
        tables = [await fill(server, options.small), await fill(server, options.events)]
        await compare(server, tables, options.rounds)
        for table in tables:
            await seal_and_verify(server, table)
            await stop_services(table.services)


if __name__ == "__main__":
    asyncio.run(main())
