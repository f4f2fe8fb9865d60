"""Measure logins on a large database beside an empty one, in alternating phases of one run.

    just scale [USERS] [--flows 400] [--rounds 5] [--json FILE]

Both databases are in one PostgreSQL, each with its own Auth1. The large one has so many users, and ten old rows for
each (`history.py`): 4000000 makes 48 million rows, some 25 GB. New users and returning users log in apart: request,
verify, one check of the session. Returning users of the large database are drawn at random from all.

Before each phase, the files of the database are dropped from the page cache, so pages that are not in PostgreSQL's
128 MB of shared buffers are read from the disk. During all phases, a connection to each database purges expired rows
without a pause, and makes and drops partitions of events.

The CPU of flows is that of the server, of Redis and of the database's connections, without the one that purges. The
other processes of PostgreSQL (checkpointer, writers, autovacuum) serve both databases at once, so their CPU cannot be
divided: it is printed apart, as `background`. The CPU of a connection that ended during a phase is part of it.
"""

import argparse
import asyncio
import os
import random
import statistics
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import asyncpg
import msgspec
import uvloop

from auth1.core.postgres.connections import Deadlines
from auth1.core.postgres.queries import Queries, arguments_of
from auth1.retention import RANGE_PAGES, TABLE_SCANS
from bench import history
from bench.accounts import cpu_s
from bench.load import Flow, Pool
from bench.measure import percentiles
from bench.stage import Serving, Stage, set_up
from bench.wire import Wire

USERS_AT_ONCE = 16
WARM_UP = 100
PURGE_ROWS = 100
PURGE_PAUSE_S = 0.1
OLD_MONTHS = [date(2020, month, 1) for month in range(1, 13)]


class Phase(msgspec.Struct, frozen=True):
    """One phase: CPU in ms per flow, of server and Redis, and of PostgreSQL; latencies of flows in ms."""

    server_ms: float
    postgres_ms: float  # of the database's connections, without the one that purges
    background_ms: float  # of PostgreSQL's other processes, and of connections that ended during the phase
    p50_ms: float
    p99_ms: float

    @property
    def cpu_ms(self) -> float:
        return self.server_ms + self.postgres_ms


class Usage(NamedTuple):
    """CPU used until a moment, in seconds."""

    server: float  # and of Redis
    postgres: float  # of all processes of PostgreSQL, also of those that have ended
    flows: dict[int, float]  # of each connection of the server, by pid
    others: dict[int, float]  # of each other connection


def used_between(before: Usage, after: Usage) -> tuple[float, float, float]:
    """Return the seconds of server and Redis, of the server's connections, and of PostgreSQL's background.

    A connection that began in between counts from 0. One that ended counts to the background: what it used is known
    only as a part of all of PostgreSQL.
    """
    flows, others = (
        sum(used - old.get(pid, 0.0) for pid, used in new.items())
        for old, new in ((before.flows, after.flows), (before.others, after.others))
    )
    return after.server - before.server, flows, after.postgres - before.postgres - flows - others


class PageRange(NamedTuple):
    """The parameters of a purge."""

    max_rows: int
    first_page: int
    end_page: int


class Purged(NamedTuple):
    """The result of a purge."""

    purged: int


class Purge:
    """Purges a database step by step, on its own connection, and makes and drops partitions."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._queries = Queries("retention")
        self.rows = 0
        self.steps = 0

    async def run(self) -> None:
        """Purge until it is cancelled."""
        while True:
            for name, table in TABLE_SCANS.items():
                pages = await self._connection.fetchval(self._queries["pages"].text, table)
                first = random.randrange(0, max(1, pages), RANGE_PAGES)
                purge = self._queries.statement(name, PageRange, Purged)
                arguments = arguments_of(purge, [PageRange(PURGE_ROWS, first, first + RANGE_PAGES)])
                self.rows += await self._connection.fetchval(purge.text, *arguments)
                self.steps += 1
                await asyncio.sleep(PURGE_PAUSE_S)
            await self._change_partitions("select make_events_partition($1)", random.choice(OLD_MONTHS))
            await asyncio.sleep(PURGE_PAUSE_S)
            await self._change_partitions("select drop_events_partitions($1)", date(2021, 1, 1))

    async def _change_partitions(self, statement: str, month: date) -> None:
        # All inserts wait behind a change that waits for its lock, so it gives up as early as Auth1's own.
        with suppress(asyncpg.LockNotAvailableError):
            await self._connection.execute(statement, month)


@dataclass
class Side:
    """One of the two databases, with its server."""

    stage: Stage
    server: Serving
    url: str
    users: int  # 0: empty
    phases: dict[str, list[Phase]] = field(default_factory=lambda: {"new": [], "returning": []})
    purge: Purge | None = None

    def __post_init__(self) -> None:
        tenant = self.server.tenant()
        self.tenant_id: str = tenant["tenant_id"]
        self._wire = Wire(tenant["api_key"])
        self._new = iter(range(self.users + 1, 10**8))
        self._known: list[int] = []

    @asynccontextmanager
    async def purging(self) -> AsyncIterator[None]:
        """Purge during the block."""
        settings = {"application_name": "purge", "lock_timeout": f"{Deadlines().lock_s}s"}
        connection = await asyncpg.connect(self.url, server_settings=settings)
        self.purge = Purge(connection)
        task = asyncio.create_task(self.purge.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await connection.close()
        if not task.cancelled():
            task.result()

    async def measure(self, kind: str, count: int) -> Phase:
        """Let new or returning users log in."""
        await self._evict()
        flow, pool = Flow(self._wire, iter(self._numbers(kind, count))), Pool(self.server.port, self.stage.twilio.port)
        before = await self._cpu()
        todo = iter(range(count))

        async def user() -> None:
            async with pool.connection() as (api, phone):
                for _ in todo:
                    await flow.run(api, phone, perf_counter())

        await asyncio.gather(*(user() for _ in range(USERS_AT_ONCE)))
        pool.close()
        if not all(passed for _, _, passed in flow.flows):
            raise RuntimeError(f"flows failed: {flow.statuses}")
        server, postgres, background = (s * 1000 / count for s in used_between(before, await self._cpu()))
        return Phase(server, postgres, background, *percentiles(flow.times["flow"]))

    async def _cpu(self) -> Usage:
        """Return the CPU used until now."""
        connection = await asyncpg.connect(self.url)
        clients = await connection.fetch(
            """select pid, datname = current_database() and application_name = 'auth1' as is_of_flows
            from pg_stat_activity where backend_type = 'client backend'"""
        )
        used: dict[bool, dict[int, float]] = {True: {}, False: {}}
        for pid, is_of_flows in clients:
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended after the query
                used[is_of_flows][pid] = cpu_s(pid)
        postgres = cpu_s(self.stage.postgres.pid)
        await connection.close()
        return Usage(cpu_s(self.server.pid) + cpu_s(self.stage.redis.pid), postgres, used[True], used[False])

    def _numbers(self, kind: str, count: int) -> list[str]:
        """Return phone numbers of new users, or of users that the database has, each at most once."""
        if kind == "new":
            users = [next(self._new) for _ in range(count)]
            self._known += users
        else:
            users = random.sample(range(1, self.users + 1) if self.users else self._known, count)
        return [history.phone(user) for user in users]

    async def _evict(self) -> None:
        """Drop the files of the database from the page cache."""
        connection = await asyncpg.connect(self.url)
        await connection.execute("checkpoint")
        oid = await connection.fetchval("select oid from pg_database where datname = current_database()")
        await connection.close()
        for file in (self.stage.postgres.data_dir / "data" / "base" / str(oid)).iterdir():
            # PostgreSQL replaces and removes files meanwhile, such as those of dropped partitions.
            with suppress(FileNotFoundError), file.open("rb") as pages:
                os.posix_fadvise(pages.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def measure(sides: dict[str, Side], flows: int, rounds: int) -> None:
    """Warm up, and run all phases in turn."""
    async with sides["large"].purging(), sides["empty"].purging():
        for number in range(rounds + 1):
            for kind in ("new", "returning"):
                for side in sides.values():
                    phase = await side.measure(kind, flows if number else WARM_UP)
                    if number:
                        side.phases[kind].append(phase)


async def _prepare(stage: Stage, large: Side) -> dict[str, Any]:
    """Fill the large database, and analyse both as a migration does."""
    connection = await asyncpg.connect(large.url)
    started = perf_counter()
    rows = await history.fill(connection, large.tenant_id, large.users, lambda line: print(line, flush=True))
    size = await connection.fetchval("select pg_database_size(current_database())")
    await connection.close()
    return {"rows": rows, "gigabytes": size / 1e9, "fill_s": perf_counter() - started}


async def _create(stage: Stage, name: str) -> str:
    connection = await asyncpg.connect(stage.postgres.url())
    await connection.execute(f"create database {name}")
    await connection.close()
    return stage.postgres.url(name)


def table(sides: dict[str, Side]) -> str:
    """Format CPU, latencies and ratios as text: medians, with the range of the rounds."""
    lines = [
        f"{'':18}{'CPU ms/flow':>12}{'range':>16}{'PostgreSQL':>12}{'background':>12}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'to empty':>10}{'range':>14}"
    ]
    for kind in ("new", "returning"):
        for name, side in sides.items():
            phases = side.phases[kind]
            cpu = [one.cpu_ms for one in phases]
            ratios = [one.cpu_ms / other.cpu_ms for one, other in zip(phases, sides["empty"].phases[kind], strict=True)]
            postgres, background, p50, p99 = (
                statistics.median(values)
                for values in zip(*(msgspec.structs.astuple(one)[1:] for one in phases), strict=True)
            )
            lines.append(
                f"{name + ', ' + kind:18}{statistics.median(cpu):12.2f}{f'{min(cpu):.2f} – {max(cpu):.2f}':>16}"
                f"{postgres:12.2f}{background:12.2f}{p50:9.1f}{p99:9.1f}{statistics.median(ratios):10.2f}"
                f"{f'{min(ratios):.2f} – {max(ratios):.2f}':>14}"
            )
    return "\n".join(lines)


def run() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200_000, help="of the large database")
    parser.add_argument("--flows", type=int, default=400, help="per phase; a round has four phases")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the phases to this file")
    options = parser.parse_args()
    with ExitStack() as stack:
        stage = stack.enter_context(set_up({"max_wal_size": "8GB", "maintenance_work_mem": "256MB"}))
        sides = {}
        for name, users in (("large", options.users), ("empty", 0)):
            url = asyncio.run(_create(stage, f"auth1_{name}"))
            server = stack.enter_context(stage.serve(DATABASE_URL=url, WORKERS="1", TIMEOUT_SCALE="10"))
            sides[name] = Side(stage, server, url, users)
        made = asyncio.run(_prepare(stage, sides["large"]))
        print(f"{options.users:,} users, {made['rows']:,} rows, {made['gigabytes']:.1f} GB, in {made['fill_s']:.0f} s")
        uvloop.run(measure(sides, options.flows, options.rounds))
    print(table(sides))
    purge = sides["large"].purge
    assert purge is not None
    print(f"meanwhile, the purge of the large database deleted {purge.rows:,} rows in {purge.steps:,} steps")
    if options.json:
        phases = {name: side.phases for name, side in sides.items()}
        options.json.write_bytes(msgspec.json.encode({"users": options.users, **made, "phases": phases}))


if __name__ == "__main__":
    run()
