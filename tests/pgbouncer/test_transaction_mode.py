"""Auth1 behind a real PgBouncer in transaction mode: migrations, logins, deadlines, and wrong settings by name."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from auth1.cli.service_checks import check_pooler
from auth1.config.settings import load_settings
from auth1.core.postgres import Postgres
from auth1.core.postgres.migrations import migrate, pending
from auth1.core.postgres.queries import Query
from auth1.core.telemetry.log import Log
from auth1.dev.postgres import PostgresServer
from auth1.errors import Unavailable
from tests.conftest import Started, new_phone
from tests.support.api_client import ApiClient
from tests.support.pgbouncer import IS_MISSING, PgBouncer
from tests.support.postgres_files import new_database
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer

pytestmark = pytest.mark.skipif(IS_MISSING, reason="pgbouncer is not installed")
_names = itertools.count()


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    """Return a PgBouncer with fewer connections than the application uses."""
    with PgBouncer(tmp_path_factory.mktemp("pgbouncer"), postgres_server, connections=3) as server:
        yield server


@pytest.fixture(scope="module")
async def pooled_url(postgres_server: PostgresServer, pooler: PgBouncer) -> str:
    """Return a migrated database, through PgBouncer."""
    await new_database(postgres_server, "pooled")
    return pooler.url("pooled")


@pytest.fixture(scope="module")
async def pooled(start_app: Started, pooled_url: str) -> ApiClient:
    return await start_app(background=True, DATABASE_URL=pooled_url, DATABASE_STATEMENT_CACHE_SIZE="0")


@pytest.fixture
async def postgres(pooled_url: str) -> AsyncIterator[Postgres]:
    pool = Postgres(pooled_url, Log("error"), size=2, statement_cache_size=0)
    await pool.start()
    yield pool
    await pool.stop()


async def log_in_and_out(api: ApiClient, twilio_server: TwilioServer, key: str) -> None:
    """Run the main flow: request, verify, me, refresh, logout."""
    phone = new_phone()
    requested = await api.post("/api/auth/request", {"phone": phone}, key)
    assert requested.status_code == 200, requested.text
    verified = await api.post("/api/auth/verify", {"phone": phone, "code": twilio_server.code_for(phone)}, key)
    assert verified.status_code == 200, verified.text
    refresh = {"grant_type": "refresh_token", "refresh_token": verified.json()["refresh_token"]}
    refreshed = await api.post("/api/auth/token", refresh, key)
    assert refreshed.status_code == 200, refreshed.text
    headers = {"x-api-key": key, "authorization": f"Bearer {refreshed.json()['token']}"}
    me = await api.client.get("/api/auth/me", headers=headers)
    assert (me.status_code, me.json()["phone"]) == (200, phone)
    ended = await api.client.post("/api/auth/logout", headers=headers, json={"scope": "local"})
    assert ended.status_code in (200, 204), ended.text


async def test_database_is_migrated_through_pgbouncer(postgres_server: PostgresServer, pooler: PgBouncer) -> None:
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute("create database pooled_empty")
    await connection.close()
    url = pooler.url("pooled_empty")

    await asyncio.gather(migrate(url), migrate(url))

    assert await pending(url) == []


async def test_concurrent_logins_share_batches_and_connections(pooled: ApiClient, twilio_server: TwilioServer) -> None:
    tenant = await pooled.tenant()

    await asyncio.gather(*(log_in_and_out(pooled, twilio_server, tenant["api_key"]) for _ in range(12)))


async def test_reports_are_read_through_pgbouncer(pooled: ApiClient) -> None:
    tenant = await pooled.tenant()

    for path in ("messages", "statistics", "events", "users"):
        answer = await pooled.client.get(f"/api/tenant/{path}", headers={"x-api-key": tenant["secret_key"]})
        assert answer.status_code == 200, answer.text


async def test_late_statement_is_cancelled(postgres: Postgres, postgres_server: PostgresServer) -> None:
    with pytest.raises(Unavailable):
        await postgres.rows(Query("sleep", "select pg_sleep(30) as late_statement"))

    observer = await asyncpg.connect(postgres_server.url())
    running = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg\\_sleep%'"

    async def is_ended() -> bool:
        return not await observer.fetchval(running)

    try:
        await until(is_ended, 20)
    finally:
        await observer.close()


async def test_transaction_settings_do_not_leak_to_other_clients(postgres: Postgres) -> None:
    await postgres.report(Query("one", "select 1"))

    [row] = await postgres.rows(Query("read", "select current_setting('statement_timeout') as statement_timeout"))

    assert row["statement_timeout"] == "0"


@pytest.mark.parametrize(
    ("ignored", "reason"),
    [("", "unsupported startup parameter"), ("statement_timeout,lock_timeout", "ignores the settings")],
)
async def test_statement_cache_behind_pgbouncer_is_reported(
    ignored: str, reason: str, postgres_server: PostgresServer, environment: dict[str, str], tmp_path: Path
) -> None:
    name = f"pooled_wrongly{next(_names)}"
    await new_database(postgres_server, name)
    with PgBouncer(tmp_path / "pgbouncer", postgres_server, ignored=ignored) as pooler:
        variables = environment | {"DATABASE_URL": pooler.url(name)}
        server = Auth1(variables, tmp_path / "log")
        server.spawn()
        try:
            code = await server.exit_code()
        finally:
            server.end()
        [finding] = await check_pooler(load_settings(variables))

    assert code == 1
    assert server.text().startswith("auth1: DATABASE_STATEMENT_CACHE_SIZE must be 0: a connection pooler")
    assert reason in server.text()
    assert (finding.status, finding.fix) == ("fail", "set DATABASE_STATEMENT_CACHE_SIZE=0")
    assert reason in finding.message
