"""ops/postgres: Auth1's role is no superuser, owns its database, and is sufficient for Auth1."""

import asyncio
import os
import sys

import asyncpg
import pytest

from tests.ops.conftest import ComposePostgres
from tests.support.process import Auth1

FLAGS = ("rolsuper", "rolcreatedb", "rolcreaterole", "rolreplication", "rolbypassrls")


@pytest.fixture
async def role(compose_postgres: ComposePostgres) -> asyncpg.Connection:
    """Return a connection with Auth1's role and password."""
    return await asyncpg.connect(compose_postgres.url)


async def test_role_has_no_privilege_beyond_its_database(role: asyncpg.Connection) -> None:
    row = await role.fetchrow("select * from pg_roles where rolname = current_user")
    assert row is not None
    assert row["rolname"] == "auth1"
    assert [flag for flag in FLAGS if row[flag]] == []
    assert await role.fetchval("select count(*) from pg_auth_members where member = 'auth1'::regrole") == 0
    owner = "select datdba = 'auth1'::regrole from pg_database where datname = 'auth1_db'"
    assert await role.fetchval(owner) is True
    await role.close()


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to program 'true'",
        "select pg_read_file('postgresql.conf')",
        "create role other",
        "create database other",
        "alter role auth1 superuser",
        "alter system set log_statement = 'none'",
    ],
)
async def test_role_cannot_reach_the_server_or_grant_itself_more(role: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await role.execute(statement)
    await role.close()


async def test_superuser_cannot_log_in_over_the_network(compose_postgres: ComposePostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(compose_postgres.url.replace("auth1:", "postgres:").replace("auth1_db", "postgres"))


async def test_wrong_password_is_rejected(compose_postgres: ComposePostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(compose_postgres.url.replace(compose_postgres.password, "x"))


async def test_auth1_migrates_and_serves_with_the_role(
    compose_postgres: ComposePostgres, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = environment | {"DATABASE_URL": compose_postgres.url}
    migrate = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "auth1", "migrate", env=changed | {"PATH": os.environ["PATH"]}
    )
    assert await migrate.wait() == 0
    async with Auth1(changed, tmp_path_factory.mktemp("serve") / "log") as auth1:
        assert await auth1.status("/health/ready") == 200
        assert (await auth1.tenant())["tenant_id"].startswith("tn_")
