"""PostgreSQL stopped, crashed or frozen while the server runs: 503 in time, and no partial effect."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from auth1.dev.postgres import PostgresServer
from tests.conftest import new_phone
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer

Outage = Callable[[PostgresServer], None]


def stopped(postgres: PostgresServer) -> None:
    postgres.stop()


def crashed(postgres: PostgresServer) -> None:
    postgres.kill()


def frozen(postgres: PostgresServer) -> None:
    postgres.freeze()


def restarted(postgres: PostgresServer) -> None:
    """Restart the server with the same data; all connections are lost."""
    postgres.stop()
    postgres.start()


def bring_back(postgres: PostgresServer) -> None:
    postgres.thaw() if postgres.running else postgres.start()


async def expect_unavailable(request: Awaitable[httpx.Response]) -> None:
    """Await a 503 while the database is unavailable."""
    answer = await request
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "unavailable"), answer.text
    assert int(answer.headers["retry-after"]) == problem["retry_after"] >= 1


async def probe(server: Auth1) -> dict[str, int]:
    """Return the status of each health endpoint."""
    return {path: await server.status(path) for path in ("/health/live", "/health/ready", "/health")}


async def is_unhealthy(server: Auth1) -> bool:
    return await probe(server) == {"/health/live": 200, "/health/ready": 503, "/health": 503}


async def ready(server: Auth1) -> bool:
    return await server.status("/health/ready") == 200


async def sent(server: Auth1, phone: str, key: str) -> bool:
    requested = await server.ask(phone, key)
    assert requested.status_code == 200 or requested.json()["code"] == "resend_too_soon", requested.text
    return requested.status_code == 200


def another(code: str) -> str:
    """Return a wrong code."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


@pytest.mark.parametrize("begin", [stopped, crashed, frozen])
async def test_unavailable_database_sends_and_spends_nothing(
    server: Auth1, own_postgres: PostgresServer, carrier: TwilioServer, begin: Outage
) -> None:
    # One attempt to spare: a frozen database may execute, when it thaws, the statement that it had already received.
    attempts = 2 if begin is frozen else 1
    tenant, stranger = await server.tenant(max_otp_attempts=attempts), await server.tenant()
    key, known, new = tenant["api_key"], new_phone(), new_phone()
    assert (await server.ask(known, key)).status_code == 200
    code = carrier.code_for(known)

    begin(own_postgres)
    try:
        await expect_unavailable(server.answer(known, another(code), key))
        await expect_unavailable(server.answer(known, another(code), key))
        await expect_unavailable(server.ask(new, key))
        # A key that was never seen may be right: an outage is no reason to say 401.
        await expect_unavailable(server.ask(new, stranger["api_key"]))
        await until(lambda: is_unhealthy(server))  # health checks share a result for a second
        health = await server.client.get("/health")
        reported = {"status": "unhealthy", "database": "disconnected", "redis": "connected"}
        assert health.json() | reported == health.json()
    finally:
        bring_back(own_postgres)

    took_s = await until(lambda: ready(server))
    print(f"{begin.__name__}: ready again {took_s:.2f} s after its return", file=sys.stderr)
    assert carrier.sent_to(new) == []
    assert (await server.answer(known, code, key)).status_code == 200
    # If its row was written after all, it becomes unknown first, and asking again is open then.
    await until(lambda: sent(server, new, key))
    assert len(carrier.sent_to(new)) == 1
    # Libraries have their opinion of outages too; it is logged as everything is, one JSON object a line.
    assert [line for line in server.text().splitlines()[4:] if not line.startswith("{")] == []


async def test_server_recovers_after_a_database_restart(
    server: Auth1, own_postgres: PostgresServer, carrier: TwilioServer, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)

    restarted(own_postgres)

    await until(lambda: ready(server))
    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200
