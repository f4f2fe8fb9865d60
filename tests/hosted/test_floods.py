"""Floods of logins that no person continues, and pages elsewhere that act in the browsers of their visitors."""

import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

import asyncpg
import httpx
import pytest

from auth1.core.crypto import s256
from auth1.core.http.request import LONG_TARGET_BYTES
from tests.conftest import Started
from tests.hosted.browser import Browser
from tests.hosted.conftest import CALLBACK, CODE, Site, new_site
from tests.support.api_client import ApiClient

LIMIT = 10  # logins that an address may begin
IN_FRAME = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}


@dataclass
class Flooded:
    """A site with low limits, and the address of a new network."""

    site: Site
    address: str

    def query(self, **changes: str) -> dict[str, str]:
        """Return the parameters of an authorization request."""
        sent = {"client_id": self.site.client_id, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid"}
        sent |= {"code_challenge": s256("v" * 43), "code_challenge_method": "S256"}
        return sent | changes

    def authorize(self, **changes: str) -> str:
        """Return the path of an authorization request."""
        return f"{self.site.path}/authorize?{urlencode(self.query(**changes))}"

    def browser(self, address: str | None = None, **headers: str) -> Browser:
        """Return a browser at an address."""
        browser = self.site.browser()
        browser.headers |= {"x-forwarded-for": address or self.address, **headers}
        return browser

    async def begin(self, browser: Browser, times: int = 1) -> list[int]:
        """Begin logins, and return their statuses. The pages are not opened."""
        answers = [await browser.client.get(self.authorize(), headers=browser.headers) for _ in range(times)]
        return [answer.status_code for answer in answers]

    async def stored(self) -> int:
        query = "select count(*) from logins where tenant_id = $1"
        count: int = await self.site.database.fetchval(query, self.site.issuer_id)
        return count


@pytest.fixture
async def flooded(start_app: Started, database: asyncpg.Connection) -> Flooded:
    api: ApiClient = await start_app(RATE_LIMIT_MAX=str(LIMIT // 5))
    return Flooded(await new_site(api, database), f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1")


async def test_address_begins_few_logins_that_are_not_continued(flooded: Flooded) -> None:
    attacker, other = flooded.browser(), flooded.browser("198.51.100.9")

    assert await flooded.begin(attacker, LIMIT + 2) == [303] * LIMIT + [429] * 2
    assert await flooded.stored() == LIMIT
    assert await flooded.begin(other) == [303]
    page = await attacker.open(flooded.authorize())
    assert "Too many attempts. Try again in " in page.text
    account = await attacker.open(f"{flooded.site.path}/account")
    assert (account.status, await flooded.stored()) == (429, LIMIT + 1)


async def test_completed_login_does_not_count(flooded: Flooded) -> None:
    browser = flooded.browser()
    assert await flooded.begin(browser, LIMIT - 1) == [303] * (LIMIT - 1)
    await browser.open(flooded.authorize())
    await browser.submit("proceed", identifier="ada@example.com")
    assert (await browser.submit("verify", code=CODE)).leads_to
    await flooded.site.api.services.limiter.flush_releases()

    assert await flooded.begin(flooded.browser(), 2) == [303, 429]


async def test_sessions_do_not_count_for_their_address(flooded: Flooded) -> None:
    browser = flooded.browser()
    await browser.open(flooded.authorize())
    await browser.submit("proceed", identifier="ada@example.com")
    await browser.submit("verify", code=CODE)
    await flooded.begin(flooded.browser(), LIMIT + 1)

    answers = [
        (await browser.client.get(flooded.authorize(prompt="none"), headers=browser.headers)).headers["location"]
        for _ in range(LIMIT + 1)
    ]
    assert [answer.startswith(f"{CALLBACK}?code=") for answer in answers] == [True] * LIMIT + [False]
    assert answers[-1].startswith(f"{CALLBACK}?error=temporarily_unavailable")


@pytest.mark.parametrize("dest", ["iframe", "image", "empty"])
async def test_login_does_not_begin_where_its_page_is_not_shown(flooded: Flooded, dest: str) -> None:
    browser = flooded.browser(**IN_FRAME | {"sec-fetch-dest": dest})
    answers = [await browser.client.get(flooded.authorize(), headers=browser.headers) for _ in range(LIMIT + 1)]
    account = await browser.open(f"{flooded.site.path}/account")

    assert {answer.headers["location"].partition("&")[0] for answer in answers} == {f"{CALLBACK}?error=login_required"}
    assert account.status == 403
    assert await flooded.stored() == 0
    assert await flooded.begin(flooded.browser(**{"sec-fetch-dest": "document"})) == [303]


async def test_forms_of_other_sites_leave_the_requests_of_an_address(flooded: Flooded) -> None:
    browser = flooded.browser()
    await browser.open(flooded.authorize())
    for path in (browser.page.response.url.path, f"{flooded.site.path}/account"):
        for site in ("cross-site", "same-site"):
            foreign = browser.headers | {"sec-fetch-site": site, "origin": "https://evil.example.com"}
            assert (await browser.client.post(path, data={"do": "x"}, headers=foreign)).status_code == 403

    assert (await browser.submit("proceed", identifier="ada@example.com")).title == "Enter your code"
    assert (await browser.submit("verify", code=CODE)).leads_to


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 303),
        ({"state": "s" * LONG_TARGET_BYTES}, 413),
        ({"state": "s" * LONG_TARGET_BYTES, "client_id": "unknown"}, 413),
        ({"scope": "unknown"}, 303),
        ({"client_id": "unknown"}, 303),
        ({"prompt": "none"}, 303),
    ],
)
async def test_form_of_another_site_sets_no_cookie(flooded: Flooded, changes: dict[str, str], status: int) -> None:
    """The browser sends no Lax cookie with it, so a new one would replace that of a login in another tab."""
    headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example.com"}
    data = flooded.query(**changes)
    answer: httpx.Response = await flooded.browser().client.post(
        f"{flooded.site.path}/authorize", data=data, headers=headers
    )

    assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)
    assert await flooded.stored() == 0
