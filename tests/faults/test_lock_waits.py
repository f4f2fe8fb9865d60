"""A statement waits for the lock of an identifier when its connection is cut, or when its holder hangs.

The server does not notice a lost client while it waits for a lock. So the first run is executed once the lock is free,
just before the retry that waits behind it.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import httpx
import pytest

from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.faults.relay import Relay
from tests.faults.test_postgres_errors import locked
from tests.faults.test_postgres_unavailable import another, expect_unavailable
from tests.support.process import Auth1, until
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer

APP_URL = "https://auth.example.com"
# Parts of the beginnings of statements: pg_stat_activity shows no more than 1,024 characters.
SUBMIT_CODES, REDEEM_LINK = "submit_codes(", "redeem_link("
CONFIRM_LINK = "with link as materialized"

Cut = Callable[[str], Awaitable[None]]


@pytest.fixture(scope="module")
async def relay(own_database_url: str) -> AsyncIterator[Relay]:
    async with Relay(own_database_url) as relay:
        yield relay


@pytest.fixture(scope="module")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher, relay: Relay, mail_server: SmtpServer) -> AsyncIterator[Auth1]:
    """Return the program with time to wait for a lock: 5 s."""
    mail = {"SMTP_URL": mail_server.url, "EMAIL_FROM": "no-reply@example.com", "APP_URL": APP_URL}
    async with module_launcher(DATABASE_URL=relay.url, TIMEOUT_SCALE="10", **mail) as running:
        yield running


@pytest.fixture
async def observer(own_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection that waits for no lock."""
    connection = await asyncpg.connect(own_database_url)
    yield connection
    connection.terminate()


async def wait_for_waiting(observer: asyncpg.Connection, marker: str, number: int) -> None:
    """Wait until this many connections wait for a lock with a statement."""
    sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and position($1 in query) > 0"

    async def holds() -> bool:
        return bool(await observer.fetchval(sql, marker) == number)

    await until(holds, 30, lambda: f"{number} connections do not wait with {marker}")


@pytest.fixture(params=["first run continues", "first run is terminated"])
def cut(request: pytest.FixtureRequest, relay: Relay, observer: asyncpg.Connection) -> Cut:
    """Return a function that cuts the connection that waits with a statement, and waits for the retry."""

    async def cut_by_relay(marker: str) -> None:
        await wait_for_waiting(observer, marker, 1)
        assert relay.cut(marker) == 1
        await wait_for_waiting(observer, marker, 2)

    async def terminate(marker: str) -> None:
        await wait_for_waiting(observer, marker, 1)
        waiting = "wait_event_type = 'Lock' and position($1 in query) > 0"
        first = await observer.fetchval(f"select pid from pg_stat_activity where {waiting}", marker)
        assert await observer.fetchval("select pg_terminate_backend($1, 10000)", first)
        await wait_for_waiting(observer, marker, 1)

    return cut_by_relay if request.param == "first run continues" else terminate


async def cut_while_locked(
    database: asyncpg.Connection, identifier: str, cut: Cut, marker: str, request: Awaitable[httpx.Response]
) -> httpx.Response:
    """Send a request, cut its connection while its statement waits, and return the response."""
    async with locked(database, identifier):
        task = asyncio.ensure_future(request)
        await cut(marker)
    return await task


async def count_events(database: asyncpg.Connection, tenant_id: str, event_type: str) -> int:
    sql = "select count(*) from events where tenant_id = $1 and type = $2"
    return int(await database.fetchval(sql, tenant_id, event_type))


async def count_sessions(database: asyncpg.Connection, tenant_id: str) -> int:
    return int(await database.fetchval("select count(*) from sessions where tenant_id = $1", tenant_id))


async def test_right_code_is_accepted_once_when_its_connection_is_cut(
    server: Auth1, cut: Cut, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant = await server.tenant()
    await server.ask(phone, tenant["api_key"])
    request = server.answer(phone, carrier.code_for(phone), tenant["api_key"])

    answered = await cut_while_locked(database, phone, cut, SUBMIT_CODES, request)

    assert answered.status_code == 200, answered.text
    session = await database.fetchval("select id from sessions where tenant_id = $1", tenant["tenant_id"])
    assert answered.json()["session_id"] == session
    assert await count_sessions(database, tenant["tenant_id"]) == 1
    for event_type in ("challenge.answered", "user.created"):
        assert await count_events(database, tenant["tenant_id"], event_type) == 1


async def test_wrong_code_is_counted_once_when_its_connection_is_cut(
    server: Auth1, cut: Cut, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant = await server.tenant()
    await server.ask(phone, tenant["api_key"])
    code = carrier.code_for(phone)
    request = server.answer(phone, another(code), tenant["api_key"])

    answered = await cut_while_locked(database, phone, cut, SUBMIT_CODES, request)

    problem = answered.json()
    assert (answered.status_code, problem["code"], problem["attempts_remaining"]) == (400, "invalid_code", 4), problem
    assert await count_events(database, tenant["tenant_id"], "challenge.attempt_failed") == 1
    assert await database.fetchval("select code_attempts from identifiers where identifier = $1", phone) == 1
    assert (await server.answer(phone, code, tenant["api_key"])).status_code == 200


async def confirm(server: Auth1, mail_server: SmtpServer, email: str) -> httpx.Response:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "null"}
    return await server.client.post(mail_server.newest(email).link.removeprefix(APP_URL), headers=headers)


async def redeem(server: Auth1, requested: httpx.Response, key: str) -> httpx.Response:
    proof = {name: requested.json()[name] for name in ("challenge_id", "challenge_secret")}
    return await server.post("/api/auth/token", {"grant_type": "challenge", **proof}, key)


async def test_link_is_confirmed_and_redeemed_once_when_connections_are_cut(
    server: Auth1, cut: Cut, mail_server: SmtpServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant, email = await server.tenant(), f"user{phone[1:]}@example.com"
    key = tenant["api_key"]
    requested = await server.post("/api/auth/request", {"email": email, "mode": "link"}, key)
    assert requested.status_code == 200, requested.text

    request = confirm(server, mail_server, email)
    confirmed = await cut_while_locked(database, email, cut, CONFIRM_LINK, request)
    assert confirmed.status_code == 200, confirmed.text
    assert await count_events(database, tenant["tenant_id"], "link.confirmed") == 1

    redeemed = await cut_while_locked(database, email, cut, REDEEM_LINK, redeem(server, requested, key))
    assert redeemed.status_code == 200, redeemed.text
    assert await count_sessions(database, tenant["tenant_id"]) == 1
    assert await count_events(database, tenant["tenant_id"], "challenge.answered") == 1
    assert (await redeem(server, requested, key)).status_code == 400


async def test_frozen_holder_of_a_lock_does_not_stall_other_identifiers(
    server: Auth1,
    carrier: TwilioServer,
    database: asyncpg.Connection,
    observer: asyncpg.Connection,
    phone: str,
) -> None:
    key = (await server.tenant())["api_key"]
    others = [new_phone() for _ in range(6)]
    for one in (phone, *others):
        assert (await server.ask(one, key)).status_code == 200
    code = carrier.code_for(phone)

    async with locked(database, phone):
        backend = database.get_server_pid()
        os.kill(backend, signal.SIGSTOP)
        try:
            stalled = [asyncio.create_task(server.answer(phone, code, key)) for _ in range(3)]
            await wait_for_waiting(observer, SUBMIT_CODES, 1)  # the others wait for their turn, without a connection
            answers = [await server.answer(one, carrier.code_for(one), key) for one in others]
            answers.append(await server.ask(new_phone(), key))
            assert [answer.status_code for answer in answers] == [200] * 7
            assert not any(task.done() for task in stalled), "the others do not wait for the lock's timeout"
            for task in stalled:
                await expect_unavailable(task)
        finally:
            os.kill(backend, signal.SIGCONT)
    assert (await server.answer(phone, code, key)).status_code == 200
