"""Hostile input at the pages, and forms that come when the session of the browser is another one."""

import base64
from itertools import product

import pytest

from tests.hosted.browser import Browser
from tests.hosted.conftest import CODE, Site

TEXTS = [
    *("\0", "a\0b@example.com", "\u202e", "+" + "9" * 300, "@" * 300, "\U000e0001", "\u0663" * 30, "\u00bd" * 9),
    *("a\r\nb@example.com", "<script>alert(1)</script>", "{brand}", "%s%n"),
]


async def test_text_of_a_form_is_no_error_of_the_server(site: Site, browser: Browser) -> None:
    await browser.open(await site.login(browser))
    for text in TEXTS:
        page = await browser.submit("proceed", identifier=text)
        assert page.status == 422, text
        assert "<script>alert" not in page.response.text
    await site.until_code(browser)
    for text in TEXTS:
        assert (await browser.submit("verify", code=text)).status == 422, text
        assert (await browser.submit(text)).status == 200, text
    await browser.submit("verify", code=CODE)
    await browser.open(f"{site.path}/account")
    for do, text in product(("end", "remove", "\0"), TEXTS):
        assert (await browser.submit(do, session=text, client=text)).status == 200, (do, text)


@pytest.mark.parametrize("raw", [b"[" * 600, b'{"algorithm":"SHA-256","challenge":"\\u0000"}', b"\xff\xfe", b"1e999"])
async def test_proof_that_is_none_is_ignored(site: Site, browser: Browser, raw: bytes) -> None:
    await browser.open(await site.login(browser))
    page = await browser.submit("proceed", identifier="ada@example.com", proof=base64.b64encode(raw).decode())

    assert page.title == "Enter your code"


@pytest.mark.parametrize("query", ["?lang=%00", "?lang=%ff", "?lang=xx", "?" + "&" * 1000, "?lang=fr&lang=de"])
async def test_language_of_a_link_is_a_known_one(site: Site, browser: Browser, query: str) -> None:
    page = await browser.open(await site.login(browser) + query)

    assert (page.status, page.lang) == (200, "de" if "de" in query else "en")


@pytest.mark.parametrize("ending", ["signs out", "is another user"])
async def test_consent_needs_the_session_of_the_login(site: Site, browser: Browser, ending: str) -> None:
    """A login that waits for consent survives in a tab; the next user of the browser must not allow it."""
    await site.sign_in(browser, "ada@example.com", prompt=["consent"])
    consent = browser.page
    assert consent.buttons == ["allow", "deny"]
    if ending == "signs out":
        await browser.open(f"{site.path}/account")
        await browser.submit("sign_out")
    else:
        await site.sign_in(browser, "bob@example.com")
    path = consent.response.url.path
    page = await browser.open(path)
    page = await browser.submit("allow")

    row = await site.row(path)
    assert page.title == "Sign in to My App"
    assert (row["step"], row["user_id"], row["session_id"]) == ("start", None, None)
    assert await site.database.fetchval("select count(*) from consents where tenant_id = $1", site.issuer_id) == 0


async def test_removed_application_gets_no_code_from_an_open_tab(site: Site, browser: Browser) -> None:
    done = await site.sign_in(browser)
    assert done.leads_to
    consent = "insert into consents (tenant_id, user_id, client_id, scopes) select tenant_id, user_id, client_id, '{}'"
    path = done.response.url.path
    await site.database.execute(f"{consent} from logins where id = $1", path.rpartition("/")[2])
    await browser.open(f"{site.path}/account")
    await browser.submit("remove", client=site.client_id)

    page = await browser.open(path)
    assert (page.status, page.leads_to) == (400, None)


async def test_session_of_a_user_that_the_application_does_not_want_is_ended(site: Site, browser: Browser) -> None:
    page = await site.sign_in(browser, hint_user_id="usr_other")

    assert "error=login_required" in (page.leads_to or "")
    live = "select count(*) from sessions where tenant_id = $1 and revoked_at is null"
    assert await site.database.fetchval(live, site.issuer_id) == 0
