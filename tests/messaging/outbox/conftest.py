"""Fixtures of the outbox tests. Their database is separate, because the outbox processes all messages."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.messaging import dispatcher
from tests.conftest import Started
from tests.messaging.conftest import MessageDatabase, TenantApp
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import TwilioServer


@pytest.fixture(scope="session")
async def own_database_url(postgres_server: PostgresServer) -> str:
    return await new_database(postgres_server, "auth1_outbox")


@pytest.fixture(scope="module")
async def message_db(own_database_url: str) -> AsyncIterator[MessageDatabase]:
    connection = await asyncpg.connect(own_database_url)
    yield MessageDatabase(connection)
    await connection.close()


@pytest.fixture(scope="module")
async def module_api(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> ApiClient:
    return await start_app(TWILIO_API_URL=module_carrier.url, DATABASE_URL=own_database_url)


@pytest.fixture(scope="module")
async def other_api(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> ApiClient:
    """Return another worker."""
    return await start_app(TWILIO_API_URL=module_carrier.url, DATABASE_URL=own_database_url)


async def queue(app: TenantApp, phone: str, api_key: str | None = None) -> None:
    """Request a code while the in-flight limit is reached."""
    with ExitStack() as full:
        for _ in range(dispatcher.MAX_IN_FLIGHT):
            full.enter_context(app.api.services.messenger.reserve_capacity())
        requested = await app.api.post("/api/auth/request", {"phone": phone}, api_key or app.tenant["api_key"])
        assert (requested.status_code, requested.json()["status"]) == (200, "queued"), requested.text
