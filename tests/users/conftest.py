"""A tenant that manages its users with its secret key, and users that log in."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer

USERS = "/api/tenant/users"


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a database connection of the test."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@dataclass
class UserAdmin:
    """A tenant of one test, and requests to manage its users."""

    api: ApiClient
    twilio: TwilioServer
    tenant: dict[str, Any] = field(default_factory=dict)

    @property
    def tenant_id(self) -> str:
        return str(self.tenant["tenant_id"])

    async def call(self, method: str, path: str = "", body: object = None, **more: Any) -> httpx.Response:
        """Call with the secret key; `more` goes to the HTTP client."""
        headers = {"x-api-key": self.tenant["secret_key"], **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        return await self.api.client.request(method, USERS + path, headers=headers, **more)

    async def make(self, **user: object) -> dict[str, Any]:
        """Create a user, by default with a new phone."""
        answer = await self.call(
            "POST", "", user if "email" in user or "phone" in user else {"phone": new_phone(), **user}
        )
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def find(self, **query: str) -> list[str]:
        """Return the ids on the first page of a search."""
        answer = await self.call("GET", params=query)
        assert answer.status_code == 200, answer.text
        return [user["user_id"] for user in answer.json()["data"]]

    async def upload(self, raw: bytes, media_type: str = "application/x-ndjson", **query: str) -> httpx.Response:
        headers = {"content-type": media_type}
        return await self.call("POST", "/import", content=raw, headers=headers, params=query)

    async def request(self, phone: str) -> str:
        """Request a code; return the code."""
        answer = await self.api.post("/api/auth/request", {"phone": phone}, self.tenant["api_key"])
        assert answer.status_code == 200, answer.text
        return self.twilio.code_for(phone)

    async def verify(self, phone: str, code: str) -> httpx.Response:
        return await self.api.post("/api/auth/verify", {"phone": phone, "code": code}, self.tenant["api_key"])

    async def login(self, phone: str) -> dict[str, Any]:
        answer = await self.verify(phone, await self.request(phone))
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def is_live(self, tokens: dict[str, Any]) -> bool:
        """Return whether a token is accepted."""
        body = {"token": tokens["token"]}
        answer = await self.api.post("/api/auth/introspect", body, self.tenant["secret_key"])
        live: bool = answer.json()["active"]
        return live

    async def events(self, database: asyncpg.Connection) -> list[str]:
        """Return the types of the tenant's events in order."""
        rows = await database.fetch("select type from events where tenant_id = $1 order by id", self.tenant_id)
        return [row["type"] for row in rows]


@pytest.fixture
async def admin(api: ApiClient, twilio_server: TwilioServer) -> UserAdmin:
    return UserAdmin(api, twilio_server, await api.tenant())


def new_email() -> str:
    return f"{secrets.token_hex(8)}@example.com"


async def at_once(*calls: Any) -> list[Any]:
    """Run all calls concurrently."""
    barrier = asyncio.Barrier(len(calls))

    async def begin(call: Any) -> Any:
        await barrier.wait()
        return await call()

    return list(await asyncio.gather(*(begin(call) for call in calls)))
