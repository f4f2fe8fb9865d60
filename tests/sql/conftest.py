"""Databases of a test on the server that all tests share."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from auth1.core.postgres.functions import functions
from auth1.dev.postgres import PostgresServer
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database as migrated_database

NewDatabase = Callable[[], Awaitable[str]]
Connect = Callable[[str], Awaitable[asyncpg.Connection]]


@pytest.fixture(scope="session")
async def new_database(postgres_server: PostgresServer) -> NewDatabase:
    """Create an empty database and return its URL."""

    async def make() -> str:
        name = f"empty_{secrets.token_hex(6)}"
        connection = await asyncpg.connect(postgres_server.url())
        await connection.execute(f"create database {name}")
        await connection.close()
        return postgres_server.url(name)

    return make


@pytest.fixture(scope="session")
async def new_migrated_database(postgres_server: PostgresServer) -> NewDatabase:
    """Create a migrated database and return its URL."""

    async def make() -> str:
        return await migrated_database(postgres_server, f"sql_{secrets.token_hex(6)}", is_relaxed=False)

    return make


@pytest.fixture(scope="module")
async def migrated_url(new_migrated_database: NewDatabase) -> str:
    """Return a migrated database for the tests of one file."""
    return await new_migrated_database()


@pytest.fixture(scope="module")
async def app(start_app: Started, migrated_url: str) -> ApiClient:
    """Return an application on a database of this file."""
    return await start_app(DATABASE_URL=migrated_url, DATABASE_POOL_SIZE="4")


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect to a database with a short lock timeout."""
    opened: list[asyncpg.Connection] = []

    async def connect(url: str) -> asyncpg.Connection:
        opened.append(await asyncpg.connect(url, server_settings={"lock_timeout": "20s"}))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.terminate()


@pytest.fixture
async def connection(migrated_url: str, connect: Connect) -> asyncpg.Connection:
    """Return a connection to the migrated database."""
    return await connect(migrated_url)


@pytest.fixture
async def rules(connection: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection that finds the functions of this release by their names, in a transaction."""
    async with connection.transaction():
        await connection.execute(f"set local search_path = {functions().schema}, public")
        yield connection
