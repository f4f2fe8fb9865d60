"""A user that has logged in, and operations on its tokens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer
from tests.support.user import PhoneUser

TOKEN, LOGOUT, INTROSPECT = "/api/auth/token", "/api/auth/logout", "/api/auth/introspect"
SESSIONS = "/api/auth/me/sessions"


class SessionUser(PhoneUser):
    """A user that logs in, and operations on its tokens."""

    async def log_in(self, **device: str) -> dict[str, Any]:
        """Log in on another device; return the response of /verify."""
        await self.database.execute("update identifiers set sent_at = '{}' where identifier = $1", self.phone)
        requested = await self.api.post("/api/auth/request", {"phone": self.phone}, self.api_key, **device)
        assert requested.status_code == 200, requested.text
        body = {"phone": self.phone, "code": self.code}
        verified = await self.api.post("/api/auth/verify", body, self.api_key, **device)
        assert verified.status_code == 200, verified.text
        answer: dict[str, Any] = verified.json()
        return answer

    async def refresh(self, refresh_token: str, api: ApiClient | None = None) -> httpx.Response:
        grant = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await (api or self.api).post(TOKEN, grant, self.api_key)

    async def call(self, method: str, path: str, token: str, body: object = None) -> httpx.Response:
        """Call as the user."""
        headers = {"x-api-key": self.api_key, "authorization": f"Bearer {token}"}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.api.client.request(method, path, headers=headers, **arguments)

    async def manage(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call as the tenant's server."""
        headers = {"x-api-key": self.tenant["secret_key"]}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.api.client.request(method, "/api/tenant" + path, headers=headers, **arguments)

    async def introspect(self, token: str, key: str = "secret_key") -> dict[str, Any]:
        answer = await self.api.post(INTROSPECT, {"token": token}, self.tenant[key])
        assert answer.status_code == 200, answer.text
        reported: dict[str, Any] = answer.json()
        return reported

    async def is_live(self, token: str) -> bool:
        """Return whether introspection and the user's routes accept a token; all instances must agree."""
        reported = {(await self.introspect(token))["active"] for _ in self.apis}
        seen = {(await self.call("GET", SESSIONS, token)).status_code for _ in self.apis}
        assert seen == ({200} if reported == {True} else {401}), (reported, seen)
        return reported == {True}

    async def age(self, session_id: str, seconds: float) -> None:
        """Move all times of a session in the database into the past."""
        await self.database.execute(
            f"""update sessions set created_at = created_at - i, refreshed_at = refreshed_at - i,
                rotated_at = array(select r - i from unnest(rotated_at) with ordinality as u (r, n) order by n),
                  last_used_at = last_used_at - i, expires_at = expires_at - i, idle_at = idle_at - i
                from (select interval '{seconds} s' as i) as age where id = $1""",
            session_id,
        )

    async def events(self, kind: str) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.database.fetch(
            "select * from events where tenant_id = $1 and type = $2 order by id", self.tenant_id, kind
        )
        return rows


NewUser = Callable[..., Awaitable[SessionUser]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def apis(start_app: Started) -> list[ApiClient]:
    """Return two instances on the same servers, which share invalidations."""
    apis = [await start_app(), await start_app()]
    for api in apis:
        await api.services.tenants.start()
    return apis


@pytest.fixture
def new_user(api: ApiClient, twilio_server: TwilioServer, database: asyncpg.Connection) -> NewUser:
    """Create a user at a tenant with some settings."""

    async def make(apis: list[ApiClient] | None = None, key: str = "api_key", **settings: object) -> SessionUser:
        return SessionUser(apis or [api], await api.tenant(**settings), twilio_server, database, key=key)

    return make


@pytest.fixture
async def user(new_user: NewUser) -> SessionUser:
    return await new_user()
