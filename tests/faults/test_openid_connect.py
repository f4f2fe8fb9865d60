"""OpenID Connect in faults: lost commits, killed processes, a restarted PostgreSQL, and no Redis."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import asyncpg
import httpx
import pytest

from auth1.core.crypto import s256
from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.faults.conftest import Launcher
from tests.faults.relay import Relay
from tests.hosted.browser import Browser
from tests.support.process import START_S, Auth1, until

CALLBACK = "https://app.example.com/callback"
VERIFIER = "v" * 43
REDEEM, REFRESH = "redeem_code(", "refresh_grant("  # parts of the statements that no other statement has
COMPLETE_LOGIN, ISSUE_CODE = "complete_logins(", "set code_number = case"
FIND_COMPLETED = "as browser_digest, step from logins"
CODE = "000000"  # of the sandbox


@pytest.fixture(scope="module")
async def relay(own_database_url: str) -> AsyncIterator[Relay]:
    async with Relay(own_database_url) as relay:
        yield relay


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher, relay: Relay) -> AsyncIterator[Auth1]:
    # A busy machine must not end the wait for an answer that is held, before the process is killed.
    async with module_launcher(DATABASE_URL=relay.url, TIMEOUT_SCALE="10") as running:
        yield running


class ToProcess(httpx.AsyncHTTPTransport):
    """Sends the requests for the public address to a process."""

    def __init__(self, port: int) -> None:
        super().__init__(limits=httpx.Limits(max_keepalive_connections=0))
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return await super().handle_async_request(
            httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        )


class RealBrowser(Browser):
    """A browser that visits a process."""

    def __init__(self, server: Auth1) -> None:
        transport = ToProcess(urlsplit(server.url).port or 0)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost:3000", timeout=300)
        self.headers = {"user-agent": "a browser", "accept-language": "en-US"}


@dataclass
class App:
    """An application at the sandbox of a new tenant."""

    server: Auth1
    path: str
    client_id: str
    secret: str

    def authorization(self, **changes: str) -> str:
        parameters = {"client_id": self.client_id, "redirect_uri": CALLBACK, "response_type": "code"}
        parameters |= {"scope": "openid offline_access", "state": "s", "code_challenge_method": "S256"}
        parameters |= {"code_challenge": s256(VERIFIER)}
        return f"{self.path}/authorize?{urlencode(parameters | changes)}"

    async def until_code(self, browser: Browser, **changes: str) -> None:
        """Bring a browser to the page of the code."""
        await browser.open(self.authorization(**changes))
        page = await browser.submit("proceed", identifier="ada@example.com")
        assert page.title == "Enter your code", page.text

    async def code(self) -> str:
        """Sign in; return the code for the application."""
        browser = RealBrowser(self.server)
        await self.until_code(browser)
        return code_of((await browser.submit("verify", code=CODE)).leads_to)

    async def post(self, endpoint: str, **form: str) -> httpx.Response:
        credentials = {"client_id": self.client_id, "client_secret": self.secret}
        return await self.server.client.post(f"{self.path}/{endpoint}", data=form | credentials)

    async def redeem(self, code: str) -> httpx.Response:
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return await self.post("token", grant_type="authorization_code", **form)

    async def refresh(self, token: str) -> httpx.Response:
        return await self.post("token", grant_type="refresh_token", refresh_token=token)

    async def is_active(self, token: str) -> bool:
        return bool((await self.post("introspect", token=token)).json()["active"])


@pytest.fixture
async def app(server: Auth1) -> App:
    tenant = await server.tenant()
    body = {"name": "Shop", "kind": "web", "redirect_uris": [CALLBACK], "first_party": True, "id_token_alg": "ES256"}
    headers = {"x-api-key": tenant["secret_key"]}
    created = (await server.client.post("/api/tenant/applications", json=body, headers=headers)).json()
    return App(server, f"/t/{tenant['slug']}/test", created["client_id"], created["client_secret"])


def code_of(location: str | None) -> str:
    assert location is not None
    assert location.startswith(CALLBACK)
    return parse_qs(urlsplit(location).query)["code"][0]


async def grants(database: asyncpg.Connection, app: App) -> list[tuple[int, bool]]:
    """Return the number of the refresh token of each grant, and whether it is live."""
    query = "select refreshes, revoked_at is null as live from grants where client_id = $1 order by created_at"
    return [(row["refreshes"], row["live"]) for row in await database.fetch(query, app.client_id)]


async def test_lost_commit_of_a_code_redemption_makes_one_grant(
    server: Auth1, relay: Relay, database: asyncpg.Connection, app: App
) -> None:
    code = await app.code()
    lost = relay.lose_answer(REDEEM)

    redeemed = await app.redeem(code)

    assert lost.caught.is_set()
    assert redeemed.status_code == 200, redeemed.text
    assert await grants(database, app) == [(0, True)]
    assert await app.is_active(redeemed.json()["access_token"])
    created = "select id from events where type = 'grant.created' and actor = $1"
    [event] = await database.fetch(created, app.client_id)
    await until(lambda: event["id"] in server.text())
    assert (await app.redeem(code)).json()["error"] == "invalid_grant"
    assert await grants(database, app) == [(0, False)], "a second use still revokes"


async def test_lost_commit_of_a_refresh_returns_the_live_token(
    relay: Relay, database: asyncpg.Connection, app: App
) -> None:
    tokens = (await app.redeem(await app.code())).json()
    lost = relay.lose_answer(REFRESH)

    refreshed = await app.refresh(tokens["refresh_token"])

    assert lost.caught.is_set()
    assert refreshed.status_code == 200, refreshed.text
    assert await grants(database, app) == [(1, True)]
    assert (await app.refresh(refreshed.json()["refresh_token"])).status_code == 200


async def test_lost_commit_of_a_login_leads_to_the_application(relay: Relay, app: App) -> None:
    browser = RealBrowser(app.server)
    await app.until_code(browser)
    lost = relay.lose_answer(COMPLETE_LOGIN)

    page = await browser.submit("verify", code=CODE)

    assert lost.caught.is_set()
    assert (await app.redeem(code_of(page.leads_to))).status_code == 200


async def test_repeated_form_completes_a_login_that_got_503(
    relay: Relay, database: asyncpg.Connection, app: App
) -> None:
    browser = RealBrowser(app.server)
    await app.until_code(browser)
    form = browser.page
    relay.hold(COMPLETE_LOGIN).cut()
    relay.hold(FIND_COMPLETED).cut()
    assert (await browser.submit("verify", code=CODE)).status == 503

    page = await browser.submit("verify", page=form, code=CODE)

    assert (await app.redeem(code_of(page.leads_to))).status_code == 200
    query = "select s.kind from sessions s join applications a on a.id = $1 and s.tenant_id = a.tenant_id || ':test'"
    assert [row["kind"] for row in await database.fetch(query, app.client_id)] == ["browser"]


async def test_lost_commit_of_a_code_after_the_consent_leads_to_the_application(relay: Relay, app: App) -> None:
    browser = RealBrowser(app.server)
    await app.until_code(browser, prompt="consent")
    await browser.submit("verify", code=CODE)
    lost = relay.lose_answer(ISSUE_CODE)

    page = await browser.submit("allow")

    assert lost.caught.is_set()
    assert (await app.redeem(code_of(page.leads_to))).status_code == 200


async def test_killed_process_loses_no_refresh_and_spends_a_code(
    server: Auth1, relay: Relay, database: asyncpg.Connection, app: App
) -> None:
    """A client whose response was lost repeats its request: a refresh continues, a code revokes what it gave."""
    tokens, code = (await app.redeem(await app.code())).json(), await app.code()
    held = relay.hold_answer(REDEEM), relay.hold_answer(REFRESH)
    calls = asyncio.gather(app.redeem(code), app.refresh(tokens["refresh_token"]), return_exceptions=True)
    for one in held:
        await one.caught.wait()
    server.end()
    assert all(isinstance(result, httpx.TransportError) for result in await calls)
    for one in held:
        one.cut()
    await server.client.aclose()
    server.spawn()
    await until(server.answers, START_S, server.text)

    refreshed, redeemed = await app.refresh(tokens["refresh_token"]), await app.redeem(code)

    assert (refreshed.status_code, redeemed.json()["error"]) == (200, "invalid_grant")
    assert await grants(database, app) == [(1, True), (0, False)]


async def test_restart_of_postgresql_before_the_redirect_keeps_the_login(
    own_postgres: PostgresServer, relay: Relay, app: App
) -> None:
    browser = RealBrowser(app.server)
    await app.until_code(browser)
    page, client = browser.page, browser.client
    form = next(form for form in page.forms if "step" in form) | {"do": "verify", "code": CODE}
    confirmed = await client.post(page.response.url.path, data=form, headers={"origin": "http://localhost:3000"})
    assert confirmed.status_code == 303, confirmed.text

    own_postgres.kill()
    down = await client.get(confirmed.headers["location"])
    own_postgres.start()

    async def is_ready() -> bool:
        return await app.server.status("/health") == 200

    await until(is_ready, START_S, app.server.text)
    assert (down.status_code, "Try again" in down.text) == (503, True)
    page = await browser.open(confirmed.headers["location"])
    assert (await app.redeem(code_of(page.leads_to))).status_code == 200


async def test_login_and_tokens_need_no_redis(own_redis: RedisServer, app: App) -> None:
    own_redis.kill()
    try:
        browser = RealBrowser(app.server)
        await app.until_code(browser)
        tokens: dict[str, Any] = (
            await app.redeem(code_of((await browser.submit("verify", code=CODE)).leads_to))
        ).json()
        refreshed = (await app.refresh(tokens["refresh_token"])).json()
        bearer = {"authorization": f"Bearer {refreshed['access_token']}"}
        userinfo = await app.server.client.get(f"{app.path}/userinfo", headers=bearer)
        account = await browser.open(f"{app.path}/account")
        again = await browser.open(app.authorization(prompt="none"))
        logout = await browser.open(f"{app.path}/logout?{urlencode({'id_token_hint': refreshed['id_token']})}")
    finally:
        own_redis.start()

    assert re.fullmatch("usr_[0-9a-z]{26}", userinfo.json()["sub"])
    assert (account.status, logout.status) == (200, 200)
    assert code_of(again.response.headers["location"])
    assert (await browser.open(app.authorization())).title == "Sign in to My App"
