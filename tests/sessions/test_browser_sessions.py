"""The session of a browser: its cookie, and when the session is live."""

from typing import Any

import pytest

from auth1.core.http.request import Request
from auth1.sessions import browser, refresh_tokens
from auth1.sessions.browser import BrowserSession
from auth1.tenants.settings import Tenant
from tests.sessions.conftest import SessionUser


def request(*cookies: str) -> Request[Any]:
    headers = [(b"cookie", cookie.encode()) for cookie in cookies]
    return Request({"method": "GET", "query_string": b"", "headers": headers})


class Visitor:
    """A user whose session belongs to a browser."""

    def __init__(self, user: SessionUser, tenant: Tenant, session_id: str) -> None:
        self.user, self.tenant, self.session_id = user, tenant, session_id
        answer = request()
        browser.set_session(user.api.services, answer, tenant, session_id, secure=False)
        self.cookie = answer.headers[0][1].decode().partition(";")[0]

    async def read(self, cookie: str | None = None, tenant: Tenant | None = None) -> BrowserSession | None:
        visit = request(cookie if cookie is not None else self.cookie)
        return await browser.read(self.user.api.services, visit, tenant or self.tenant, secure=False)

    async def change(self, assignment: str) -> None:
        await self.user.database.execute(f"update sessions set {assignment} where id = $1", self.session_id)


@pytest.fixture
async def visitor(user: SessionUser) -> Visitor:
    session_id = (await user.log_in())["session_id"]
    tenant = await user.api.services.tenants.find_slug(user.tenant["slug"], sandbox=False)
    assert tenant is not None
    visitor = Visitor(user, tenant, session_id)
    await visitor.change("kind = 'browser'")
    return visitor


async def test_cookie_names_a_live_session_with_its_user(visitor: Visitor) -> None:
    session = await visitor.read()

    assert session is not None
    assert (session.session_id, session.channel) == (visitor.session_id, "sms")
    assert (session.amr, session.acr, session.identifier) == (["otp", "sms"], 1, visitor.user.phone)


async def test_stored_authentication_replaces_that_of_the_channel(visitor: Visitor) -> None:
    await visitor.change("amr = '{otp,pop,mfa}', acr = 2, authenticated_at = to_timestamp(1700000000)")
    session = await visitor.read()

    assert session is not None
    assert (session.amr, session.acr, session.authenticated_at) == (["otp", "pop", "mfa"], 2, 1_700_000_000)


@pytest.mark.parametrize("assignment", ["kind = 'api'", "revoked_at = now()", "expires_at = now()", "idle_at = now()"])
async def test_session_that_is_not_live_is_not_found(visitor: Visitor, assignment: str) -> None:
    await visitor.change(assignment)

    assert await visitor.read() is None


async def test_session_of_a_banned_user_is_not_found(visitor: Visitor) -> None:
    user_id = await visitor.user.database.fetchval("select user_id from sessions where id = $1", visitor.session_id)
    await visitor.user.manage("POST", f"/users/{user_id}/ban")

    assert await visitor.read() is None


async def test_session_before_the_end_of_all_sessions_is_not_found(visitor: Visitor) -> None:
    await visitor.user.manage("DELETE", "/sessions")

    assert await visitor.read() is None


async def test_forged_cookies_are_ignored(visitor: Visitor) -> None:
    name, _, value = visitor.cookie.partition("=")
    suffix, _, mac = value.partition("_")
    keyring = visitor.user.api.services.keyring
    token = refresh_tokens.make(keyring, visitor.tenant.id, visitor.session_id, 0)
    for forged in ("", suffix, f"{suffix}_{'A' * 43}", f"{'0' * 26}_{mac}", token, f"{suffix}_{token[-43:]}"):
        assert await visitor.read(f"{name}={forged}") is None
    assert await visitor.read("") is None
    assert await visitor.read() is not None


async def test_cookie_of_another_tenant_is_ignored(visitor: Visitor) -> None:
    other = await visitor.user.api.tenant()
    tenant = await visitor.user.api.services.tenants.find_slug(other["slug"], sandbox=False)
    assert tenant is not None
    value = visitor.cookie.partition("=")[2]

    assert await visitor.read(f"auth1_session_{tenant.id}={value}", tenant) is None


async def test_use_is_recorded_once_in_five_minutes(visitor: Visitor) -> None:
    await visitor.change("last_used_at = now() - interval '1 hour', idle_at = now() + interval '1 minute'")
    await visitor.read()
    query = "select last_used_at, idle_at > now() + interval '1 day' as is_extended from sessions where id = $1"
    first = await visitor.user.database.fetchrow(query, visitor.session_id)
    await visitor.read()
    second = await visitor.user.database.fetchrow(query, visitor.session_id)

    assert first is not None
    assert first["is_extended"]
    assert first == second


def test_cleared_cookie_is_deleted_by_the_browser(visitor: Visitor) -> None:
    answer = request()
    browser.clear_session(answer, visitor.tenant, secure=True)

    assert answer.headers[0][1].startswith(b"__Host-auth1_session_tn_")
    assert answer.headers[0][1].endswith(b"Secure; Max-Age=0")
