"""The pages of a sign-in in Chromium: policy, keyboard, accessibility, and the script."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.browser import accessibility
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER, Site
from tests.browser.logins import Logins

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


@pytest.fixture
async def logins(site: Site, environment: dict[str, str]) -> AsyncIterator[Logins]:
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    yield Logins(connection, site.tenant, site.auth1.url, site.callback)
    await connection.close()


async def title(page: Page) -> str:
    found: str = await page.evaluate("document.title")
    return found


async def assert_is_accessible(page: Page) -> None:
    """Check a page in light and dark, wide, at 320 px, and from right to left."""
    for dark in (False, True):
        await page.set_scheme(dark=dark)
        await page.set_width(320, mobile=True)
        assert await accessibility.faults(page) == [], f"{await title(page)}, dark: {dark}"
    await page.evaluate("document.documentElement.dir = 'rtl'")
    assert await accessibility.visual_faults(page) == [], f"{await title(page)}, right to left"
    await page.set_scheme(dark=False)
    await page.set_width(800)


async def test_login_works_by_keyboard_without_scripts(browser: Chromium, site: Site, logins: Logins) -> None:
    site.app.requests.clear()
    async with browser.page(scripts=False) as page:
        await logins.open(page, state="of the application")
        await page.type_and_enter("ada@example.com")
        assert await title(page) == "Enter your code"
        await page.type_and_enter("000000")
        await page.until("document.body.innerText == 'Welcome'")

        assert page.complaints == []
    arrived = [request for request in site.app.requests if request.path.startswith("/cb")]
    assert [request.method for request in arrived] == ["GET"]
    assert "referer" not in arrived[0].headers
    query = parse_qs(urlsplit(arrived[0].path).query)
    assert query["state"] == ["of the application"]
    assert set(query) == {"from", "code", "state", "iss"}


async def test_every_page_is_accessible(browser: Chromium, logins: Logins) -> None:
    async with browser.page() as page:
        await logins.open(page, client="Notes & Söhne", prompt=["consent"])
        await assert_is_accessible(page)
        await page.type_and_enter("(500) 555-0000")
        assert await title(page) == "Is this your phone number?"
        await assert_is_accessible(page)
        await logins.open(page, client="Notes & Söhne", prompt=["consent"])
        await page.type_and_enter("missing")
        await page.until("document.activeElement.id == 'identifier'")
        await assert_is_accessible(page)
        await page.type_and_enter("ada@example.com", replace=True)
        await assert_is_accessible(page)
        await page.type_and_enter("111111")
        await page.until("document.activeElement.getAttribute('aria-invalid') == 'true'")
        await assert_is_accessible(page)
        await page.type_and_enter("000000")
        assert await title(page) == "Allow Notes & Söhne to use your MyApp & Söhne account?"
        await assert_is_accessible(page)
        assert [complaint for complaint in page.complaints if "422" not in complaint] == []
        await page.open((await logins.open(page)) + "x")
        assert await title(page) == "This sign-in has expired"
        await assert_is_accessible(page)


async def test_script_solves_proof_of_work(browser: Chromium, logins: Logins) -> None:
    async with browser.page() as page:
        await logins.open(page)
        await page.type_and_enter("+15005550006")
        await page.until("document.title == 'Enter your code'")

        assert page.complaints == []


async def test_script_counts_down_until_the_next_code(browser: Chromium, logins: Logins) -> None:
    async with browser.page() as page:
        url = await logins.open(page)
        await page.type_and_enter("ada@example.com")
        shown = "[document.querySelector('[data-resend]').checkVisibility(), document.querySelector('main').innerText]"
        assert (await page.evaluate(shown))[0]
        await logins.database.execute(
            "update logins set resend_at = now() + interval '1 hour' where id = $1", url.rpartition("/")[2]
        )
        await page.open(url)

        is_visible, text = await page.evaluate(shown)
        assert not is_visible
        assert "You can request a new code in " in text
        assert "{time}" not in text
        assert page.complaints == []


async def test_script_posts_the_response_by_form(browser: Chromium, site: Site, logins: Logins) -> None:
    site.app.requests.clear()
    async with browser.page() as page:
        await logins.open(page, response_mode="form_post")
        await page.type_and_enter("ada@example.com")
        await page.type_and_enter("000000")
        await page.until("document.body.innerText == 'Welcome'")

    [arrived] = [request for request in site.app.requests if request.path.startswith("/cb")]
    assert arrived.method == "POST"
    assert set(arrived.form) == {"code", "iss"}
