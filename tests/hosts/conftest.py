"""Hosts of tenants, and the DNS server that verifies them."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.dns import DnsServer


@pytest.fixture(scope="session")
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer() as server:
        yield server


@pytest.fixture(scope="session")
async def host_api(start_app: Started, dns: DnsServer) -> ApiClient:
    return await start_app(DNS_SERVERS=f"127.0.0.1:{dns.port}")


@dataclass
class Owner:
    """A tenant that manages its hosts."""

    api: ApiClient
    dns: DnsServer
    tenant: dict[str, Any]
    name: str = field(default_factory=lambda: f"login.{secrets.token_hex(6)}.example.com")

    async def call(self, method: str, path: str = "", body: object = None) -> httpx.Response:
        """Call as the tenant below its hosts."""
        headers = {"x-api-key": self.tenant["secret_key"]}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.api.client.request(method, f"/api/tenant/hosts{path}", headers=headers, **arguments)

    async def add(self, name: str | None = None) -> dict[str, Any]:
        """Add a host, with its TXT record in the DNS."""
        added = await self.call("POST", body={"host": name or self.name})
        assert added.status_code == 201, added.text
        host: dict[str, Any] = added.json()
        self.dns.texts.setdefault(host["txt_name"], []).append(host["txt_value"])
        return host

    async def verify(self, host: dict[str, Any]) -> httpx.Response:
        return await self.call("POST", f"/{host['host_id']}/verify")

    async def verified(self, name: str | None = None, *, canonical: bool = False) -> dict[str, Any]:
        """Return a verified host."""
        host = await self.add(name)
        answer = await self.verify(host)
        assert answer.status_code == 200, answer.text
        if canonical:
            answer = await self.set_canonical(host, canonical=True)
            assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def set_canonical(self, host: dict[str, Any], *, canonical: bool) -> httpx.Response:
        return await self.call("PATCH", f"/{host['host_id']}", {"canonical": canonical})

    async def remove(self, host: dict[str, Any]) -> None:
        assert (await self.call("DELETE", f"/{host['host_id']}")).status_code == 204

    @property
    def path(self) -> str:
        return f"/t/{self.tenant['slug']}"

    @property
    def url(self) -> str:
        """The issuer without a host of its own."""
        return self.api.settings.app_url + self.path

    def client(self, host: str | None = None) -> httpx.AsyncClient:
        """Return a client of a host, with cookies of its own. It follows no redirect."""
        address = f"https://{host or self.name}"  # where paths are others than in the API description
        return httpx.AsyncClient(transport=self.api.transport, base_url=address, timeout=300)


@pytest.fixture
async def owner(host_api: ApiClient, dns: DnsServer) -> Owner:
    return Owner(host_api, dns, await host_api.tenant())


@pytest.fixture
async def other(host_api: ApiClient, dns: DnsServer) -> Owner:
    return Owner(host_api, dns, await host_api.tenant())


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
