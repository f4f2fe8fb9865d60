"""Migrations: `sql/migrations/NNNN_words.sql`, forward only; then the functions of this release.

Each runs in a transaction of its own, unless its first line is CONCURRENT. Then each statement commits by itself, so
that indexes of large tables are built beside running workers (`create index concurrently`). A statement with
`{partition}` is then executed for each partition of events. Any number of instances may migrate at once: one holds an
advisory lock, the others find the work done. An applied file must not change; its digest is stored and compared.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import NamedTuple

import asyncpg

from auth1.core.postgres.connections import clean_dsn
from auth1.core.postgres.functions import functions, install_functions, installed_functions
from auth1.core.postgres.queries import Queries, sql_directory

_QUERIES = Queries("migrate")
CONCURRENT = "-- Statements of this file commit one by one.\n"
LOCK_WAIT_S = 60.0
LOCK_TRIES = 30  # of 2 s each: a statement that waits for a lock of a table makes all later statements wait, too
BUILD_S = 86_400.0  # the longest time to build an index
POLL_S = 0.1


class MigrationError(Exception):
    """The database does not fit this version of the program."""


class Migration(NamedTuple):
    """A file of `sql/migrations`."""

    name: str
    text: str
    digest: str

    async def run(self, connection: asyncpg.Connection) -> None:
        """Execute the statements, in the caller's transaction if they may share one."""
        if not self.is_concurrent:
            await connection.execute(self.text)
            return
        partitions = [row["name"] for row in await connection.fetch(_QUERIES["list_partitions"].text)]
        statements = [
            statement.replace("{partition}", partition)
            for statement in filter(str.strip, self.text.split(";\n"))
            for partition in (partitions if "{partition}" in statement else [""])
        ]
        await _drop_invalid_indexes(connection, " ".join(statements).split())
        for statement in statements:
            await _execute_alone(connection, statement)

    @property
    def is_concurrent(self) -> bool:
        return self.text.startswith(CONCURRENT)


@cache
def migrations() -> tuple[Migration, ...]:
    """Read all migrations in order."""
    files = sorted((sql_directory() / "migrations").glob("[0-9]*.sql"))
    texts = [(file.stem, file.read_text(encoding="utf-8")) for file in files]
    return tuple(Migration(name, text, hashlib.sha256(text.encode()).hexdigest()) for name, text in texts)


async def migrate(url: str) -> list[str]:
    """Apply missing migrations, install this release's functions, and return the names of both.

    Raises MigrationError where an applied file was edited; connection errors as asyncpg does.
    """
    connection = await _connect(url, command_timeout_s=LOCK_WAIT_S)
    try:
        await connection.execute(_QUERIES["create_migrations"].text)
        applied = []
        for migration in missing(await _applied(connection)):
            apply = _apply_concurrently if migration.is_concurrent else _apply
            if await apply(connection, url, migration):
                applied.append(migration.name)
        if applied:
            await analyze(connection)
        async with connection.transaction():
            await connection.execute(_QUERIES["lock_migrations"].text)
            if await install_functions(connection, functions()):
                applied.append(functions().schema)
        await connection.execute(_QUERIES["continue_after_restore"].text)
        return applied
    finally:
        await connection.close()


async def analyze(connection: asyncpg.Connection) -> None:
    """Let PostgreSQL collect statistics of the tables.

    Tables without rows are left out: the planner then assumes ten pages, and prefers the plans that a full table needs.
    """
    names = [row["name"] for row in await connection.fetch(_QUERIES["list_filled_tables"].text)]
    if names:
        await connection.execute("analyze " + ", ".join(names), timeout=BUILD_S)


async def pending(url: str) -> list[str]:
    """Return the names of the migrations and functions that the database lacks. Changes nothing."""
    connection = await _connect(url)
    try:
        exists = await connection.fetchval(_QUERIES["migrations_exist"].text)
        lacking = [migration.name for migration in missing(await _applied(connection) if exists else {})]
        return lacking + [name for name in [functions().schema] if name not in await installed_functions(connection)]
    finally:
        await connection.close()


def missing(applied: dict[str, str]) -> list[Migration]:
    """Compare the applied migrations (name: digest) with the files. Raises MigrationError where a file was edited.

    What only the database has belongs to a newer version, which may be rolling out beside this one.
    """
    for migration in migrations():
        if applied.get(migration.name, migration.digest) != migration.digest:
            raise MigrationError(f"migration {migration.name} was edited after it had been applied")
    return [migration for migration in migrations() if migration.name not in applied]


async def _connect(url: str, command_timeout_s: float | None = None) -> asyncpg.Connection:
    """Connect without prepared statements, which PgBouncer in transaction mode loses."""
    return await asyncpg.connect(clean_dsn(url), timeout=5.0, command_timeout=command_timeout_s, statement_cache_size=0)


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in await connection.fetch(_QUERIES["list_migrations"].text)}


async def _apply(connection: asyncpg.Connection, _url: str, migration: Migration) -> bool:
    """Apply a migration in one transaction; False if another instance was faster."""

    async def run() -> bool:
        async with connection.transaction():
            await connection.execute(_QUERIES["lock_migrations"].text)
            if migration.name in await _applied(connection):
                return False
            await connection.execute(_QUERIES["limit_lock_waits"].text)
            await migration.run(connection)
            await connection.execute(_QUERIES["add_migration"].text, migration.name, migration.digest)
            return True

    return await _repeat_on_locks(run)


async def _apply_concurrently(connection: asyncpg.Connection, url: str, migration: Migration) -> bool:
    """Apply a migration whose statements commit one by one; False if another instance was faster."""
    async with _build_lock(url):
        if migration.name in await _applied(connection):
            return False
        await migration.run(connection)
        await connection.execute(_QUERIES["add_migration"].text, migration.name, migration.digest)
        return True


@asynccontextmanager
async def _build_lock(url: str) -> AsyncIterator[None]:
    """Hold the lock of index builds on a separate connection, because a build ends its transactions.

    A build waits for every older snapshot of other transactions. So waiting instances poll in short transactions, and
    the last statement is a plain one: it ends the portal, and the snapshot, of the fetched value.
    """
    holder = await _connect(url)
    try:
        is_locked = False
        while not is_locked:
            async with holder.transaction():
                is_locked = await holder.fetchval(_QUERIES["try_lock_builds"].text)
                await holder.execute(_QUERIES["allow_idle"].text)
                if is_locked:
                    yield
            await asyncio.sleep(0 if is_locked else POLL_S)
    finally:
        await holder.close()


async def _drop_invalid_indexes(connection: asyncpg.Connection, words: list[str]) -> None:
    """Drop indexes of an interrupted build: `if not exists` would accept them. `words` are those of the statements."""
    for row in await connection.fetch(_QUERIES["list_invalid_indexes"].text):
        if row["name"] in words:
            await connection.execute(f"drop index concurrently if exists {row['name']}", timeout=BUILD_S)


async def _execute_alone(connection: asyncpg.Connection, statement: str) -> None:
    """Execute a statement in its own transaction. Only a build may wait long for locks: it blocks no others."""
    if " concurrently " in statement:
        await connection.execute(statement, timeout=BUILD_S)
        return

    async def run() -> bool:
        async with connection.transaction():
            await connection.execute(_QUERIES["limit_lock_waits"].text)
            await connection.execute(statement, timeout=BUILD_S)
            return True

    await _repeat_on_locks(run)


async def _repeat_on_locks(run: Callable[[], Awaitable[bool]]) -> bool:
    for _ in range(LOCK_TRIES - 1):
        try:
            return await run()
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(POLL_S)
    return await run()
