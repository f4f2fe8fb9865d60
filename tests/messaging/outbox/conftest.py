"""Fixtures of the outbox tests. Their database is separate, because the outbox processes all messages."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.messaging import dispatcher
from tests.conftest import Door, Started, new_database
from tests.messaging.conftest import Books, Sender
from tests.outside.twilio import TwilioServer


@pytest.fixture(scope="session")
async def own_database_url(postgres_server: PostgresServer) -> str:
    return await new_database(postgres_server, "auth1_outbox")


@pytest.fixture(scope="module")
async def books(own_database_url: str) -> AsyncIterator[Books]:
    connection = await asyncpg.connect(own_database_url)
    yield Books(connection)
    await connection.close()


@pytest.fixture(scope="module")
async def module_door(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> Door:
    return await start_app(TWILIO_API_URL=module_carrier.url, DATABASE_URL=own_database_url)


@pytest.fixture(scope="module")
async def other_door(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> Door:
    """Return another worker."""
    return await start_app(TWILIO_API_URL=module_carrier.url, DATABASE_URL=own_database_url)


async def queue(sender: Sender, phone: str, api_key: str | None = None) -> None:
    """Request a code while the in-flight limit is reached."""
    with ExitStack() as full:
        for _ in range(dispatcher.MAX_IN_FLIGHT):
            full.enter_context(sender.door.services.messenger.reserve_capacity("sms", sandbox=False))
        asked = await sender.door.post("/api/auth/request", {"phone": phone}, api_key or sender.tenant["api_key"])
        assert (asked.status_code, asked.json()["status"]) == (200, "queued"), asked.text
