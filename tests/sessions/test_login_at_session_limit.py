"""A login where the tenant limits sessions: its answer is not lost while the oldest session is revoked."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from auth1.app import build_app, start_services, stop_services
from auth1.config.settings import load_settings
from auth1.core.telemetry.log import Log
from auth1.routes import ROUTES
from auth1.sessions.create import RESERVE_S
from tests.faults.relay import Relay
from tests.hosted.conftest import CALLBACK, CODE, Site
from tests.sessions.conftest import SessionUser
from tests.support.api_client import ApiClient, new_client
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_asgi import JSON, RawAsgi

VERIFY = "/api/auth/verify"
REVOKE_OLDEST = "order by id desc offset"  # a part of the statement that no other one has
HASTY = [
    route._replace(deadline_s=RESERVE_S) if (route.method, route.path) == ("POST", VERIFY) else route
    for route in ROUTES
]


@pytest.fixture
async def relay(database_url: str) -> AsyncIterator[Relay]:
    async with Relay(database_url) as relay:
        yield relay


@pytest.fixture
async def user(
    relay: Relay,
    environment: dict[str, str],
    twilio_server: TwilioServer,
    database: asyncpg.Connection,
    tmp_path: Path,
) -> AsyncIterator[SessionUser]:
    """Return a user with one session, which is the limit, at an application whose deadlines are very long."""
    settings = load_settings(environment | {"DATABASE_URL": relay.url, "TIMEOUT_SCALE": "100"})
    log_path = tmp_path / "stdout"
    log = Log("debug", os.open(log_path, os.O_WRONLY | os.O_CREAT))
    app = build_app(settings, log)
    app.services = await start_services(settings, log, background=False)
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 4000))
    async with new_client(transport, "http://localhost:3000") as client:
        api = ApiClient(transport, client, app.services, settings, log_path)
        user = SessionUser([api], await api.tenant(max_sessions_per_user=1), twilio_server, database)
        await user.log_in()
        yield user
    await stop_services(app.services)


async def code_for(user: SessionUser) -> bytes:
    """Request a code; return the body that verifies it."""
    await user.database.execute("update identifiers set sent_at = '{}' where identifier = $1", user.phone)
    sent = await user.api.post("/api/auth/request", {"phone": user.phone}, user.api_key)
    assert sent.status_code == 200, sent.text
    return f'{{"phone":"{user.phone}","code":"{user.code}"}}'.encode()


async def test_login_answers_in_time_while_the_oldest_session_is_not_revoked(user: SessionUser, relay: Relay) -> None:
    body = await code_for(user)
    relay.hold(REVOKE_OLDEST)
    raw = RawAsgi(user.api, HASTY)  # all of its deadline is reserved for the answer

    answer = await raw.answer("POST", VERIFY, [JSON, (b"x-api-key", user.api_key.encode())], body)

    assert answer.status_code == 200, answer.text
    assert (await user.call("GET", "/api/auth/me", answer.json()["token"])).status_code == 200


async def test_login_cancelled_while_a_session_is_revoked_can_be_repeated(user: SessionUser, relay: Relay) -> None:
    body = await code_for(user)
    held = relay.hold(REVOKE_OLDEST)
    raw, headers = RawAsgi(user.api), [JSON, (b"x-api-key", user.api_key.encode())]
    first = asyncio.create_task(raw("POST", VERIFY, headers, body))
    await held.caught.wait()

    first.cancel()
    [cancelled] = await asyncio.gather(first, return_exceptions=True)
    answer = await raw.answer("POST", VERIFY, headers, body)

    assert isinstance(cancelled, asyncio.CancelledError)
    assert answer.status_code == 200, answer.text
    again = await raw.answer("POST", VERIFY, headers, body)
    assert (again.status_code, again.json()["code"]) == (400, "no_active_challenge")


async def test_hosted_login_cancelled_while_a_session_is_revoked_can_be_repeated(
    user: SessionUser, relay: Relay
) -> None:
    shop = {"name": "Shop", "kind": "web", "redirect_uris": [CALLBACK], "first_party": True}
    created = await user.manage("POST", "/applications", shop)
    assert created.status_code == 201, created.text
    site = Site(user.api, user.database, user.tenant, created.json()["client_id"])
    await site.sign_in(site.browser())
    browser = site.browser()
    await site.until_code(browser)
    form, held = browser.page, relay.hold(REVOKE_OLDEST)
    first = asyncio.create_task(browser.submit("verify", code=CODE))
    await held.caught.wait()

    first.cancel()
    [cancelled] = await asyncio.gather(first, return_exceptions=True)
    page = await browser.submit("verify", page=form, code=CODE)

    assert isinstance(cancelled, asyncio.CancelledError)
    assert page.leads_to is not None, page.text
    assert page.leads_to.startswith(CALLBACK)
