"""Measure the audit log: lists and exports of a large table beside a small one, memory, and CPU of sealing.

    python -m bench.audit [--events 1000000] [--small 50000] [--rounds 7] [--sealed N] [--data DIRECTORY]

Both tables are in one PostgreSQL, and the rounds alternate between them. CPU is that of this process and of all
processes of PostgreSQL. A page looks at the events that it returns, and at 20,000 where its filters match none. `best`
is the ratio of the least disturbed rounds, large by small; `pages` are the 8 KiB pages that PostgreSQL reads for 1,000
events. `--data` keeps the tables for another run: five million events take 4 GB.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from auth1.app import start_services, stop_services
from auth1.audit import export, lists
from auth1.audit.schemas import EventQuery
from auth1.audit.sealing import seals
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Verification
from auth1.config.settings import load_settings
from auth1.core.postgres import Queries
from auth1.core.postgres.migrations import migrate
from auth1.core.telemetry.log import Log
from auth1.dev.postgres import PostgresServer
from auth1.events.reader import run_rounds
from auth1.services import Services
from bench.accounts import cpu_s

TENANT = "tn_" + "0" * 26
PER_TRANSACTION = 1000
MEASURED = 60_000  # events of a round
MAX_CALLS = 200
RATE = 2000  # events a second
RATE_S = 20
BATCHES = 20  # a second
LISTS = Queries("event_lists")
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
    url: str
    services: Services


async def new_table(server: PostgresServer, events: int) -> Table:
    """Create a database with events, or take the one of an earlier run; about 250 of them for each user."""
    url = server.url(f"audit_{events}")
    admin = await asyncpg.connect(server.url())
    is_new = not await admin.fetchval("select true from pg_database where datname = $1", f"audit_{events}")
    if is_new:
        await admin.execute(f"create database audit_{events}")
    await admin.close()
    await migrate(url)
    if is_new:
        connection = await asyncpg.connect(url)
        last, users = events // PER_TRANSACTION - 1, max(1, events // 250)
        await connection.execute(FILL.format(last=last, tenant=TENANT, size=PER_TRANSACTION, users=users), timeout=7200)
        await connection.execute("vacuum analyze events", timeout=7200)
        await connection.close()
    return Table(events, url, await start(url))


async def start(url: str) -> Services:
    """Return services on a database, without background jobs."""
    settings = load_settings(
        {
            "DATABASE_URL": url,
            "REDIS_URL": "redis://127.0.0.1:1",
            "JWT_SECRET": "a secret for a measurement, as long as it has to be",
            "TIMEOUT_SCALE": "20",
        }
    )
    return await start_services(settings, Log("error"), background=False)


async def page(table: Table, query: EventQuery) -> int:
    """Read one page; return the number of events that it looked at."""
    found = await lists.list_events(table.services.postgres, TENANT, query)
    if found.rows:
        return len(found.rows) + 1
    return min(lists.MAX_SCANNED, table.events)


async def export_some(table: Table, _: EventQuery) -> int:
    """Export some pages from the beginning."""
    pieces, count = await export.begin(table.services.postgres, TENANT, "ndjson", ""), 0
    for _page in range(10):
        count += (await anext(pieces)).count(b"\n")
    return count


def cpu(server: PostgresServer) -> float:
    """Return the CPU of this process and of PostgreSQL, in seconds."""
    return time.process_time() + cpu_s(server.pid)


async def pages_read(table: Table, name: str, query: EventQuery, looked: int) -> float:
    """Return the pages of the main statement of a list or export for 1,000 events that it looks at."""
    arguments: dict[str, Any] = dict.fromkeys(("since", "until", "types"))
    arguments |= {"subject": query.subject, "actor": query.actor, "request_id": query.request_id, "user_id": query.user}
    arguments |= {"tenant_id": TENANT, "before": "evt_~", "tx": "0", "id": "", "max_scanned": lists.MAX_SCANNED}
    arguments |= {"types": query.types, "max_rows": export.PAGE if name == "export" else query.rows}
    statement = {"export": "export_final_events", "user": "list_events_of_user"}.get(name, "list_events")
    connection = await asyncpg.connect(table.url)
    await connection.execute("set enable_sort = off")
    text = "explain (analyze, buffers, format json) " + LISTS[statement].text
    found = await connection.fetchval(text, *[arguments[one] for one in LISTS[statement].parameters])
    await connection.close()
    plan = json.loads(found)[0]["Plan"]
    return float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]) / looked * 1000


async def compare(server: PostgresServer, tables: list[Table], rounds: int) -> None:
    """Print the CPU of lists and exports for each event that they look at."""

    async def measure(table: Table, act: Callable[[Table, EventQuery], Awaitable[int]], query: EventQuery) -> float:
        began, looked, calls = cpu(server), 0, 0
        while looked < MEASURED and calls < MAX_CALLS:
            looked, calls = looked + await act(table, query), calls + 1
        return (cpu(server) - began) / looked * 1e6

    small, large = tables
    print(f"{'µs of CPU per event':20} {small.events:>12,} {large.events:>12,} {'ratio':>8} {'best':>8} {'pages':>16}")
    for name, query in [*QUERIES.items(), ("export", EventQuery())]:
        act = export_some if name == "export" else page
        looked = [await act(table, query) for table in tables]
        results: list[list[float]] = [[], []]
        for number in range(rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                results[which].append(await measure(tables[which], act, query))
        one, other = (statistics.median(result) for result in results)
        best = min(results[1]) / min(results[0])
        looked = [export.PAGE, export.PAGE] if name == "export" else looked
        pages = [await pages_read(table, name, query, count) for table, count in zip(tables, looked, strict=True)]
        shown = f"{pages[0]:.0f} : {pages[1]:.0f}"
        print(f"{name:20} {one:12.2f} {other:12.2f} {other / one:8.2f} {best:8.2f} {shown:>16}", flush=True)


def export_all(url: str) -> tuple[int, float, int]:
    """Export all events of a tenant; return their number, the CPU in seconds and the peak of memory in MiB."""

    async def run() -> int:
        services, count = await start(url), 0
        async for piece in await export.begin(services.postgres, TENANT, "ndjson", ""):
            count += piece.count(b"\n")
        await stop_services(services)
        return count

    count = asyncio.run(run())
    return count, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def verify_all(url: str) -> tuple[int, float, int]:
    """Verify all events of a database; return the same."""

    async def run() -> int:
        services = await start(url)
        report = await Verification(AuditReader(services.postgres, None), seal_keys(services.keyring)).run()
        assert not report.findings, report.findings
        await stop_services(services)
        return report.events

    count = asyncio.run(run())
    return count, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def in_process(server: PostgresServer, table: Table, act: Callable[[str], tuple[int, float, int]]) -> None:
    """Print CPU and peak memory of a job in a process of its own."""
    began = cpu_s(server.pid)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        count, own, memory = pool.apply(act, (table.url,))
    whole = (own + cpu_s(server.pid) - began) / count * 1e6
    print(f"{act.__name__} {count:,} of {table.events:,}: {whole:.1f} µs an event; peak {memory} MiB", flush=True)


async def seal_all(server: PostgresServer, table: Table, most: int) -> None:
    """Seal the first events of a table; print the CPU of an event."""
    began, own, sealed = cpu(server), time.process_time(), 0
    while sealed < most and (count := await seals.seal_once(table.services)):
        sealed += count
    if sealed:
        whole, own = (cpu(server) - began) / sealed * 1e6, (time.process_time() - own) / sealed * 1e6
        print(f"seal {sealed:,}: {whole:.1f} µs an event, {own:.1f} of them in Python", flush=True)


async def seal_at_rate(table: Table) -> None:
    """Seal events as they are inserted at a constant rate; print the highest lag and the CPU of sealing."""
    writer, loop = await asyncpg.connect(table.url), asyncio.get_running_loop()
    lags: list[float] = []

    async def insert() -> None:
        statement = FILL.partition("loop")[2].partition("commit;")[0]
        began = loop.time()
        for batch in range(RATE_S * BATCHES):
            size = RATE // BATCHES
            text = statement.format(tenant=TENANT, size=size, users=1000).replace("batch", f"({10**7} + {batch})")
            await writer.execute(text)
            await asyncio.sleep(max(0.0, began + (batch + 1) / BATCHES - loop.time()))

    async def seal() -> int:
        found = await seals.seal_once(table.services)
        lag = await writer_lag.fetchval(Queries("event_readers")["measure_lag"].text, "seals")
        lags.append(lag)
        return found

    writer_lag = await asyncpg.connect(table.url)
    inserting, own = asyncio.create_task(insert()), time.process_time()
    began = loop.time()
    rounds = asyncio.create_task(run_rounds(table.services.log, seal))
    await inserting
    elapsed_s = loop.time() - began
    rounds.cancel()
    with suppress(asyncio.CancelledError):
        await rounds
    own = time.process_time() - own
    rate = RATE * RATE_S / elapsed_s
    print(
        f"sealed at {rate:.0f} events a second: lag at most {max(lags):.1f} s,"
        f" {own / (RATE * RATE_S) * 1e6:.0f} µs of Python an event, inserts included"
    )
    for connection in (writer, writer_lag):
        await connection.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=50_000)
    parser.add_argument("--sealed", type=int, default=10**9, help="how many events of a table to seal and verify")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"max_wal_size": "4GB", "autovacuum": "off"}  # its CPU would be counted
        server = stack.enter_context(PostgresServer(directory, durable=False, settings=settings))
        tables = [await new_table(server, options.small), await new_table(server, options.events)]
        await compare(server, tables, options.rounds)
        for table in tables:
            await seal_all(server, table, options.sealed)
        for act in (export_all, verify_all):
            for table in tables:
                in_process(server, table, act)
        await seal_at_rate(tables[0])
        for table in tables:
            await stop_services(table.services)


if __name__ == "__main__":
    asyncio.run(main())
