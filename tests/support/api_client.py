"""An HTTP client of the application under test."""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from auth1.config.settings import Settings
from auth1.services import Services
from tests.support import described

REQUEST, VERIFY, TENANTS = "/api/auth/request", "/api/auth/verify", "/api/admin/tenants"
ADMIN_TOKEN = "the operator's token, as long as it has to be"


def new_client(transport: httpx.AsyncBaseTransport, base_url: str) -> httpx.AsyncClient:
    """Return a client that checks every response against the API description."""
    client = httpx.AsyncClient(transport=transport, base_url=base_url, timeout=300)
    client.event_hooks["response"].append(described.hold)
    return client


@dataclass
class ApiClient:
    """An HTTP client of the application, with access to its services."""

    transport: httpx.AsyncBaseTransport
    client: httpx.AsyncClient
    services: Services
    settings: Settings
    log_path: Path

    async def post(self, path: str, body: object = None, key: str | None = None, **headers: str) -> httpx.Response:
        """POST JSON, with an API key and other headers (`x_forwarded_for=` becomes x-forwarded-for)."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["x-api-key"] = key
        return await self.client.post(path, json=body, headers=named)

    async def admin(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call as the operator."""
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.client.request(method, path, headers=headers, **arguments)

    async def manage(self, tenant: dict[str, Any], method: str, path: str, body: object = None) -> httpx.Response:
        """Call a route below /api/tenant as the tenant. Fail unless it succeeds."""
        headers = {"x-api-key": tenant["secret_key"]}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        answer = await self.client.request(method, f"/api/tenant{path}", headers=headers, **arguments)
        assert answer.is_success, answer.text
        return answer

    async def ban(self, tenant: dict[str, Any], user_id: str) -> None:
        """Ban a user of a tenant without an end."""
        await self.manage(tenant, "POST", f"/users/{user_id}/ban", {})

    def new_client(self, base_url: str | None = None) -> httpx.AsyncClient:
        """Return a client with its own cookies. It follows no redirect."""
        return new_client(self.transport, base_url or str(self.client.base_url))

    async def tenant(self, **settings: object) -> dict[str, Any]:
        """Create a tenant; return the response of POST /api/admin/tenants."""
        slug = f"t{secrets.token_hex(6)}"
        answer = await self.admin("POST", "/api/admin/tenants", {"name": "My App", "slug": slug, "settings": settings})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def log(self) -> str:
        """Return everything that was written to stdout until now."""
        mark = secrets.token_hex(8)
        self.services.log.error(mark)  # at the highest level; lines keep their order
        while True:
            written, found, _ = self.log_path.read_text().partition(mark)
            if found:
                return written.rpartition("\n")[0]
            await asyncio.sleep(0.01)
