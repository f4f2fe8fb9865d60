"""Fixtures of the messaging tests: a server in Twilio's place, a tenant that sends, and database queries."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from tests.conftest import Door, Started
from tests.outside.twilio import Request, TwilioServer, take

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
async def module_door(start_app: Started, module_carrier: TwilioServer) -> Door:
    return await start_app(TWILIO_API_URL=module_carrier.url, APP_URL=APP_URL)


def spread_phones(count: int) -> list[str]:
    """Return up to 299 numbers of different prefixes, so that no fraud rule counts them together."""
    return [f"+1{201 + n}5550142" for n in range(count)]


@dataclass
class Books:
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
async def books(database_url: str) -> AsyncIterator[Books]:
    connection = await asyncpg.connect(database_url)
    yield Books(connection)
    await connection.close()


@dataclass
class Sender:
    """A tenant that requests codes."""

    door: Door
    carrier: TwilioServer
    books: Books
    tenant: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.tenant["tenant_id"])

    async def ask(self, phone: str) -> tuple[int, dict[str, Any]]:
        """Request a code; return the status and body."""
        answer = await self.door.post("/api/auth/request", {"phone": phone}, self.tenant["api_key"])
        return answer.status_code, answer.json()

    async def log_in(self, phone: str) -> int:
        """Verify the newest code; return the status."""
        body = {"phone": phone, "code": self.carrier.code_for(phone)}
        return (await self.door.post("/api/auth/verify", body, self.tenant["api_key"])).status_code

    def handed_over(self, phone: str) -> list[Request]:
        """Return the requests that the carrier received for a number."""
        return [request for request in self.carrier.requests if request.form.get("To") == phone]

    async def message(self, phone: str) -> asyncpg.Record:
        return await self.books.message(self.id, phone)

    async def sends_counted(self, phone: str) -> int:
        """Return how many sends count against the number's limit."""
        return len((await self.books.identifier(self.id, phone))["sent_at"])


@pytest.fixture
async def sender(module_door: Door, carrier: TwilioServer, books: Books) -> Sender:
    """Return a new tenant whose messages go to the carrier."""
    return Sender(module_door, carrier, books, await module_door.tenant(sms_branding="MyApp"))


@pytest.fixture
async def url(sender: Sender, phone: str) -> str:
    """Return the status callback URL of the message that was just accepted for `phone`."""
    status, asked = await sender.ask(phone)
    assert (status, asked["status"]) == (200, "sent")
    return sender.handed_over(phone)[-1].form["StatusCallback"]
