"""A frozen PostgreSQL executes statements that were answered 503 when it thaws: they must change nothing."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.faults.test_postgres_unavailable import another, expect_unavailable, ready
from tests.support.process import Auth1, until
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer

APP_URL = "https://auth.example.com"
REJECTED = "the deadline of the request has passed"  # PostgreSQL logs it for each late call of a function


@pytest.fixture(scope="module")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher, mail_server: SmtpServer) -> AsyncIterator[Auth1]:
    """Return the program with one connection, which has received the statement when the request is answered 503."""
    mail = {"SMTP_URL": mail_server.url, "EMAIL_FROM": "no-reply@example.com", "APP_URL": APP_URL}
    async with module_launcher(DATABASE_POOL_SIZE="1", **mail) as running:
        yield running


async def snapshot(database: asyncpg.Connection, tenant_id: str) -> dict[str, list[str]]:
    """Return all rows of a tenant that a request for a code or a login writes."""
    tables = "identifiers codes challenges messages links users sessions events spending budgets".split()
    rows = {name: f"select t::text from {name} as t where tenant_id = $1 order by 1" for name in tables}
    return {name: [row[0] for row in await database.fetch(sql, tenant_id)] for name, sql in rows.items()}


async def log_in_by_code(server: Auth1, carrier: TwilioServer, key: str) -> None:
    """Log a user in with a wrong and a right code, so that the connection has prepared these statements."""
    phone = new_phone()
    assert (await server.ask(phone, key)).status_code == 200
    code = carrier.code_for(phone)
    assert (await server.answer(phone, another(code), key)).status_code == 400
    assert (await server.answer(phone, code, key)).status_code == 200


@pytest.mark.parametrize("late", ["right code", "wrong code", "code request"])
async def test_statement_answered_503_by_a_frozen_database_changes_nothing(
    server: Auth1, own_postgres: PostgresServer, carrier: TwilioServer, database: asyncpg.Connection, late: str
) -> None:
    tenant = await server.tenant(messages_per_day=100)
    key, known, new = tenant["api_key"], new_phone(), new_phone()
    await log_in_by_code(server, carrier, key)
    assert (await server.ask(known, key)).status_code == 200
    code = carrier.code_for(known)
    requests = {
        "right code": lambda: server.answer(known, code, key),
        "wrong code": lambda: server.answer(known, another(code), key),
        "code request": lambda: server.ask(new, key),
    }
    before = await snapshot(database, tenant["tenant_id"])
    rejected = own_postgres.log.read_text().count(REJECTED)

    # A background job may use the only connection, so that the statement of the request is not sent.
    while own_postgres.log.read_text().count(REJECTED) == rejected:
        own_postgres.freeze()
        try:
            await expect_unavailable(requests[late]())
        finally:
            own_postgres.thaw()

        await until(lambda: ready(server))
        assert await snapshot(database, tenant["tenant_id"]) == before
    assert carrier.sent_to(new) == []
    assert (await server.answer(known, code, key)).status_code == 200
    assert (await server.ask(new, key)).status_code == 200


async def test_link_confirmation_answered_503_by_a_frozen_database_changes_nothing(
    server: Auth1, own_postgres: PostgresServer, mail_server: SmtpServer, database: asyncpg.Connection
) -> None:
    tenant = await server.tenant()
    form = {"content-type": "application/x-www-form-urlencoded", "origin": "null"}
    links = []
    for email in ("early@example.com", "late@example.com"):
        body = {"email": email, "mode": "link"}
        assert (await server.post("/api/auth/request", body, tenant["api_key"])).status_code == 200
        links.append(mail_server.newest(email).link.removeprefix(APP_URL))
    assert (await server.client.post(links[0], headers=form)).status_code == 200, "the statement is prepared"
    before = await snapshot(database, tenant["tenant_id"])

    own_postgres.freeze()
    try:
        assert (await server.client.post(links[1], headers=form)).status_code == 503
    finally:
        own_postgres.thaw()

    running = (
        "select count(*) from pg_stat_activity"
        " where query like '%with link as%' and state = 'active' and pid <> pg_backend_pid()"
    )
    await until(lambda: ready(server))
    await until(lambda: is_zero(database, running))
    assert await snapshot(database, tenant["tenant_id"]) == before
    assert (await server.client.post(links[1], headers=form)).status_code == 200


async def is_zero(database: asyncpg.Connection, sql: str) -> bool:
    return bool(await database.fetchval(sql) == 0)
