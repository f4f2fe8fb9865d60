"""A pool with two hosts while a real primary is killed or demoted, and its real standby is promoted."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from auth1.core.postgres import Postgres, Replica
from auth1.core.postgres.queries import Query
from auth1.core.telemetry.log import Log
from auth1.dev.postgres import USER, PostgresServer, find_programs
from auth1.dev.processes import HOST
from auth1.errors import Unavailable
from tests.support.process import until

INSERT = Query("insert", "insert into written values ($1)")
WHERE = Query("where", "select current_setting('port')::integer as port")
SETTINGS = {"synchronous_commit": "on"}
PATIENCE_S = 60.0  # a promotion is waited for; the machine may be busy
TIMEOUT_SCALE = 5.0  # a connection to a busy machine takes longer than a second


class Pair(NamedTuple):
    """A primary and its streaming standby."""

    primary: PostgresServer
    standby: PostgresServer

    @property
    def url(self) -> str:
        """The URL names the standby first."""
        hosts = f"{HOST}:{self.standby.port},{HOST}:{self.primary.port}"
        return f"postgresql://{USER}@{hosts}/postgres?target_session_attrs=read-write"


Opened = Callable[[str], Awaitable[Postgres]]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    with ExitStack() as stack:
        primary = stack.enter_context(PostgresServer(tmp_path / "primary", durable=False, settings=SETTINGS))
        connection = await asyncpg.connect(primary.url())
        await connection.execute("create table written (number integer primary key)")
        await connection.close()
        copy = tmp_path / "standby" / "data"
        copy.parent.mkdir()
        command = [str(find_programs() / "pg_basebackup"), "-D", str(copy), "-R", "-c", "fast", "--no-sync"]
        command += ["-h", HOST, "-p", str(primary.port), "-U", USER]
        await asyncio.to_thread(subprocess.run, command, check=True)
        standby = stack.enter_context(PostgresServer(copy.parent, durable=False, settings=SETTINGS))
        yield Pair(primary, standby)


@pytest.fixture
async def open_pool() -> AsyncIterator[Opened]:
    pools: list[Postgres] = []

    async def opened(url: str) -> Postgres:
        pools.append(Postgres(url, Log("error"), size=4, ready=2, timeout_scale=TIMEOUT_SCALE))
        await pools[-1].start()
        return pools[-1]

    yield opened
    for pool in pools:
        await pool.stop()


async def promote(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url())
    assert await connection.fetchval("select pg_promote()")
    await connection.close()


async def try_to_write(pool: Postgres, number: int) -> bool:
    try:
        await pool.rows(INSERT, number)
    except Unavailable:
        return False
    return True


async def test_pool_connects_to_the_primary_and_ignores_the_standby(pair: Pair, open_pool: Opened) -> None:
    [row] = await (await open_pool(pair.url)).rows(WHERE)

    assert row["port"] == pair.primary.port


async def test_host_that_does_not_respond_does_not_delay_the_other(pair: Pair, open_pool: Opened) -> None:
    pair.standby.freeze()
    try:
        pool = await open_pool(pair.url)
        [row] = await pool.rows(WHERE)
    finally:
        pair.standby.thaw()

    assert row["port"] == pair.primary.port


async def test_writes_continue_after_a_killed_primary_and_a_promotion(pair: Pair, open_pool: Opened) -> None:
    pool = await open_pool(pair.url)
    written: list[int] = []
    is_over = asyncio.Event()

    async def load(first: int) -> None:
        for number in range(first, first + 1_000_000):
            if await try_to_write(pool, number):
                written.append(number)
            if is_over.is_set():
                return
            await asyncio.sleep(0.01)

    loads = [asyncio.create_task(load(first)) for first in (0, 1_000_000, 2_000_000)]
    await until(lambda: len(written) > 20, PATIENCE_S)
    await asyncio.to_thread(pair.primary.kill)
    await promote(pair.standby)
    before = len(written)

    serving_s = await until(lambda: len(written) > before, PATIENCE_S)
    is_over.set()
    await asyncio.gather(*loads)

    print(f"serving {serving_s:.1f} s after the promotion")
    [row] = await pool.rows(WHERE)
    assert row["port"] == pair.standby.port


async def test_pool_leaves_a_demoted_primary_at_the_first_write(pair: Pair, open_pool: Opened) -> None:
    pool = await open_pool(pair.url)
    assert await try_to_write(pool, 1)
    connection = await asyncpg.connect(pair.primary.url())
    await promote(pair.standby)
    await connection.execute("alter system set default_transaction_read_only = on")
    await connection.execute("select pg_reload_conf()")
    while await connection.fetchval("show default_transaction_read_only") != "on":  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await connection.close()
    numbers = iter(range(2, 1000))

    async def is_written_by_the_new_primary() -> bool:
        if not await try_to_write(pool, next(numbers)):
            return False
        return bool((await pool.rows(WHERE))[0]["port"] == pair.standby.port)

    left_s = await until(is_written_by_the_new_primary, PATIENCE_S)

    print(f"left the demoted primary after {left_s:.2f} s")


async def test_reads_use_the_standby_until_it_lags_or_stops(pair: Pair, open_pool: Opened) -> None:
    primary, standby = await open_pool(pair.primary.url()), await open_pool(pair.standby.url())
    replica = Replica(primary, standby, max_lag_s=0.2)
    connection = await asyncpg.connect(pair.standby.url())

    async def reads_from(pool: Postgres) -> bool:
        await replica.measure()
        return replica.reads is pool

    await until(lambda: reads_from(standby), PATIENCE_S)
    await connection.execute("select pg_wal_replay_pause()")
    assert await try_to_write(primary, 1)
    lagging_s = await until(lambda: reads_from(primary), PATIENCE_S)
    assert lagging_s >= 0.2

    await connection.execute("select pg_wal_replay_resume()")
    await connection.close()
    await until(lambda: reads_from(standby), PATIENCE_S)

    await asyncio.to_thread(pair.standby.stop)
    await replica.measure()
    assert replica.reads is primary
