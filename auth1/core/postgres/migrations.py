"""Migrations: `sql/migrations/NNNN_words.sql`, forward only, each in a transaction of its own; then the functions.

Any number of instances may migrate at once: one holds the advisory lock, the others find the work done. An applied file
must not change; its digest is stored and compared.
"""

import hashlib
from functools import cache
from typing import NamedTuple

import asyncpg

from auth1.core.postgres.connections import clean_dsn
from auth1.core.postgres.functions import functions, install_functions, installed_functions
from auth1.core.postgres.queries import Queries, sql_directory

_QUERIES = Queries("migrate")
LOCK_WAIT_S = 60.0


class MigrationError(Exception):
    """The database does not fit this version of the program."""


class Migration(NamedTuple):
    """A file of `sql/migrations`."""

    name: str
    text: str
    digest: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Read all migrations in order."""
    files = sorted((sql_directory() / "migrations").glob("[0-9]*.sql"))
    texts = [(file.stem, file.read_text(encoding="utf-8")) for file in files]
    return tuple(Migration(name, text, hashlib.sha256(text.encode()).hexdigest()) for name, text in texts)


async def migrate(url: str) -> list[str]:
    """Apply what is missing, install this release's functions, and return the names of what was applied or installed.

    Raises MigrationError where an applied file was edited; connection errors as asyncpg does.
    """
    connection = await asyncpg.connect(clean_dsn(url), timeout=5.0, command_timeout=LOCK_WAIT_S)
    try:
        await connection.execute(_QUERIES["create_migrations"].text)
        applied = []
        for migration in missing(await _applied(connection)):
            async with connection.transaction():
                await connection.execute(_QUERIES["lock_migrations"].text)
                if migration.name in await _applied(connection):
                    continue  # another instance was faster
                await connection.execute(migration.text)
                await connection.execute(_QUERIES["add_migration"].text, migration.name, migration.digest)
            applied.append(migration.name)
        async with connection.transaction():
            await connection.execute(_QUERIES["lock_migrations"].text)
            if await install_functions(connection, functions()):
                applied.append(functions().schema)
        return applied
    finally:
        await connection.close()


async def pending(url: str) -> list[str]:
    """Name the migrations and the functions that the database lacks, changing nothing."""
    connection = await asyncpg.connect(clean_dsn(url), timeout=5.0)
    try:
        exists = await connection.fetchval(_QUERIES["migrations_exist"].text)
        lacking = [migration.name for migration in missing(await _applied(connection) if exists else {})]
        return lacking + [name for name in [functions().schema] if name not in await installed_functions(connection)]
    finally:
        await connection.close()


def missing(applied: dict[str, str]) -> list[Migration]:
    """Compare what was applied (name: digest) with the files. Raises MigrationError where a file was edited.

    What only the database has belongs to a newer version, which may be rolling out beside this one.
    """
    for migration in migrations():
        if applied.get(migration.name, migration.digest) != migration.digest:
            raise MigrationError(f"migration {migration.name} was edited after it had been applied")
    return [migration for migration in migrations() if migration.name not in applied]


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in await connection.fetch(_QUERIES["list_migrations"].text)}
