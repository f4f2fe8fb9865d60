"""Requests without an API key for a tenant that has moved get 421, so that a proxy can send them on."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import asyncpg
import pytest

from auth1.challenges import magic_link
from tests.messaging.callbacks import PATH, Report
from tests.support.api_client import ApiClient

MOVED = "insert into tenant_moves (tenant_id, move_id, state) values ($1, 'mv_1', $2)"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def mark(api: ApiClient, database: asyncpg.Connection, tenant_id: str, state: str) -> None:
    """Set the state of a move, and let the worker know it."""
    await database.execute(MOVED, tenant_id, state)
    await api.services.tenants.publish_invalidation(tenant_id)
    await api.services.tenants.refresh_moved()


async def link_of(api: ApiClient, database: asyncpg.Connection, tenant: dict[str, str]) -> str:
    """Request a sandbox link; return its path."""
    body = {"email": "moved@example.com", "mode": "both"}
    requested = (await api.post("/api/auth/request", body, tenant["test_key"])).json()
    message_id = await database.fetchval("select message_id from challenges where id = $1", requested["challenge_id"])
    [token] = magic_link.derive(api.services.keyring, f"{tenant['tenant_id']}:test", message_id)
    return f"/api/auth/link/{token}"


async def test_links_of_a_moved_tenant_get_421(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant = await api.tenant()
    path = await link_of(api, database, tenant)
    assert (await api.client.get(path)).status_code == 200

    await mark(api, database, tenant["tenant_id"], "moved")

    for method in ("GET", "POST"):
        answer = await api.client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (421, "tenant_moved")
    confirmed = "select count(*) from links where tenant_id = $1 and confirmed_at is not null"
    assert await database.fetchval(confirmed, f"{tenant['tenant_id']}:test") == 0


async def test_delivery_report_of_a_moved_tenant_gets_421(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant = await api.tenant()
    await mark(api, database, tenant["tenant_id"], "moved")
    ids = {"tenant_id": tenant["tenant_id"], "message_id": "msg_" + "0" * 26}
    url = f"{api.settings.app_url}{PATH}?{urlencode(ids)}"

    answer = await Report(url, "delivered").send(api)

    assert (answer.status_code, answer.json()["code"]) == (421, "tenant_moved")


async def test_issuer_of_a_moved_tenant_gets_421(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant = await api.tenant()
    await mark(api, database, tenant["tenant_id"], "moved")

    answer = await api.client.get(f"/t/{tenant['slug']}/jwks")

    assert answer.status_code == 421


OPERATOR_ROUTES = [
    ("GET", "", None),
    ("PATCH", "", {"name": "Another"}),
    ("POST", "/suspend", None),
    ("GET", "/settings", None),
    ("GET", "/events", None),
    ("POST", "/keys", {"kind": "sk"}),
]


async def test_operator_of_a_moved_tenant_gets_421_and_can_delete_its_rows(
    api: ApiClient, database: asyncpg.Connection
) -> None:
    tenant = await api.tenant()
    path = f"/api/admin/tenants/{tenant['tenant_id']}"
    await mark(api, database, tenant["tenant_id"], "moved")

    for method, rest, body in OPERATOR_ROUTES:
        answer = await api.admin(method, path + rest, body)
        assert (answer.status_code, answer.json()["code"]) == (421, "tenant_moved"), rest
    deleted = await api.admin("DELETE", path)

    assert deleted.status_code == 204
    assert (await api.admin("GET", path)).status_code == 404


@pytest.mark.parametrize("state", ["copying", "following", "arrived"])
async def test_tenant_is_served_in_other_states(api: ApiClient, database: asyncpg.Connection, state: str) -> None:
    tenant = await api.tenant()
    await mark(api, database, tenant["tenant_id"], state)

    answer = await api.post("/api/auth/request", {"phone": "+15555550100"}, tenant["test_key"])

    assert answer.status_code == 200, answer.text


async def test_closed_and_arriving_tenants_get_503_until_they_open(
    api: ApiClient, database: asyncpg.Connection
) -> None:
    tenant = await api.tenant()
    await mark(api, database, tenant["tenant_id"], "arriving")
    body = {"phone": "+15555550100"}

    arriving = await api.post("/api/auth/request", body, tenant["test_key"])
    closing = "update tenant_moves set state = 'following', closed_until = now() + interval '1 h' where tenant_id = $1"
    await database.execute(closing, tenant["tenant_id"])
    closed = await api.post("/api/auth/request", body, tenant["test_key"])
    await database.execute("update tenant_moves set closed_until = now() where tenant_id = $1", tenant["tenant_id"])
    opened = await api.post("/api/auth/request", body, tenant["test_key"])

    assert [answer.status_code for answer in (arriving, closed, opened)] == [503, 503, 200]
    assert closed.headers["retry-after"] == "1"
    assert closed.json()["detail"] == "This tenant is being moved; retry."
