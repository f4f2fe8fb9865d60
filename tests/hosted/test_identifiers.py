"""Identifiers in the account pages: added, replaced, removed; each after a recent sign-in and a code."""

from tests.hosted.browser import Browser, Page
from tests.hosted.conftest import CODE, Site
from tests.hosted.test_account import live_sessions, open_account
from tests.support.elapsed import end_recent_logins


async def identifiers(site: Site) -> set[str]:
    query = "select identifier from identifiers where tenant_id = $1 and user_id is not null"
    return {row["identifier"] for row in await site.database.fetch(query, site.issuer_id)}


async def add(browser: Browser, kind: str, typed: str) -> Page:
    """Add an identifier; return the page after its code."""
    page = await browser.submit("add", kind=kind)
    assert page.title == {"phone": "Enter your phone number", "email": "Enter your email"}[kind]
    page = await browser.submit("proceed", identifier=typed)
    assert page.title == "Enter your code", page.text
    return await browser.submit("verify", code=CODE)


async def test_phone_is_added_after_its_code(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    assert "Phone number Not added yet" in browser.page.text
    assert "remove_identifier" not in browser.page.buttons, "it is the last one"
    page = await add(browser, "phone", phone)

    assert (page.title, page.response.url.path) == ("Your account", f"{site.path}/account")
    assert phone in page.text
    assert await identifiers(site) == {"ada@example.com", phone}


async def test_email_is_replaced_and_other_sessions_end(site: Site, browser: Browser) -> None:
    await open_account(site, site.browser())
    await open_account(site, browser)
    page = await add(browser, "email", "new@example.com")

    assert page.title == "Your account", "this session stays"
    assert await identifiers(site) == {"new@example.com"}
    assert await live_sessions(site) == 1


async def test_national_number_is_shown_before_its_code_is_sent(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    await browser.submit("add", kind="phone")
    page = await browser.submit("proceed", identifier=phone.removeprefix("+1"))
    assert page.title == "Is this your phone number?"
    await browser.submit("proceed", identifier=page.forms[0]["identifier"])
    await browser.submit("verify", code=CODE)

    assert phone in await identifiers(site)


async def test_wrong_code_adds_nothing(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    await browser.submit("add", kind="phone")
    await browser.submit("proceed", identifier=phone)
    for code, problem in (("111111", "That code isn't right."), ("1", "Enter the 6-digit code.")):
        page = await browser.submit("verify", code=code)
        assert problem in page.text
    page = await browser.submit("change")
    assert page.title == "Enter your phone number"
    assert await identifiers(site) == {"ada@example.com"}


async def test_identifier_of_another_account_is_rejected_after_its_code(site: Site, browser: Browser) -> None:
    await open_account(site, site.browser(), "eve@example.com")
    await open_account(site, browser)
    page = await add(browser, "email", "eve@example.com")

    assert "This is already linked to another account." in page.text
    assert await identifiers(site) == {"ada@example.com", "eve@example.com"}


async def test_own_identifier_and_a_wrong_type_are_rejected(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    await browser.submit("add", kind="email")
    for typed, problem in (
        ("Ada@Example.com", "This is already linked to your account."),
        (phone, "Enter a valid email address."),
    ):
        page = await browser.submit("proceed", identifier=typed)
        assert (page.status, problem in page.text) == (422, True)


async def test_identifier_is_removed_after_a_confirmation(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    await add(browser, "phone", phone)
    page = await browser.submit("remove_identifier", kind="phone")
    assert page.title == "Remove your phone number?"
    page = await browser.submit("remove_now")

    assert page.title == "Your account"
    assert await identifiers(site) == {"ada@example.com"}
    assert (await browser.submit("remove_now", kind="email")).title == "Your account", "the last one stays"
    assert await identifiers(site) == {"ada@example.com"}


async def test_removed_identifier_ends_the_sessions_that_it_opened(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    await add(browser, "phone", phone)
    page = await browser.submit("remove_now", kind="email")

    assert page.title == "Sign in to My App"
    assert await live_sessions(site) == 0


async def test_change_of_identifiers_needs_a_recent_sign_in(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    await browser.submit("add", kind="phone")
    at_field = browser.page
    await end_recent_logins(site.database, site.issuer_id)
    page = await browser.submit("proceed", page=at_field, identifier=phone)
    assert page.title == "Sign in to My App"
    await browser.submit("proceed", identifier="ada@example.com")
    page = await browser.submit("verify", code=CODE)

    assert page.title == "Enter your phone number", "it continues after the sign-in"
    await end_recent_logins(site.database, site.issuer_id)
    await browser.open(f"{site.path}/account")
    for do in ("add", "remove_identifier", "remove_now"):
        account = browser.page
        assert (await browser.submit(do, kind="phone")).title == "Sign in to My App"
        browser.page = account


async def test_addition_belongs_to_its_session(site: Site, browser: Browser, phone: str) -> None:
    await open_account(site, browser)
    await browser.submit("add", kind="phone")
    await browser.submit("proceed", identifier=phone)
    await site.database.execute("update sessions set revoked_at = now() where tenant_id = $1", site.issuer_id)
    page = await browser.submit("verify", code=CODE)

    assert page.title == "Sign in to My App"
    assert await identifiers(site) == {"ada@example.com"}


async def test_unknown_kind_changes_nothing(site: Site, browser: Browser) -> None:
    await open_account(site, browser)
    for do in ("add", "remove_identifier", "remove_now"):
        assert (await browser.submit(do, kind="name")).title == "Your account"
