"""An application of a new tenant, and a browser at the page of its login."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from auth1.core.crypto import digest
from auth1.core.ids import new_id
from auth1.pages import browser_cookie
from tests.hosted.browser import Browser, Page
from tests.support.api_client import ApiClient

CALLBACK = "https://app.example.com/callback"
CODE = "000000"  # of the sandbox


@dataclass
class Site:
    """A tenant with an application. Logins are those of the sandbox, unless `sandbox` is false."""

    api: ApiClient
    database: asyncpg.Connection
    tenant: dict[str, Any]
    client_id: str
    sandbox: bool = True
    browsers: list[Browser] = field(default_factory=list)

    @property
    def issuer_id(self) -> str:
        return str(self.tenant["tenant_id"]) + (":test" if self.sandbox else "")

    @property
    def path(self) -> str:
        return f"/t/{self.tenant['slug']}" + ("/test" if self.sandbox else "")

    def browser(self) -> Browser:
        self.browsers.append(Browser(self.api))
        return self.browsers[-1]

    async def login(self, browser: Browser, step: str = "start", **request: Any) -> str:
        """Create a login of a browser, as the authorization endpoint does; return the path of its page."""
        name = f"auth1_browser_{self.issuer_id.replace(':', '-')}"
        secret = browser.client.cookies.get(name) or browser_cookie.new_secret()
        browser.client.cookies.set(name, secret, domain="localhost.local")
        login_id = new_id("li")
        asks = {"client_id": self.client_id, "redirect_uri": CALLBACK, "scopes": ["openid", "email"], "state": "s t&"}
        await self.database.execute(
            "insert into logins (tenant_id, id, browser_digest, client_id, request, step)"
            " values ($1, $2, $3, $4, $5, $6)",
            *(self.issuer_id, login_id, digest(secret), self.client_id, json.dumps(asks | request), step),
        )
        return f"{self.path}/login/{login_id}"

    async def row(self, path: str) -> asyncpg.Record:
        """Return the row of a login."""
        query = "select * from logins where tenant_id = $1 and id = $2"
        row = await self.database.fetchrow(query, self.issuer_id, path.rpartition("/")[2])
        assert row is not None
        return row

    async def until_code(self, browser: Browser, identifier: str = "ada@example.com", **request: Any) -> str:
        """Bring a browser to the page of the code; return the path of its login."""
        path = await self.login(browser, **request)
        await browser.open(path)
        page = await browser.submit("proceed", identifier=identifier)
        assert page.title == "Enter your code", page.text
        return path

    async def sign_in(self, browser: Browser, identifier: str = "ada@example.com", **request: Any) -> Page:
        """Sign in; return the last page."""
        await self.until_code(browser, identifier, **request)
        return await browser.submit("verify", code=CODE)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def new_site(
    api: ApiClient, database: asyncpg.Connection, *, first_party: bool = True, **settings: object
) -> Site:
    """Create a tenant with an application."""
    tenant = await api.tenant(**settings)
    body = {"name": "Notes", "kind": "web", "redirect_uris": [CALLBACK], "first_party": first_party}
    body |= {"id_token_alg": "ES256"}  # whose keys are made quickly
    application = (await api.manage(tenant, "POST", "/applications", body)).json()
    return Site(api, database, tenant, application["client_id"])


@pytest.fixture
async def site(api: ApiClient, database: asyncpg.Connection) -> AsyncIterator[Site]:
    site = await new_site(api, database)
    yield site
    for browser in site.browsers:
        browser.client.cookies.clear()


@pytest.fixture
def browser(site: Site) -> Browser:
    return site.browser()
