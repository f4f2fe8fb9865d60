"""An application with a database of its own, tenants with webhooks, and events made by hand."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from auth1.core.ids import new_id
from auth1.dev.postgres import PostgresServer
from auth1.services import Services
from auth1.webhooks.delivery import fan_out
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database

TEMPLATE = "auth1_webhooks"
URL = "https://example.com/webhooks"
_numbers = itertools.count()


@dataclass
class Owner:
    """A tenant that manages its webhooks with a secret key."""

    api: ApiClient
    database: asyncpg.Connection
    tenant_id: str
    key: str

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Call a management route; `path` follows /api/tenant/webhooks."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} | {"x-api-key": self.key}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.api.client.request(method, f"/api/tenant/webhooks{path}", headers=named, **arguments)

    async def webhook(self, *events: str, **fields: object) -> dict[str, Any]:
        """Create a webhook."""
        answer = await self.call("POST", "", {"url": URL, "events": events or ["*"]} | fields)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def add(self, *types: str, tenant_id: str | None = None) -> list[str]:
        """Insert events, each in a transaction of its own; return their ids."""
        ids = []
        for event_type in types:
            await asyncio.sleep(0.0015)  # ids of one millisecond have no order
            ids.append(await insert(self.database, tenant_id or self.tenant_id, event_type))
        return ids

    async def fan_out(self, max_events: int = fan_out.MAX_EVENTS) -> int:
        """Make deliveries of all events; return the number of events."""
        return await fan_out.fan_out(self.api.services, max_events)

    async def deliveries(self, webhook: dict[str, Any]) -> list[asyncpg.Record]:
        """Return the rows of a webhook's deliveries in the order of their first attempts."""
        return await self.database.fetch(
            "select * from deliveries where tenant_id = $1 and webhook_id = $2 order by tx, event_id",
            *(self.tenant_id, webhook["webhook_id"]),
        )

    async def fanned_out(self, webhook: dict[str, Any]) -> list[str]:
        """Return the events of a webhook's deliveries, without those about webhooks."""
        return [row["event_id"] for row in await self.deliveries(webhook) if not row["type"].startswith("webhook.")]

    async def finish(self, webhook: dict[str, Any], event_ids: Iterable[str], state: str) -> None:
        """End deliveries as a worker does, after one call each."""
        for event_id in event_ids:
            values = (self.tenant_id, webhook["webhook_id"], event_id)
            await self.database.execute(
                """update deliveries set state = $4, attempts = attempts + 1, finished_at = now()
                   where tenant_id = $1 and webhook_id = $2 and event_id = $3""",
                *(*values, state),
            )
            await self.database.execute(
                """insert into delivery_attempts
                     (tenant_id, webhook_id, event_id, attempt, started_at, url, status, ms, answer)
                   select tenant_id, webhook_id, event_id, attempts, now(), $4, $5, 12, 'ok' from deliveries
                   where tenant_id = $1 and webhook_id = $2 and event_id = $3""",
                *(*values, URL, 204 if state == "delivered" else 500),
            )

    @property
    def services(self) -> Services:
        return self.api.services


async def insert(database: Any, tenant_id: str, event_type: str = "user.updated") -> str:
    """Insert an event; return its id."""
    event_id = new_id("evt")
    await database.execute(
        """insert into events (tenant_id, id, type, actor, subject, data)
           values ($1, $2, $3, 'key_1', 'usr_1', '{"changed": ["email"]}')""",
        *(tenant_id, event_id, event_type),
    )
    return event_id


@pytest.fixture(scope="session")
async def webhook_template(postgres_server: PostgresServer) -> str:
    await new_database(postgres_server, TEMPLATE)
    return TEMPLATE


@pytest.fixture(scope="module")
async def webhook_url(postgres_server: PostgresServer, webhook_template: str) -> str:
    """Return the URL of a database for the tests of one file."""
    name = f"{webhook_template}_{next(_numbers)}"
    admin = await asyncpg.connect(postgres_server.url())
    await admin.execute(f"create database {name} template {webhook_template}")
    await admin.close()
    return postgres_server.url(name)


@pytest.fixture(scope="module")
async def webhook_api(webhook_url: str, start_app: Started) -> ApiClient:
    """Return an application on the database of this file."""
    return await start_app(DATABASE_URL=webhook_url, APP_URL="https://auth.example.com")


@pytest.fixture
async def database(webhook_url: str) -> AsyncIterator[asyncpg.Connection]:
    database = await asyncpg.connect(webhook_url)
    yield database
    await database.close()


@pytest.fixture
async def owner(webhook_api: ApiClient, database: asyncpg.Connection) -> Owner:
    """Return a new tenant, whose events are all read."""
    tenant = await webhook_api.tenant()
    owner = Owner(webhook_api, database, tenant["tenant_id"], tenant["secret_key"])
    await owner.fan_out()
    return owner
