"""Requests that fail after their exposure was acquired: nothing is sent, so nothing stays exposed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from tests.conftest import Started
from tests.fraud.conftest import managed_tenant
from tests.fraud.visitors import BLOCK, Visitors, outcome
from tests.support.postgres_files import PostgresFiles, new_database
from tests.support.process import until
from tests.support.providers.lookup import LookupServer
from tests.support.providers.twilio import TwilioServer

PHONES = [f"{BLOCK}0{number:03}" for number in range(100, 108)]


@pytest.fixture
def own_postgres(postgres_files: PostgresFiles, tmp_path: Path) -> Iterator[PostgresServer]:
    """Return a PostgreSQL that the test may stop."""
    with postgres_files.server(tmp_path / "postgres") as server:
        yield server


@pytest.fixture
async def lookup() -> AsyncIterator[LookupServer]:
    async with LookupServer() as server:
        yield server


@pytest.fixture
async def looked_up(
    start_app: Started,
    own_postgres: PostgresServer,
    lookup: LookupServer,
    twilio_server: TwilioServer,
    database: asyncpg.Connection,
) -> Visitors:
    """Return the visitors of a tenant of an application with Lookup and a database of its own."""
    api = await start_app(
        DATABASE_URL=await new_database(own_postgres, "auth1_lost", is_relaxed=False),
        REDIS_CALL_TIMEOUT_MS="5000",
        TIMEOUT_SCALE="3",
        TWILIO_LOOKUP_URL=lookup.url,
        TWILIO_LOOKUP_FIELDS="line_type_intelligence",
    )
    return Visitors(await managed_tenant(api), twilio_server, database)


async def test_requests_without_postgresql_are_no_exposure(looked_up: Visitors, own_postgres: PostgresServer) -> None:
    api, address = looked_up.managed.api, "198.51.100.7"
    assert outcome(await looked_up.request(PHONES[0], "203.0.113.1")) == "sent"

    own_postgres.stop()
    outcomes = [outcome(await looked_up.request(phone, address)) for phone in PHONES[1:7]]
    own_postgres.start()

    async def is_ready() -> bool:
        return (await api.client.get("/health/ready")).status_code == 200

    await until(is_ready)
    await looked_up.settle()
    assert outcomes == ["unavailable"] * 6
    assert outcome(await looked_up.request(PHONES[7], address)) == "sent"
