"""Copy the rows of a tenant, then what has changed since.

Rows travel in PostgreSQL's binary format, as a stream. Triggers record the key of each row that changes. A round reads
the present rows of recorded keys in one snapshot and replaces those of the target, so that repeating it is safe.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg

from auth1.core.postgres import Queries
from auth1.tenants.move.tables import Table, arguments

BLOCKS = 16  # of the stream that wait for the target
MAX_CHANGES = 5000  # of a round
LOCK_WAIT_S = 2.0
LOCK_TRIES = 30
PAUSE_S = 0.1
_QUERIES = Queries("tenant_move")


async def copy_rows(
    source: asyncpg.Connection,
    target: asyncpg.Connection,
    query: str,
    values: Sequence[object],
    into: str,
    columns: list[str],
) -> int:
    """Copy the rows of a query into a table of the target; return their number."""
    blocks: asyncio.Queue[bytes | None] = asyncio.Queue(BLOCKS)

    async def read() -> None:
        await source.copy_from_query(query, *values, output=blocks.put, format="binary")
        await blocks.put(None)

    async def stream() -> AsyncIterator[bytes]:
        while (block := await blocks.get()) is not None:
            yield block

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            done = await target.copy_to_table(into, source=stream(), columns=columns, format="binary")
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return int(done.split()[-1])


async def record_changes(source: asyncpg.Connection, tables: Sequence[Table]) -> None:
    """Let triggers record the changes of a tenant. Each statement waits until open transactions of its table end."""
    for table in tables:
        await _execute_soon(source, table.record_changes)
        await _execute_soon(source, table.record_deletions)


async def forget_changes(source: asyncpg.Connection, tables: Sequence[Table], owner: str) -> None:
    """Remove the triggers, and what they recorded."""
    for table in tables:
        await _execute_soon(source, table.forget_changes)
        await _execute_soon(source, table.forget_deletions)
    await source.execute(_QUERIES["forget_all_changed"].text, owner)


async def _execute_soon(connection: asyncpg.Connection, statement: str) -> None:
    """Execute a statement that locks a table, and wait only briefly for the lock: other statements wait behind it."""
    for _ in range(LOCK_TRIES - 1):
        try:
            await connection.execute(statement)
            return
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(PAUSE_S)
    await connection.execute(statement)


async def copy_all(source: asyncpg.Connection, target: asyncpg.Connection, tables: Sequence[Table]) -> int:
    """Replace the rows of the target by all rows of the tenant, in one snapshot; return their number."""
    for call in await source.fetch(_QUERIES["list_month_partitions"].text):
        await target.execute(call["make"])
    for table in reversed(tables):
        await target.execute(table.empty)
    total = 0
    async with source.transaction(isolation="repeatable_read", readonly=True):
        for table in tables:
            total += await copy_rows(source, target, table.all_rows, (), table.name, table.columns)
    return total


async def copy_changes(
    source: asyncpg.Connection, target: asyncpg.Connection, tables: Sequence[Table], owner: str
) -> int:
    """Copy the next changes; return their number. They are forgotten after the commit of the target."""
    query = _QUERIES["next_changes"]
    async with source.transaction(isolation="repeatable_read", readonly=True):
        rows = await source.fetch(query.text, *arguments(query, owner=owner, max_rows=MAX_CHANGES))
        keys = {row["table_name"]: row["keys"] for row in rows}
        changed = [table for table in tables if table.name in keys]
        async with target.transaction():
            for table in changed:
                await target.execute(table.stage)
                columns = table.columns
                await copy_rows(source, target, table.changed_rows, (keys[table.name],), table.stage_name, columns)
            for table in reversed(changed):
                await target.execute(table.delete_changed, keys[table.name])
            for table in changed:
                if table.release_unique is not None:
                    await target.execute(table.release_unique)
                await target.execute(table.insert_changed)
    ids = [number for row in rows for number in row["ids"]]
    if ids:
        await source.execute(_QUERIES["forget_changed"].text, owner, ids)
    return len(ids)
