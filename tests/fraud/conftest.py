"""Fixtures of the fraud tests beside tests/conftest.py."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import Started
from tests.support.api_client import ApiClient

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


@pytest.fixture(scope="module")
async def workers(start_app: Started) -> tuple[ApiClient, ApiClient]:
    """Return two workers that receive each other's invalidations."""
    return await start_app(background=True), await start_app(background=True)


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a database connection of the test."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
