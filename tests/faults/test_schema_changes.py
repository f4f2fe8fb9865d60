"""The schema is changed while the program serves: no request fails, whatever a connection had prepared."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.support.process import Auth1
from tests.support.providers.twilio import TwilioServer

POOL_SIZE = 2
TABLES = (
    "tenants users identifiers codes sessions challenges messages links events spending budgets idempotency".split()
)
ADD = "alter table {} add column added_while_serving text default 'x'"
DROP = "alter table {} drop column added_while_serving"


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher) -> AsyncIterator[Auth1]:
    async with module_launcher(DATABASE_POOL_SIZE=str(POOL_SIZE), TIMEOUT_SCALE="10") as running:
        yield running


async def use(server: Auth1, carrier: TwilioServer) -> list[int]:
    """Create a tenant, log a user in and use its account; return the statuses of all responses."""
    tenant, phone = await server.tenant(messages_per_day=1000), new_phone()
    key = tenant["api_key"]
    body = {"phone": phone}
    requested = await server.client.post(
        "/api/auth/request", json=body, headers={"x-api-key": key, "idempotency-key": f"key-{phone}"}
    )
    assert requested.status_code == 200, requested.text
    wrong = await server.answer(phone, f"{(int(carrier.code_for(phone)) + 1) % 1_000_000:06}", key)
    answered = await server.answer(phone, carrier.code_for(phone), key)
    bearer = {"x-api-key": key, "authorization": f"Bearer {answered.json().get('token')}"}
    refresh_token = answered.json().get("refresh_token")
    path = f"/api/admin/tenants/{tenant['tenant_id']}"
    responses = [
        requested,
        answered,
        await server.client.get("/api/auth/me", headers=bearer),
        await server.post("/api/auth/token", {"grant_type": "refresh_token", "refresh_token": refresh_token}, key),
        await server.operator("GET", f"{path}/users?limit=5"),
        await server.operator("GET", f"{path}/messages?limit=5"),
        await server.operator("GET", path),
    ]
    return [wrong.status_code + 200 - 400, *(response.status_code for response in responses)]


@pytest.mark.parametrize("table", TABLES)
async def test_no_request_fails_when_a_column_is_added_and_dropped(
    server: Auth1, carrier: TwilioServer, database: asyncpg.Connection, table: str
) -> None:
    # Each connection has prepared all statements: for the first table here, and then since the last change.
    for change in (*([None] if table == TABLES[0] else []), ADD, DROP):
        if change is not None:
            await database.execute(change.format(table))
        # Twice as many at a time as there are connections: each connection meets the change.
        uses = (use(server, carrier) for _ in range(2 * POOL_SIZE))
        statuses = Counter(status for one in await asyncio.gather(*uses) for status in one)
        assert set(statuses) == {200}, (change, statuses)


async def test_no_request_fails_while_columns_are_added_and_dropped(
    server: Auth1, carrier: TwilioServer, database: asyncpg.Connection
) -> None:
    done = asyncio.Event()

    async def serve() -> Counter[int]:
        statuses: Counter[int] = Counter()
        while not done.is_set():
            statuses.update(await use(server, carrier))
        return statuses

    users = [asyncio.create_task(serve()) for _ in range(2 * POOL_SIZE)]
    for table in TABLES:
        await database.execute(ADD.format(table))
        await database.execute(DROP.format(table))
    done.set()

    assert set(sum(await asyncio.gather(*users), Counter())) == {200}
