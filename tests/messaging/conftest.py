"""Fixtures of the messaging tests: a server in Twilio's place, a tenant that sends, and database queries."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import Request, TwilioServer, take

# Nothing listens there: a test that reports as Twilio would hands its request to the application itself.
APP_URL = "https://auth.example.com"


@pytest.fixture(scope="module")
async def module_carrier() -> AsyncIterator[TwilioServer]:
    async with TwilioServer() as server:
        yield server


@pytest.fixture
def carrier(module_carrier: TwilioServer) -> TwilioServer:
    """Return a server in Twilio's place that accepts messages by default."""
    module_carrier.behaviour = take
    module_carrier.script.clear()
    module_carrier.requests.clear()
    return module_carrier


@pytest.fixture(scope="module")
async def module_api(start_app: Started, module_carrier: TwilioServer) -> ApiClient:
    return await start_app(TWILIO_API_URL=module_carrier.url, APP_URL=APP_URL)


def spread_phones(count: int) -> list[str]:
    """Return up to 299 numbers of different prefixes, so that no fraud rule counts them together."""
    return [f"+1{201 + n}5550142" for n in range(count)]


@dataclass
class MessageDatabase:
    """Queries for a tenant's messages, and statements that replace waiting."""

    connection: asyncpg.Connection

    async def messages(self, tenant_id: str, phone: str) -> list[asyncpg.Record]:
        """Return all messages to a number, oldest first."""
        return await self.connection.fetch(
            "select * from messages where tenant_id = $1 and identifier = $2 order by created_at", tenant_id, phone
        )

    async def message(self, tenant_id: str, phone: str) -> asyncpg.Record:
        """Return the only message to a number."""
        [row] = await self.messages(tenant_id, phone)
        return row

    async def identifier(self, tenant_id: str, phone: str) -> asyncpg.Record:
        row = await self.connection.fetchrow(
            "select * from identifiers where tenant_id = $1 and identifier = $2", tenant_id, phone
        )
        assert row is not None
        return row

    async def events(self, tenant_id: str, subject: str) -> list[tuple[str, str]]:
        """Return the type and data of all events about a subject."""
        rows = await self.connection.fetch(
            "select type, data from events where tenant_id = $1 and subject = $2 order by id", tenant_id, subject
        )
        return [(row["type"], row["data"]) for row in rows]

    async def do(self, sql: str, *arguments: object) -> None:
        await self.connection.execute(sql, *arguments)


@pytest.fixture(scope="module")
async def message_db(database_url: str) -> AsyncIterator[MessageDatabase]:
    connection = await asyncpg.connect(database_url)
    yield MessageDatabase(connection)
    await connection.close()


@dataclass
class TenantApp:
    """A tenant that requests codes."""

    api: ApiClient
    carrier: TwilioServer
    message_db: MessageDatabase
    tenant: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.tenant["tenant_id"])

    async def ask(self, phone: str) -> tuple[int, dict[str, Any]]:
        """Request a code; return the status and body."""
        answer = await self.api.post("/api/auth/request", {"phone": phone}, self.tenant["api_key"])
        return answer.status_code, answer.json()

    async def log_in(self, phone: str) -> int:
        """Verify the newest code; return the status."""
        body = {"phone": phone, "code": self.carrier.code_for(phone)}
        return (await self.api.post("/api/auth/verify", body, self.tenant["api_key"])).status_code

    def handed_over(self, phone: str) -> list[Request]:
        """Return the requests that the carrier received for a number."""
        return [request for request in self.carrier.requests if request.form.get("To") == phone]

    async def message(self, phone: str) -> asyncpg.Record:
        return await self.message_db.message(self.id, phone)

    async def sends_counted(self, phone: str) -> int:
        """Return how many sends count against the number's limit."""
        return len((await self.message_db.identifier(self.id, phone))["sent_at"])


@pytest.fixture
async def app(module_api: ApiClient, carrier: TwilioServer, message_db: MessageDatabase) -> TenantApp:
    """Return a new tenant whose messages go to the carrier."""
    return TenantApp(module_api, carrier, message_db, await module_api.tenant(sms_branding="MyApp"))


@pytest.fixture
async def url(app: TenantApp, phone: str) -> str:
    """Return the status callback URL of the message that was just accepted for `phone`."""
    status, requested = await app.ask(phone)
    assert (status, requested["status"]) == (200, "sent")
    return app.handed_over(phone)[-1].form["StatusCallback"]
