"""A deleted tenant is purged with all its rows, and no other tenant's rows."""

import secrets

import asyncpg
import pytest

from auth1 import retention
from auth1.core.postgres import Queries
from tests.sql.conftest import Connect
from tests.sql.rows import BUDGET, USER, make_challenge, make_identifier, make_message, make_session, make_spending
from tests.support.api_client import ApiClient

QUERIES = Queries("retention")
# What hangs on a tenant, from the leaves up: the order in which it goes.
DELETED = (
    *("sessions", "identifiers", "users", "challenges", "messages", "spending", "budgets"),
    *("hosts", "applications", "signing_keys", "logins", "grants", "consents"),
)
APPLICATION = "insert into applications (tenant_id, id, name, kind) values ($1, $2, '', 'machine')"
SIGNING_KEY = (
    "insert into signing_keys (tenant_id, kid, alg, public, box, state) values ($1, $2, 'ES256', '', '', 'retiring')"
)
LOGIN = "insert into logins (tenant_id, id, browser_digest) values ($1, $2, '')"
GRANT = """
insert into grants (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at)
values ($1, $2, 'app_1', 'usr_1', 'ses_1', '{}', '{}', now(), now() + interval '1 day')
"""
CONSENT = "insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, 'app_1', '{}')"
HOST = "insert into hosts (tenant_id, id, host, token) values ($1, $2, $2, '')"
INSERTS = {
    "users": USER,
    "hosts": HOST,
    "applications": APPLICATION,
    "signing_keys": SIGNING_KEY,
    "logins": LOGIN,
    "grants": GRANT,
    "consents": CONSENT,
}
OLD_ENOUGH = "update tenants set deleted_at = now() - interval '61 seconds' where id = $1"


async def fill(connection: asyncpg.Connection, tenant: str) -> None:
    """Insert one recent row into every table."""
    await make_challenge(connection, tenant, "ch_1", "0")
    await make_message(connection, tenant, "msg_1", "0", "queued")
    await make_session(connection, tenant, "ses_1", "-1 day", None)
    await make_spending(connection, tenant, "US", "0")
    await connection.execute(BUDGET, tenant)
    await make_identifier(connection, tenant, "+15551234567", "0", None, None, "usr_1")
    await connection.execute(HOST, tenant, "hst_1")
    await connection.execute(APPLICATION, tenant, "app_1")
    await connection.execute(SIGNING_KEY, tenant, "kid_1")
    await connection.execute(LOGIN, tenant, "li_1")
    await connection.execute(GRANT, tenant, "gr_1")
    await connection.execute(CONSENT, tenant, "usr_1")


async def left(connection: asyncpg.Connection, tenant: str) -> dict[str, int]:
    """Return the number of rows of a tenant in each table."""
    return {
        table: await connection.fetchval(f"select count(*) from {table} where tenant_id = $1", tenant)
        for table in (*DELETED, "keys")
    }


async def deleted_tenant(app: ApiClient, connection: asyncpg.Connection) -> str:
    """Return a tenant with rows in each table and its sandbox, deleted over a minute ago."""
    tenant: str = (await app.tenant())["tenant_id"]
    for scope in (tenant, f"{tenant}:test"):
        await fill(connection, scope)
    assert (await app.admin("DELETE", f"/api/admin/tenants/{tenant}")).status_code == 204
    await connection.execute(OLD_ENOUGH, tenant)
    return tenant


async def test_deleted_tenant_is_purged_with_its_sandbox_only(app: ApiClient, connection: asyncpg.Connection) -> None:
    other = (await app.tenant())["tenant_id"]
    for scope in (other, f"{other}:test"):
        await fill(connection, scope)
    gone = await deleted_tenant(app, connection)

    await retention.run_once(app.services)

    nothing = dict.fromkeys((*DELETED, "keys"), 0)
    assert await left(connection, gone) == nothing
    assert await left(connection, f"{gone}:test") == nothing
    assert await connection.fetchval("select count(*) from tenants where id = $1", gone) == 0
    assert await left(connection, other) == dict.fromkeys(DELETED, 1) | {"keys": 3}
    assert await left(connection, f"{other}:test") == dict.fromkeys(DELETED, 1) | {"keys": 0}
    # The audit log keeps what happened until its month goes.
    assert await connection.fetchval("select count(*) from events where tenant_id = $1", gone) == 2


async def test_deleted_tenant_keeps_its_rows_for_a_minute(app: ApiClient, connection: asyncpg.Connection) -> None:
    tenant = await deleted_tenant(app, connection)
    await connection.execute("update tenants set deleted_at = now() - interval '50 seconds' where id = $1", tenant)

    await retention.run_once(app.services)

    assert await left(connection, tenant) == dict.fromkeys(DELETED, 1) | {"keys": 0}
    await connection.execute(OLD_ENOUGH, tenant)
    await retention.run_once(app.services)
    assert await left(connection, tenant) == dict.fromkeys((*DELETED, "keys"), 0)


@pytest.mark.parametrize("table", [table for table in DELETED if table != "budgets"])  # of which a tenant has one
async def test_tenant_purge_is_limited_to_its_batch_size(
    app: ApiClient, connection: asyncpg.Connection, table: str
) -> None:
    tenant = (await app.tenant())["tenant_id"]
    for _ in range(4):
        name = secrets.token_hex(8)
        match table:
            case "sessions":
                await make_session(connection, tenant, name, "-1 day", None)
            case "identifiers":
                await make_identifier(connection, tenant, name, "0", None, None, None)
            case "challenges":
                await make_challenge(connection, tenant, name, "0")
            case "messages":
                await make_message(connection, tenant, name, "0", "sent")
            case "spending":
                await make_spending(connection, tenant, name, "0")
            case _:
                await connection.execute(INSERTS[table], tenant, name)
    await connection.execute(
        "delete from users where tenant_id = $1 and id = 'usr_1'", tenant
    ) if table == "identifiers" else None
    await app.admin("DELETE", f"/api/admin/tenants/{tenant}")
    await connection.execute(OLD_ENOUGH, tenant)

    assert [await connection.fetchval(QUERIES[f"purge_deleted_{table}"].text, 3) for _ in range(3)] == [3, 1, 0]

    await retention.run_once(app.services)


@pytest.mark.parametrize("table", DELETED)
async def test_tenant_purge_skips_locked_rows_and_completes_later(
    app: ApiClient, connection: asyncpg.Connection, connect: Connect, migrated_url: str, table: str
) -> None:
    tenant = await deleted_tenant(app, connection)
    holder = await connect(migrated_url)

    async with holder.transaction():
        await holder.execute(f"select 1 from {table} where tenant_id = $1 for no key update", tenant)
        await retention.run_once(app.services)
        kept = await left(connection, tenant)
        assert kept[table] == 1
        assert kept["challenges"] == (1 if table == "challenges" else 0)
        assert await connection.fetchval("select count(*) from tenants where id = $1", tenant) == 1

    await retention.run_once(app.services)
    assert await left(connection, tenant) == dict.fromkeys((*DELETED, "keys"), 0)
    assert await connection.fetchval("select count(*) from tenants where id = $1", tenant) == 0
