"""Two tabs, the Back button, lost cookies, other browsers, and logins that take too long."""

import asyncio

import pytest

from auth1.core.crypto import digest
from tests.hosted.browser import Browser
from tests.hosted.conftest import CODE, Site

EXPIRED = "This sign-in has expired"
MAX_TABS = 50  # of sql/functions/complete_logins.sql


async def expire(site: Site, path: str) -> None:
    await site.database.execute("update logins set expires_at = now() where id = $1", path.rpartition("/")[2])


@pytest.mark.parametrize("step", ["start", "code", "consent", "done"])
async def test_login_of_another_browser_is_not_shown(site: Site, browser: Browser, step: str) -> None:
    path = await site.until_code(browser, prompt=["consent"])
    if step == "start":
        await browser.submit("change")
    elif step in ("consent", "done"):
        await browser.submit("verify", code=CODE)
    if step == "done":
        await browser.submit("allow")
    assert (await site.row(path))["step"] == step
    other = site.browser()
    await site.login(other)

    page = await other.open(path)
    assert (page.status, page.title) == (400, EXPIRED)
    assert page.forms == []
    assert page.leads_to is None
    assert (await other.submit("verify", page=browser.page, code=CODE)).title == EXPIRED
    assert (await site.row(path))["step"] == step


async def test_login_without_any_cookie_is_not_shown(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    browser.client.cookies.clear()

    assert (await browser.open(path)).title == EXPIRED
    assert (await browser.submit("verify", code=CODE)).title == EXPIRED


async def test_cookie_that_is_cleared_before_the_form_ends_the_login(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    browser.client.cookies.clear()

    assert (await browser.submit("verify", code=CODE)).title == EXPIRED
    assert (await site.row(path))["session_id"] is None


async def test_login_that_takes_too_long_expires(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    await expire(site, path)
    page = await browser.submit("verify", code=CODE)

    assert (page.status, page.title) == (400, EXPIRED)
    assert "Return to Notes" in page.text
    assert (await site.row(path))["session_id"] is None


async def test_back_button_after_the_login_shows_that_it_is_done(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    code_page = browser.page
    done = await browser.submit("verify", code=CODE)
    again = await browser.submit("verify", page=code_page, code=CODE)

    assert again.leads_to == done.leads_to, "a reload leads to the application with the same code"
    await site.database.execute("update logins set redeemed_at = now() where id = $1", path.rpartition("/")[2])
    page = await browser.open(path)
    assert (page.title, page.leads_to) == ("You're signed in", None)
    assert "Return to Notes. You can close this page." in page.text


async def test_back_button_to_the_first_page_changes_nothing(site: Site, browser: Browser) -> None:
    path = await site.login(browser)
    start = await browser.open(path)
    await browser.submit("proceed", identifier="ada@example.com")
    page = await browser.submit("proceed", page=start, identifier="eve@example.com")

    assert page.title == "Enter your code"
    assert (await site.row(path))["identifier"] == "ada@example.com"


async def test_two_tabs_of_one_login_end_with_one_session(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    page = browser.page
    await asyncio.gather(*(browser.submit("verify", page=page, code=CODE) for _ in range(4)))

    assert (await browser.open(path)).leads_to
    row = await site.row(path)
    sessions = await site.database.fetch("select id from sessions where tenant_id = $1", site.issuer_id)
    assert [session["id"] for session in sessions] == [row["session_id"]]


async def test_two_logins_of_one_browser_both_continue(site: Site, browser: Browser) -> None:
    first = await site.until_code(browser, "ada@example.com")
    await site.sign_in(browser, "bob@example.com")

    assert (await browser.open(first)).title == "Enter your code"
    assert (await browser.submit("verify", code=CODE)).leads_to


async def test_completed_login_moves_no_more_logins_than_a_browser_has_tabs(site: Site, browser: Browser) -> None:
    """A program may begin thousands of logins with one cookie. They must not all be written when one is completed."""
    oldest = await site.login(browser)
    planted = (await site.row(oldest))["browser_digest"]
    copies = """
    insert into logins (tenant_id, id, browser_digest, client_id, request, step, expires_at)
    select tenant_id, id || n, browser_digest, client_id, request, step, expires_at + n * interval '1 s'
    from logins cross join generate_series(1, $3) as n where tenant_id = $1 and id = $2
    """
    await site.database.execute(copies, site.issuer_id, oldest.rpartition("/")[2], 3 * MAX_TABS)

    await browser.open(oldest)
    await browser.submit("proceed", identifier="ada@example.com")
    done = await browser.submit("verify", code=CODE)

    kept = await site.database.fetchval("select count(*) from logins where browser_digest = $1", planted)
    assert done.leads_to
    assert kept == 2 * MAX_TABS


async def test_login_replaces_both_cookies_of_the_browser(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    before = dict(browser.client.cookies)
    await browser.submit("verify", code=CODE)
    after = dict(browser.client.cookies)

    pending = f"auth1_browser_{site.issuer_id.replace(':', '-')}"
    session = f"auth1_session_{site.issuer_id.replace(':', '-')}"
    assert set(before) == {pending}
    assert set(after) == {pending, session}
    assert before[pending] != after[pending]
    assert (await site.row(path))["browser_digest"] == digest(after[pending])
    first = after[session]
    await site.sign_in(browser)
    assert browser.client.cookies[session] != first


async def test_planted_cookie_does_not_see_the_finished_login(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    attacker = site.browser()
    attacker.client.cookies.update(dict(browser.client.cookies))
    await browser.submit("verify", code=CODE)

    page = await attacker.open(path)
    assert (page.title, page.leads_to) == (EXPIRED, None)


async def test_login_of_the_sandbox_is_not_found_at_the_tenant(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)

    assert (await browser.open(path.replace("/test/", "/"))).title == EXPIRED


async def test_revoked_session_is_not_offered(site: Site, browser: Browser) -> None:
    await site.sign_in(browser)
    await site.database.execute("update sessions set revoked_at = now() where tenant_id = $1", site.issuer_id)

    assert (await browser.open(await site.login(browser, "account"))).title == "Sign in to My App"


@pytest.mark.parametrize("forged", ["x", "0" * 26 + "_" + "A" * 43])
async def test_forged_session_cookie_is_not_offered(site: Site, browser: Browser, forged: str) -> None:
    name = f"auth1_session_{site.issuer_id.replace(':', '-')}"
    path = await site.login(browser, "account")
    browser.client.cookies.set(name, forged, domain="localhost.local")

    assert (await browser.open(path)).title == "Sign in to My App"


async def test_session_of_an_api_login_is_no_browser_session(site: Site, browser: Browser) -> None:
    await site.sign_in(browser)
    await site.database.execute("update sessions set kind = 'api' where tenant_id = $1", site.issuer_id)

    assert (await browser.open(await site.login(browser, "account"))).title == "Sign in to My App"
