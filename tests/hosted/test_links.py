"""Magic links in the hosted login: the step `waiting`."""

import pytest

from auth1.errors import Unavailable
from auth1.hosted import store
from tests.hosted.browser import Browser
from tests.hosted.conftest import CODE, Site


async def until_link(site: Site, browser: Browser) -> str:
    """Bring a browser to the page that waits for a link; return the path of the link."""
    await site.until_code(browser)
    page = await browser.submit("use_link")
    assert page.title == "Check your email", page.text
    assert "We sent a sign-in link to a•••@example.com." in page.text
    link = next(href for href in page.links if "/api/auth/link/" in href)
    return link.removeprefix(str(browser.client.base_url))


async def status(browser: Browser) -> dict[str, object]:
    found: dict[str, object] = (await browser.client.get(f"{browser.page.response.url.path}/status")).json()
    return found


async def test_link_that_another_device_opens_completes_the_login(site: Site, browser: Browser) -> None:
    link = await until_link(site, browser)
    assert (await status(browser))["reload"] is False
    other = site.browser()
    await other.open(link)
    await other.submit("")
    assert (await status(browser))["reload"] is True
    page = await browser.open(browser.page.response.url.path)
    assert page.title == "You're signed in"
    assert page.forms[0]["do"] == "proceed"
    page = await browser.submit("proceed")

    assert page.leads_to is not None
    assert [name for name in other.client.cookies if "session" in name] == []
    assert (await site.row(str(page.response.url.path)))["amr"] == ["otp"]


async def test_link_that_is_not_opened_yet_keeps_waiting(site: Site, browser: Browser) -> None:
    await until_link(site, browser)
    page = await browser.submit("proceed")

    assert (page.status, page.title) == (422, "Check your email")
    assert "The link hasn't been opened yet." in page.text


async def test_link_continues_only_the_browser_that_requested_it(site: Site, browser: Browser) -> None:
    link = await until_link(site, browser)
    waiting = browser.page
    other = site.browser()
    await other.open(link)
    await other.submit("")
    await site.login(other)

    assert (await other.submit("proceed", page=waiting)).title == "This sign-in has expired"
    assert (await browser.submit("proceed", page=waiting)).leads_to


async def test_expired_link_is_reported(site: Site, browser: Browser) -> None:
    await until_link(site, browser)
    await site.database.execute(
        "update challenges set expires_at = now() where tenant_id = $1 and status = 'open'", site.issuer_id
    )
    await site.database.execute("update links set expires_at = now() where tenant_id = $1", site.issuer_id)

    assert await status(browser) == {
        "text": "That link no longer works. Request a new one.",
        "final": True,
        "reload": False,
    }
    page = await browser.submit("proceed")
    assert "That link no longer works." in page.text
    assert (await browser.submit("use_link")).title == "Check your email"


async def test_user_of_a_link_returns_to_the_code(site: Site, browser: Browser) -> None:
    await until_link(site, browser)
    page = await browser.submit("use_code")

    assert page.title == "Enter your code"
    assert (await browser.submit("verify", code=CODE)).leads_to


async def test_session_of_a_link_ends_when_its_login_is_not_completed(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (other := site.browser()).open(await until_link(site, browser))
    await other.submit("")

    async def fail(*_: object) -> bool:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(store, "complete_login", fail)
        assert (await browser.submit("proceed")).status == 503

    query = "select revoked_at is null as is_live from sessions where tenant_id = $1"
    assert [row["is_live"] for row in await site.database.fetch(query, site.issuer_id)] == [False]


async def test_banned_user_of_a_link_is_rejected(site: Site, browser: Browser) -> None:
    await site.sign_in(browser)
    other = site.browser()
    link = await until_link(site, other)
    await site.database.execute("update users set banned_until = 'infinity' where tenant_id = $1", site.issuer_id)
    await browser.open(link)
    await browser.submit("")

    assert (await other.submit("proceed")).title == "You can't sign in"


async def test_database_has_no_secret_of_a_link_in_clear(site: Site, browser: Browser) -> None:
    await until_link(site, browser)
    path = str(browser.page.response.url.path)
    row = await site.row(path)

    assert row["step"] == "waiting"
    assert len(row["link_box"]) > 43
    await browser.submit("change")
    assert (await site.row(path))["link_box"] is None


async def test_phone_gets_no_link(site: Site, browser: Browser, phone: str) -> None:
    await site.until_code(browser, phone)
    assert "use_link" not in browser.page.buttons

    assert (await browser.submit("use_link")).title == "Enter your code"
