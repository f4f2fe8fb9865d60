"""Migrations are idempotent, safe to run concurrently, and work on every supported PostgreSQL."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from auth1.core.postgres import Queries, sql_directory
from auth1.core.postgres.functions import functions
from auth1.core.postgres.migrations import MigrationError, migrate, migrations, pending
from auth1.dev.postgres import PostgresServer, find_programs
from tests.conftest import Started
from tests.sql.conftest import Connect, NewDatabase
from tests.sql.schema import describe
from tests.support.providers.twilio import TwilioServer

ALL = [migration.name for migration in migrations()]
RELEASE = functions().schema


async def test_every_migration_is_idempotent(new_database: NewDatabase, connect: Connect) -> None:
    once, twice = await new_database(), await new_database()
    await migrate(once)

    connection = await connect(twice)
    await connection.execute(Queries("migrate")["create_migrations"].text)
    for migration in migrations():
        await migration.run(connection)
        await migration.run(connection)
    for migration in migrations():
        await migration.run(connection)

    assert await describe(connection) == await describe(await connect(once))


async def test_second_migration_run_applies_nothing(new_database: NewDatabase) -> None:
    url = await new_database()

    assert await migrate(url) == [*ALL, RELEASE]
    assert await migrate(url) == []


async def test_four_instances_migrate_an_empty_database_concurrently(new_database: NewDatabase) -> None:
    url = await new_database()

    applied = await asyncio.gather(*(migrate(url) for _ in range(4)))

    assert sorted(name for names in applied for name in names) == [*ALL, RELEASE]
    assert await migrate(url) == []


async def test_only_missing_migrations_are_applied(new_database: NewDatabase, connect: Connect) -> None:
    url = await new_database()
    await migrate(url)
    connection = await connect(url)
    await connection.execute("delete from migrations where name = $1", ALL[-1])

    assert await pending(url) == [ALL[-1]]
    assert await migrate(url) == [ALL[-1]]


async def test_edited_migration_is_rejected(new_database: NewDatabase, connect: Connect) -> None:
    url = await new_database()
    await migrate(url)
    connection = await connect(url)
    await connection.execute("update migrations set digest = repeat('0', 64) where name = $1", ALL[0])

    with pytest.raises(MigrationError, match=ALL[0]):
        await migrate(url)
    with pytest.raises(MigrationError, match=ALL[0]):
        await pending(url)


async def test_migrations_of_a_newer_version_are_tolerated(new_database: NewDatabase, connect: Connect) -> None:
    url = await new_database()
    await migrate(url)
    connection = await connect(url)
    await connection.execute("insert into migrations (name, digest) values ('9999_from_tomorrow', 'unknown')")

    assert await migrate(url) == []
    assert await pending(url) == []


async def test_pending_lists_missing_migrations_and_changes_nothing(
    new_database: NewDatabase, connect: Connect
) -> None:
    url = await new_database()

    assert await pending(url) == [*ALL, RELEASE]

    connection = await connect(url)
    assert await connection.fetchval("select count(*) from pg_class where relnamespace = 'public'::regnamespace") == 0
    await migrate(url)
    assert await pending(url) == []


def test_every_migration_has_a_unique_number() -> None:
    files = sorted(file.name for file in (sql_directory() / "migrations").iterdir())

    assert files == [f"{name}.sql" for name in ALL]
    assert len({name.partition("_")[0] for name in ALL}) == len(ALL)
    assert all(re.fullmatch(r"\d{4}_[a-z_]+", name) for name in ALL)


def other_programs() -> dict[str, Path]:
    """Return where older versions may be installed: a wheel, and Debian's directories."""
    chosen = find_programs()
    return {
        "16": chosen.parents[1] / "pginstall" / "bin",
        "15": Path("/usr/lib/postgresql/15/bin"),
    }


@pytest.mark.parametrize("version", ["15", "16"])
async def test_login_works_on_an_older_postgresql(
    version: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
    start_app: Started,
    twilio_server: TwilioServer,
    phone: str,
) -> None:
    programs = other_programs()[version]
    if not os.access(programs / "postgres", os.X_OK):
        pytest.skip(f"PostgreSQL {version} is not on this machine")
    monkeypatch.setenv("AUTH1_PG_BIN", str(programs))
    with PostgresServer(tmp_path / "postgres", durable=False) as server:
        connection = await connect(server.url())
        assert connection.get_server_version().major == int(version)
        await migrate(server.url())
        api = await start_app(DATABASE_URL=server.url())

        key = (await api.tenant())["api_key"]
        assert (await api.post("/api/auth/request", {"phone": phone}, key)).status_code == 200
        code = twilio_server.code_for(phone)
        verified = await api.post("/api/auth/verify", {"phone": phone, "code": code}, key)

        assert verified.status_code == 200, verified.text
        await api.services.postgres.stop()
        for path in sorted((sql_directory() / "queries").glob("*.sql")):
            for query in Queries(path.stem).blocks.values():
                if query.name not in ("create_migrations", "create_database", "call_function"):
                    await connection.prepare(query.text)
        connection.terminate()
