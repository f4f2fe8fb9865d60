"""The account pages: sign in, devices, applications with access, sign-out and erasure."""

import pytest

from auth1.core.ids import new_id
from tests.hosted.browser import Browser
from tests.hosted.conftest import CODE, Site
from tests.support.elapsed import end_recent_logins

DEVICES = {"Firefox, Windows": "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"}


async def open_account(site: Site, browser: Browser, email: str = "ada@example.com") -> None:
    """Sign in to the account pages."""
    page = await browser.open(f"{site.path}/account")
    assert page.title == "Sign in to My App"
    assert "cancel" not in page.buttons
    await browser.submit("proceed", identifier=email)
    page = await browser.submit("verify", code=CODE)
    assert (page.title, page.response.url.path) == ("Your account", f"{site.path}/account")


async def live_sessions(site: Site) -> int:
    query = "select count(*) from sessions where tenant_id = $1 and revoked_at is null"
    return int(await site.database.fetchval(query, site.issuer_id))


async def test_account_shows_identifiers_and_devices(site: Site, browser: Browser) -> None:
    other = site.browser()
    other.headers["user-agent"] = DEVICES["Firefox, Windows"]
    await open_account(site, other)
    await open_account(site, browser)

    text = browser.page.text
    assert "ada@example.com" in text
    assert "Firefox, Windows" in text
    assert "Unknown device · This device" in text
    assert "No apps have access to your account." in text
    assert browser.page.response.headers["cache-control"] == "no-store"
    assert browser.page.response.headers["content-security-policy"].startswith("default-src 'none'")


async def test_account_of_the_session_opens_without_a_code(site: Site, browser: Browser) -> None:
    await site.sign_in(browser)

    assert (await browser.open(f"{site.path}/account")).title == "Your account"


async def test_other_session_is_ended(site: Site, browser: Browser) -> None:
    other = site.browser()
    await open_account(site, other)
    await open_account(site, browser)
    ending = next(form for form in browser.page.forms if "session" in form)
    page = await browser.submit("end", session=ending["session"])

    assert page.title == "Your account"
    assert (await other.open(f"{site.path}/account")).title == "Sign in to My App"
    assert (await browser.open(f"{site.path}/account")).title == "Your account"
    again = await browser.submit("end", session="ses_unknown")
    assert (again.status, again.title) == (200, "Your account")


async def test_session_of_another_user_is_not_ended(site: Site, browser: Browser) -> None:
    other = site.browser()
    await open_account(site, other, "eve@example.com")
    await open_account(site, browser)
    session_id = await site.database.fetchval(
        "select s.session_id from logins s where tenant_id = $1 and identifier = 'eve@example.com'", site.issuer_id
    )
    await browser.submit("end", session=session_id)

    assert (await other.open(f"{site.path}/account")).title == "Your account"


async def test_all_other_sessions_are_ended(site: Site, browser: Browser) -> None:
    for _ in range(3):
        await open_account(site, site.browser())
    await open_account(site, browser)
    await browser.submit("end_others")

    assert await live_sessions(site) == 1
    assert "end_others" not in browser.page.buttons


async def test_access_of_an_application_is_removed(site: Site, browser: Browser) -> None:
    await site.sign_in(browser, prompt=["consent"])
    await browser.submit("allow")
    page = await browser.open(f"{site.path}/account")
    assert "Notes Confirm that it's you, See your email address" in page.text
    page = await browser.submit("remove", client=site.client_id)

    assert "No apps have access to your account." in page.text
    assert (await browser.submit("remove", client=new_id("app"))).title == "Your account"


async def test_sign_out_ends_the_session_and_deletes_the_cookie(site: Site, browser: Browser) -> None:
    await open_account(site, browser)
    page = await browser.submit("sign_out")

    assert page.title == "You're signed out"
    assert await live_sessions(site) == 0
    assert [name for name in browser.client.cookies if "session" in name] == []
    assert (await browser.open(f"{site.path}/account")).title == "Sign in to My App"


async def test_account_is_erased_after_a_confirmation(site: Site, browser: Browser) -> None:
    await open_account(site, browser)
    page = await browser.submit("erase")
    assert page.title == "Delete your account?"
    assert "This can't be undone." in page.text
    page = await browser.submit("erase_now")

    assert page.title == "Your account was deleted"
    assert await site.database.fetchval("select count(*) from users where tenant_id = $1", site.issuer_id) == 0


@pytest.mark.parametrize("do", ["erase", "erase_now"])
async def test_erasure_needs_a_recent_sign_in(site: Site, browser: Browser, do: str) -> None:
    await open_account(site, browser)
    await end_recent_logins(site.database, site.issuer_id)

    assert (await browser.submit(do)).title == "Sign in to My App"
    assert await site.database.fetchval("select count(*) from users where tenant_id = $1", site.issuer_id) == 1


async def test_forged_forms_of_the_account_change_nothing(site: Site, browser: Browser) -> None:
    await open_account(site, browser)
    account = browser.page
    page = await browser.submit("sign_out", headers={"origin": "https://evil.example.com"})
    assert page.status == 403
    for form in account.forms:
        form["csrf"] = "forged"
    page = await browser.submit("sign_out", page=account)

    assert page.title == "Your account"
    assert await live_sessions(site) == 1
    browser.client.cookies.clear()
    assert (await browser.submit("sign_out", page=account)).title == "Sign in to My App"
    assert await live_sessions(site) == 1


async def test_unknown_action_shows_the_account(site: Site, browser: Browser) -> None:
    await open_account(site, browser)

    assert (await browser.submit("")).title == "Your account"
