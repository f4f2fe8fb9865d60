"""Identifiers that a tenant requires: the step `profile` of a login."""

from tests.hosted.browser import Browser
from tests.hosted.conftest import CODE, Site
from tests.support.elapsed import end_recent_logins


async def require(site: Site, *kinds: str) -> None:
    path = f"/api/admin/tenants/{site.tenant['tenant_id']}"
    await site.api.admin("PATCH", path, {"settings": {"required_identifiers": kinds}})


async def test_missing_identifier_is_added_before_the_application(site: Site, browser: Browser, phone: str) -> None:
    await require(site, "email", "phone")
    page = await site.sign_in(browser, prompt=["consent"])
    assert page.title == "Enter your phone number"
    assert "My App also needs your phone number. We'll send a code to it." in page.text
    await browser.submit("proceed", identifier=phone)
    page = await browser.submit("verify", code=CODE)

    assert page.title == "Allow Notes to use your My App account?"
    assert "Signed in as a•••@example.com" in page.text
    assert (await browser.submit("allow")).leads_to
    assert (await site.sign_in(browser)).leads_to, "nothing is missing the next time"


async def test_session_without_a_required_identifier_continues_with_it(
    site: Site, browser: Browser, phone: str
) -> None:
    await site.sign_in(browser)
    await require(site, "phone")
    await browser.open(await site.login(browser, "account"))
    assert (await browser.submit("adopt")).title == "Enter your phone number"
    await end_recent_logins(site.database, site.issuer_id)
    await browser.open(await site.login(browser, "account"))

    assert (await browser.submit("adopt")).title == "Sign in to My App", "an old session signs in first"
    await browser.submit("proceed", identifier="ada@example.com")
    assert (await browser.submit("verify", code=CODE)).title == "Enter your phone number"


async def test_login_is_cancelled_at_a_required_identifier(site: Site, browser: Browser) -> None:
    await require(site, "phone")
    await site.sign_in(browser)
    page = await browser.submit("cancel")

    assert page.leads_to is not None
    assert "error=access_denied" in page.leads_to


async def test_login_without_its_required_identifier_gets_no_code(site: Site, browser: Browser) -> None:
    await require(site, "phone")
    path = await site.until_code(browser)
    await browser.submit("verify", code=CODE)
    for do in ("allow", "adopt", "verify", "use_email"):
        assert (await browser.submit(do, code=CODE)).title == "Enter your phone number"

    row = await site.row(path)
    assert (row["step"], row["code_number"]) == ("profile", 0)
