"""The page behind a link in Chromium: policy, keyboard, redirect."""

import secrets
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from auth1.core.crypto import s256
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER, Site

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


async def background(page: Page) -> str:
    colour: str = await page.evaluate("getComputedStyle(document.querySelector('main')).backgroundColor")
    return colour


async def test_link_page_follows_its_policy_and_loads_nothing(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)

        assert page.complaints == []
        assert page.requests == [f"GET {link}"]
        assert await page.evaluate("document.title") == "Sign in to MyApp & Söhne"
        assert await background(page) == "rgb(255, 255, 255)", "its style sheet is let through"


async def test_policy_blocks_an_injected_script(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)
        await page.evaluate(
            "var s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
        )

        assert await page.evaluate("window.ran") is None
        assert any("Content Security Policy" in complaint for complaint in page.complaints)


async def test_link_is_confirmed_by_keyboard_without_scripts(browser: Chromium, site: Site) -> None:
    link, requested = await site.link()

    async with browser.page(scripts=False) as page:
        await page.open(link)
        await page.press_tab_and_enter()

        assert page.complaints == []
        assert page.requests == [f"GET {link}", f"POST {link}"]
        assert ("heading", "You're signed in") in await page.roles()
    named = {name: requested[name] for name in ("challenge_id", "challenge_secret")}
    assert await site.token(grant_type="challenge", **named) == 200


async def test_confirmation_redirects_to_the_app_with_only_the_code(browser: Chromium, site: Site) -> None:
    verifier = secrets.token_urlsafe(32)
    link, _ = await site.link(redirect_to=site.callback, code_challenge=s256(verifier))
    site.app.requests.clear()

    async with browser.page() as page:
        await page.open(link)
        await page.press_tab_and_enter()

        assert page.complaints == []
        assert await page.evaluate("document.body.innerText") == "Welcome"
    [arrived] = [request for request in site.app.requests if request.path.startswith("/cb")]
    assert arrived.method == "GET"
    assert "referer" not in arrived.headers
    assert link.rpartition("/")[2] not in str(arrived)
    found = parse_qs(urlsplit(arrived.path).query)
    assert found["from"] == ["auth1"]
    assert await site.token(grant_type="authorization_code", code=found["code"][0], code_verifier=verifier) == 200


async def test_page_has_a_heading_and_one_button_for_screen_readers(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)

        roles = await page.roles()
        assert ("main", "") in roles
        assert ("heading", "Sign in to MyApp & Söhne") in roles
        assert [name for role, name in roles if role == "button"] == ["Sign in to MyApp & Söhne"]
        assert await page.evaluate("document.documentElement.lang") == "en"


async def test_used_link_page_explains_and_links_to_the_application(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)
        await page.press_tab_and_enter()
        await page.open(link)

        roles = await page.roles()
        assert ("heading", "This link no longer works") in roles
        assert "button" not in [role for role, _ in roles]
        assert ("link", "Open MyApp & Söhne") in roles
        assert await page.evaluate("document.querySelector('a').href") == f"{site.app.url}/"


async def test_unexpected_body_is_ignored(site: Site) -> None:
    link, _ = await site.link()
    path = urlsplit(link).path

    async def post(body: bytes) -> int:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return (await site.auth1.client.post(path, content=body, headers=headers)).status_code

    assert await post(b"") == 200
    assert await post(b"x" * 20_000) == 400, "used by now, whatever the body"
    link, _ = await site.link()
    path = urlsplit(link).path
    # Who is still writing when the connection is closed may not get to read the answer; what it did holds all the same.
    with suppress(httpx.ReadError, httpx.WriteError):
        assert await post(b"a=b&token=" + b"x" * 1_000_000) == 200
    assert await post(b"") == 400, "used by now"
