"""Forms with a problem, and users that may not sign in: the page says what to do, and nothing else happens."""

import secrets

import pytest

from auth1.errors import TenantSuspended
from tests.hosted.browser import Browser
from tests.hosted.conftest import CALLBACK, CODE, Site, new_site


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("", "Enter a valid phone number or email address."),
        ("ada@", "Enter a valid phone number or email address."),
        ("+15005550001", "Enter a valid phone number or email address."),
        ("+15005550002", "We couldn't send the code."),
        ("+15005550003", "We can't send a code to it."),
        ("+15005550007", "This number has opted out of our messages."),
        ("+15005550008", "Sign-in isn't available for this account."),
        ("+15005550009", "Too many attempts. Try again in 1:00."),
    ],
)
async def test_rejected_phone_or_email_stays_in_the_field(
    site: Site, browser: Browser, identifier: str, text: str
) -> None:
    path = await site.login(browser)
    await browser.open(path)
    page = await browser.submit("proceed", identifier=identifier)

    assert page.status == 422
    assert text in page.text
    assert page.fields["identifier"]["value"] == identifier
    assert page.fields["identifier"]["aria-describedby"] == "hint problem"
    assert (await site.row(path))["step"] == "start"


@pytest.mark.parametrize("code", ["", "12", "12345a", "1" * 13, "\x00"])
async def test_text_that_is_no_code_is_no_attempt(site: Site, browser: Browser, code: str) -> None:
    await site.until_code(browser)
    for _ in range(6):
        page = await browser.submit("verify", code=code)
        assert (page.status, "Enter the 6-digit code." in page.text) == (422, True)

    assert (await browser.submit("verify", code=CODE)).leads_to


async def test_wrong_codes_end_the_challenge(site: Site, browser: Browser) -> None:
    await site.until_code(browser)
    for _ in range(5):
        page = await browser.submit("verify", code="111111")
        assert (page.status, "That code isn't right." in page.text) == (422, True)
    page = await browser.submit("verify", code=CODE)

    assert page.status == 422
    assert page.leads_to is None


async def test_code_of_another_login_of_the_same_phone_is_not_mixed_up(site: Site, browser: Browser) -> None:
    await site.until_code(browser, "eve@example.com")
    other = site.browser()
    await site.until_code(other, "ada@example.com")
    page = await browser.submit("verify", code=CODE)

    assert page.leads_to is not None
    rows = await site.database.fetch(
        "select user_id from logins where tenant_id = $1 and user_id is not null", site.issuer_id
    )
    assert len(rows) == 1


async def test_banned_user_is_rejected_with_a_way_back(site: Site, browser: Browser) -> None:
    await site.sign_in(browser)
    user_id = await site.database.fetchval("select user_id from logins where tenant_id = $1", site.issuer_id)
    await site.database.execute("update users set banned_until = 'infinity' where id = $1", user_id)
    path = await site.until_code(browser)
    page = await browser.submit("verify", code=CODE)

    assert (page.status, page.title) == (403, "You can't sign in")
    assert "This account is suspended." in page.text
    assert (await site.row(path))["session_id"] is None
    page = await browser.submit("cancel")
    assert page.leads_to is not None
    assert "error=access_denied" in page.leads_to


async def test_user_of_the_hint_must_be_the_one_that_signs_in(site: Site, browser: Browser) -> None:
    page = await site.sign_in(browser, hint_user_id="usr_another")

    assert page.leads_to is not None
    assert "error=login_required" in page.leads_to
    query = "select count(user_id) + count(session_id) from logins where tenant_id = $1"
    assert await site.database.fetchval(query, site.issuer_id) == 0


async def test_closed_sign_up_shows_the_same_pages_to_strangers(site: Site, browser: Browser) -> None:
    await site.api.admin("PATCH", f"/api/admin/tenants/{site.tenant['tenant_id']}", {"settings": {"sign_up": "closed"}})
    await site.until_code(browser, f"{secrets.token_hex(6)}@example.com")

    assert "Delivered" not in browser.page.text
    page = await browser.submit("verify", code="111111")
    assert page.status == 422


async def test_country_that_is_not_allowed_is_named_as_the_reason(site: Site, browser: Browser) -> None:
    live = await new_site(site.api, site.database, allowed_countries=["DE"])
    live.sandbox = False
    await browser.open(await live.login(browser))
    page = await browser.submit("proceed", identifier="+12025550123")

    assert "We can't send codes to this country." in page.text


async def test_form_of_another_site_is_rejected(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    for headers in ({"origin": "https://evil.example.com"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        page = await browser.submit("verify", code=CODE, headers=headers)
        assert (page.status, page.title) == (403, "Something went wrong")
        browser.page = await browser.open(path)

    assert (await site.row(path))["step"] == "code"


@pytest.mark.parametrize(("field", "value"), [("csrf", "forged"), ("csrf", ""), ("step", "start")])
async def test_form_with_a_wrong_token_only_loads_the_page(
    site: Site, browser: Browser, field: str, value: str
) -> None:
    path = await site.until_code(browser)
    for form in browser.page.forms:
        form[field] = value
    page = await browser.submit("verify", code=CODE)

    assert (page.status, page.title) == (200, "Enter your code")
    assert (await site.row(path))["step"] == "code"


async def test_action_of_no_step_only_loads_the_page(site: Site, browser: Browser) -> None:
    await site.until_code(browser)
    for do in ("", "allow", "adopt", "proceed", "constructor"):
        assert (await browser.submit(do, code=CODE)).title == "Enter your code"


async def test_too_large_form_is_an_error_page(site: Site, browser: Browser) -> None:
    await browser.open(await site.login(browser))
    page = await browser.submit("proceed", identifier="x" * 20_000)

    assert (page.status, page.title) == (413, "Something went wrong")


async def test_unknown_tenant_and_suspended_tenant_are_error_pages(site: Site, browser: Browser) -> None:
    path = await site.login(browser)
    assert (await browser.open("/t/no-such-tenant/login/li_x")).title == "Page not found"
    await site.api.admin("POST", f"/api/admin/tenants/{site.tenant['tenant_id']}/suspend")
    page = await browser.open(path)

    assert (page.status, page.text) == (TenantSuspended.status, "You can't sign in Sign-in isn't available right now.")


async def test_deleted_application_ends_its_logins(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    await site.api.manage(site.tenant, "DELETE", f"/applications/{site.client_id}")

    assert (await browser.submit("verify", code=CODE)).title == "This sign-in has expired"
    assert (await site.row(path))["session_id"] is None


async def test_removed_redirect_uri_is_never_redirected_to(site: Site, browser: Browser) -> None:
    await site.until_code(browser)
    other = {"redirect_uris": ["https://app.example.com/other"]}
    await site.api.manage(site.tenant, "PATCH", f"/applications/{site.client_id}", other)
    page = await browser.submit("verify", code=CODE)

    assert page.leads_to is None
    assert page.title == "This sign-in has expired"
    assert CALLBACK not in page.response.text
