"""PostgreSQL that rejects statements: read-only, a locked row, no free connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.faults.test_postgres_unavailable import another, expect_unavailable, probe, ready
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer


@asynccontextmanager
async def locked(database: asyncpg.Connection, phone: str) -> AsyncIterator[None]:
    """Lock the row of an identifier, as a long migration does."""
    async with database.transaction():
        await database.execute("select from identifiers where identifier = $1 for update", phone)
        yield


async def set_read_only(postgres: PostgresServer, on: bool) -> None:
    """Make the database read-only, as a full disk or a failover does."""
    connection = await asyncpg.connect(postgres.url())
    await connection.execute(f"alter system set default_transaction_read_only = {'on' if on else 'off'}")
    await connection.execute("select pg_reload_conf()")
    await connection.close()


async def test_read_only_database_returns_unavailable(
    server: Auth1, own_postgres: PostgresServer, carrier: TwilioServer
) -> None:
    key, known, new = (await server.tenant(max_otp_attempts=1))["api_key"], new_phone(), new_phone()
    assert (await server.ask(known, key)).status_code == 200
    code = carrier.code_for(known)

    await set_read_only(own_postgres, True)
    try:
        await until(lambda: not_ready(server))
        await expect_unavailable(server.answer(known, another(code), key))
        await expect_unavailable(server.answer(known, code, key))
        await expect_unavailable(server.ask(new, key))
        assert await probe(server) == {"/health/live": 200, "/health/ready": 503, "/health": 503}
    finally:
        await set_read_only(own_postgres, False)

    await until(lambda: ready(server))
    assert carrier.sent_to(new) == []
    assert (await server.answer(known, code, key)).status_code == 200
    assert (await server.ask(new, key)).status_code == 200


async def not_ready(server: Auth1) -> bool:
    return not await ready(server)


async def test_locked_row_returns_unavailable_for_its_identifier_only(
    server: Auth1, carrier: TwilioServer, database: asyncpg.Connection
) -> None:
    key, known, other = (await server.tenant(max_otp_attempts=1))["api_key"], new_phone(), new_phone()
    assert (await server.ask(known, key)).status_code == 200
    code = carrier.code_for(known)

    async with locked(database, known):
        await asyncio.gather(
            expect_unavailable(server.answer(known, another(code), key)),
            expect_unavailable(server.answer(known, code, key)),
            expect_unavailable(server.ask(known, key)),
            log_in(server, carrier, other, key),
        )
        assert await ready(server)

    assert len(carrier.sent_to(known)) == 1
    assert (await server.answer(known, code, key)).status_code == 200


async def log_in(server: Auth1, carrier: TwilioServer, phone: str, key: str) -> None:
    assert (await server.ask(phone, key)).status_code == 200
    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200


@pytest.fixture
async def small_server(module_launcher: Launcher) -> AsyncIterator[Auth1]:
    """Return a server with a single database connection."""
    async with module_launcher(DATABASE_POOL_SIZE="1") as running:
        yield running


async def test_exhausted_pool_returns_unavailable(
    small_server: Auth1, carrier: TwilioServer, database: asyncpg.Connection
) -> None:
    server = small_server
    key, known, other = (await server.tenant(max_otp_attempts=1))["api_key"], new_phone(), new_phone()
    assert (await server.ask(known, key)).status_code == 200
    code = carrier.code_for(known)

    async with locked(database, known):
        # Each that gets the connection keeps it until it has waited for the lock long enough; the others get none.
        await asyncio.gather(*(expect_unavailable(server.answer(known, another(code), key)) for _ in range(8)))
        assert await server.status("/health/live") == 200

    def both_happened() -> bool:
        reasons = {line["reason"] for line in server.lines("PostgreSQL is unavailable")}
        return {"TimeoutError", "LockNotAvailableError"} <= reasons

    await until(both_happened, explain=server.text)
    assert (await server.answer(known, code, key)).status_code == 200
    await log_in(server, carrier, other, key)
    assert await ready(server)
