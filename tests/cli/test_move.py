"""`auth1 tenants move`: output and exit codes."""

import secrets

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from tests.cli.conftest import Run
from tests.support.postgres_files import new_database


async def new_tenant(run: Run) -> str:
    """Create a tenant; return its slug."""
    slug = f"moving-{secrets.token_hex(6)}"
    assert (await run("tenants", "create", "Moving", "--slug", slug)).code == 0
    return slug


@pytest.fixture
async def target(postgres_server: PostgresServer) -> str:
    """Return a migrated database without rows."""
    return await new_database(postgres_server, f"target_{secrets.token_hex(6)}", is_relaxed=False)


async def test_move_without_a_target_names_the_variable(run: Run) -> None:
    ended = await run("tenants", "move", await new_tenant(run))

    assert (ended.code, ended.err) == (2, "auth1: TARGET_DATABASE_URL is required\n")


async def test_move_of_an_unknown_tenant_is_rejected(run: Run, target: str) -> None:
    ended = await run("tenants", "move", "missing-tenant", TARGET_DATABASE_URL=target)

    assert (ended.code, ended.err) == (1, "auth1: There is no tenant missing-tenant.\n")


async def test_move_to_an_unreachable_database_says_so(run: Run) -> None:
    url = "postgresql://auth1:secret-password@127.0.0.1:1/nothing"

    ended = await run("tenants", "move", await new_tenant(run), TARGET_DATABASE_URL=url)

    assert ended.code == 1
    assert ended.err.startswith("auth1: The move stopped: ")
    assert "secret-password" not in ended.err


async def test_abort_without_a_move_is_rejected(run: Run, target: str) -> None:
    ended = await run("tenants", "move", await new_tenant(run), "--abort", TARGET_DATABASE_URL=target)

    assert (ended.code, ended.err) == (1, "auth1: This tenant is not being moved.\n")


async def test_aborted_move_can_be_made_again(run: Run, target: str, database_url: str) -> None:
    slug = await new_tenant(run)
    begun = "insert into tenant_moves (tenant_id, move_id, state) select id, 'mv_1', $2 from tenants where slug = $1"
    source, other = await asyncpg.connect(database_url), await asyncpg.connect(target)
    await source.execute(begun, slug, "copying")
    tenant_id = await source.fetchval("select id from tenants where slug = $1", slug)
    await other.execute(
        "insert into tenant_moves (tenant_id, move_id, state) values ($1, 'mv_1', 'arriving')", tenant_id
    )
    await source.close()
    await other.close()

    ended = await run("tenants", "move", slug, "--abort", TARGET_DATABASE_URL=target)
    again = await run("tenants", "move", slug, "--abort", "--json", TARGET_DATABASE_URL=target)

    assert (ended.code, ended.out) == (0, "aborted; the tenant is served as before\n"), ended.err
    assert again.code == 1
