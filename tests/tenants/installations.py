"""Two installations on databases of two clusters, a tenant of the first one, and clients that log in while it moves."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from auth1.tenants.move import Moved, MoveError, abort_move, move_tenant
from auth1.tenants.move.tables import describe_tables
from tests.conftest import new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer


@dataclass
class Installation:
    """A database and an application on it."""

    url: str
    api: ApiClient

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        """Run a statement on a connection of its own: a move ends those to the target."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def value(self, query: str, *values: object) -> Any:
        """Return the first value of a statement."""
        return (await self.fetch(query, *values))[0][0]

    async def publish(self) -> None:
        """Let the workers forget all tenants."""
        await self.api.services.tenants.publish_invalidation("")

    async def contents(self, tenant_id: str) -> dict[str, list[str]]:
        """Return all rows of a tenant, by table."""
        connection = await asyncpg.connect(self.url)
        tables = await describe_tables(connection, tenant_id)
        rows = {table.name: sorted(map(repr, await connection.fetch(table.all_rows))) for table in tables}
        await connection.close()
        return rows


@dataclass
class Installations:
    """The source and the target of a move, and what clients of the tenant saw."""

    source: Installation
    target: Installation
    twilio: TwilioServer
    tenant: dict[str, Any]
    logins: list[dict[str, str]] = field(default_factory=list)

    @property
    def tenant_id(self) -> str:
        return str(self.tenant["tenant_id"])

    async def call(self, path: str, body: object = None, method: str = "POST", token: str = "") -> httpx.Response:
        """Call until the tenant is served: by the source, or by the target once it has moved."""
        api = self.source.api
        headers = {"x-api-key": self.tenant["api_key"]} | ({"authorization": f"Bearer {token}"} if token else {})
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        while True:
            answer = await api.client.request(method, path, headers=headers, **arguments)
            if answer.status_code == 421:
                assert answer.json()["code"] == "tenant_moved"
                api = self.target.api
            elif answer.status_code == 503:
                assert answer.headers["retry-after"] == "1"
                await asyncio.sleep(1)
            else:
                return answer

    async def log_in(self) -> dict[str, str]:
        """Log a new user in."""
        phone = new_phone()
        sent = await self.call("/api/auth/request", {"phone": phone})
        if sent.status_code != 200:  # the code was sent, and the response was lost
            assert sent.json()["code"] == "resend_too_soon", sent.text
        done = await self.call("/api/auth/verify", {"phone": phone, "code": self.twilio.code_for(phone)})
        assert done.status_code == 200, done.text
        self.logins.append(done.json())
        return self.logins[-1]

    async def log_in_until(self, end: asyncio.Event) -> None:
        while not end.is_set():
            await self.log_in()

    async def move(self) -> Moved:
        """Move the tenant, without the wait for workers that have no Redis."""
        publish = self.source.publish
        return await move_tenant(self.source.url, self.target.url, self.tenant_id, publish, lambda _: None, settle_s=0)

    async def move_when_busy(self) -> Moved:
        """Move the tenant, repeating the command as its message says where this machine is too slow."""
        while True:
            with suppress(MoveError):
                return await self.move()

    async def abort(self) -> None:
        await abort_move(self.source.url, self.target.url, self.tenant_id, self.source.publish)

    async def check_logins(self) -> None:
        """Check that each session works on the target: its access token, and its refresh token."""
        assert (await self.source.api.post("/api/auth/token", {}, self.tenant["api_key"])).status_code == 421
        for login in self.logins:
            assert (await self.call("/api/auth/me", method="GET", token=login["token"])).status_code == 200
            grant = {"grant_type": "refresh_token", "refresh_token": login["refresh_token"]}
            refreshed = await self.call("/api/auth/token", grant)
            assert refreshed.status_code == 200, refreshed.text

    async def count_triggers(self) -> int:
        """Return the number of triggers that record changes in the source."""
        found = await self.source.value("select count(*) from pg_trigger where tgname like 'record_tenant_%'")
        return int(found)
