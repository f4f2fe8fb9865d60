"""Fixtures of the fraud tests beside tests/conftest.py."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from auth1.dev.postgres import PostgresServer
from tests.conftest import Started
from tests.fraud.visitors import Visitors
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import TwilioServer

DEFAULTS = "/api/admin/fraud"


@dataclass
class ManagedTenant:
    """A tenant that manages itself by its secret key."""

    api: ApiClient
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def tenant_id(self) -> str:
        return str(self.made["tenant_id"])

    async def call(self, method: str, path: str, body: object = None, **options: Any) -> httpx.Response:
        """Call a path below /api/tenant."""
        if body is not None:
            options["json"] = body
        headers = {"x-api-key": self.made["secret_key"]}
        return await self.api.client.request(method, f"/api/tenant{path}", headers=headers, **options)

    async def operator(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call a path of this tenant as the operator."""
        return await self.api.admin(method, f"/api/admin/tenants/{self.tenant_id}{path}", body)


async def managed_tenant(api: ApiClient, **settings: object) -> ManagedTenant:
    return ManagedTenant(api, await api.tenant(**settings))


@pytest.fixture
async def managed(api: ApiClient) -> ManagedTenant:
    """Return a new tenant of the default application."""
    return await managed_tenant(api)


@pytest.fixture(scope="session")
async def fraud_url(postgres_server: PostgresServer) -> str:
    """Return a database whose tenants have the default policy."""
    return await new_database(postgres_server, "auth1_fraud", is_relaxed=False)


@pytest.fixture(scope="session")
async def api(start_app: Started, fraud_url: str) -> ApiClient:
    """Return an application with the default policy. A busy machine is no unavailable Redis."""
    return await start_app(DATABASE_URL=fraud_url, REDIS_CALL_TIMEOUT_MS="5000")


@pytest.fixture(scope="module")
async def workers(start_app: Started, fraud_url: str) -> tuple[ApiClient, ApiClient]:
    """Return two workers that receive each other's invalidations."""
    settings = {"DATABASE_URL": fraud_url, "REDIS_CALL_TIMEOUT_MS": "5000"}
    return await start_app(background=True, **settings), await start_app(background=True, **settings)


@pytest.fixture(scope="session")
async def database(fraud_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a database connection of the test."""
    connection = await asyncpg.connect(fraud_url)
    yield connection
    await connection.close()


@pytest.fixture
def visitors(managed: ManagedTenant, twilio_server: TwilioServer, database: asyncpg.Connection) -> Visitors:
    """Return the visitors of a new tenant with the default policy."""
    return Visitors(managed, twilio_server, database)
