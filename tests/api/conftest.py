"""Fixtures of the API tests beside tests/conftest.py."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from tests.support.api_client import ApiClient
from tests.support.raw_asgi import RawAsgi


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a database connection of the test."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def tenant(api: ApiClient) -> dict[str, str]:
    """Return a tenant with default settings; tests must not change it."""
    return await api.tenant()


@pytest.fixture(scope="session")
def raw_asgi(api: ApiClient) -> RawAsgi:
    """Return a raw ASGI client of the default application."""
    return RawAsgi(api)


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 300.0) -> bool:
    """Poll until the condition holds; return whether it did in time."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def fill_pool(api: ApiClient) -> None:
    """Open twenty connections, so that a race does not wait for new ones."""

    async def is_full() -> bool:
        answers = await asyncio.gather(*(api.admin("GET", "/api/admin/tenants/tn_none") for _ in range(20)))
        return all(answer.status_code == 404 for answer in answers)

    assert await until(is_full)


async def dump(database: asyncpg.Connection, text: str = "") -> str:
    """Return every row of every table as text; bytea as hexadecimal digits."""
    tables = await database.fetch(
        "select format('%I', relname) as name from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition"
    )
    holds = "select t::text as row from {} t where strpos(t::text, $1) > 0 or $1 = ''"
    rows = [await database.fetch(holds.format(table["name"]), text) for table in tables]
    return "\n".join(row["row"] for found in rows for row in found)
