"""The page behind a link, in a real browser: under its policy, without scripts, by keyboard, and into the app."""

import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from auth1.challenges.links import s256
from auth1.dev.processes import free_port
from tests.browser import chromium
from tests.browser.chromium import Chromium, Page
from tests.faults.process import Auth1
from tests.outside.smtp import SmtpServer
from tests.outside.twilio import TwilioServer, answer

BROWSER = chromium.find()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    async with Chromium(BROWSER or "", tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@dataclass
class Site:
    """Auth1 as a real process, its mail server, and an app to which links lead."""

    auth1: Auth1
    mail: SmtpServer
    app: TwilioServer  # any small HTTP server that keeps what it was sent
    tenant: dict[str, str] = field(default_factory=dict)

    @property
    def callback(self) -> str:
        return f"{self.app.url}/cb?from=auth1"

    async def link(self, **fields: object) -> tuple[str, dict[str, str]]:
        """Ask for a link: it, and what was answered."""
        email = f"{secrets.token_hex(6)}@example.com"
        body = {"email": email, "mode": "link"} | fields
        asked = await self.auth1.post("/api/auth/request", body, self.tenant["api_key"])
        assert asked.status_code == 200, asked.text
        return self.mail.newest(email).link, asked.json()

    async def token(self, **grant: str) -> int:
        return (await self.auth1.post("/api/auth/token", grant, self.tenant["api_key"])).status_code


@pytest.fixture(scope="module")
async def site(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    port = str(free_port())
    log: Path = tmp_path_factory.mktemp("auth1") / "log"
    async with SmtpServer() as mail, TwilioServer(behaviour=answer(200, b"Welcome")) as app:
        changes = {
            "SMTP_URL": mail.url,
            "EMAIL_FROM": "no-reply@example.com",
            "PORT": port,
            "APP_URL": f"http://127.0.0.1:{port}",
            "CORS_ORIGINS": "https://app.example.com",  # the form comes from elsewhere all the same
        }
        async with Auth1(environment | changes, log) as auth1:
            site = Site(auth1, mail, app)
            settings = {"redirect_uris": [site.callback], "sms_branding": "MyApp & Söhne"}
            body = {"name": "My App", "slug": f"t{secrets.token_hex(6)}", "settings": settings}
            site.tenant = (await auth1.operator("POST", "/api/admin/tenants", body)).json()
            yield site


async def background(page: Page) -> str:
    colour: str = await page.evaluate("getComputedStyle(document.querySelector('main')).backgroundColor")
    return colour


async def test_the_page_is_shown_under_its_policy_and_loads_nothing(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)

        assert page.complaints == []
        assert page.requests == [f"GET {link}"]
        assert await page.evaluate("document.title") == "Log in to MyApp & Söhne"
        assert await background(page) == "rgb(255, 255, 255)", "its style sheet is let through"


async def test_the_policy_stops_a_script_that_got_into_the_page(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)
        await page.evaluate(
            "var s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
        )

        assert await page.evaluate("window.ran") is None
        assert any("Content Security Policy" in complaint for complaint in page.complaints)


async def test_it_confirms_by_keyboard_without_scripts(browser: Chromium, site: Site) -> None:
    link, asked = await site.link()

    async with browser.page(scripts=False) as page:
        await page.open(link)
        await page.press_tab_and_enter()

        assert page.complaints == []
        assert page.requests == [f"GET {link}", f"POST {link}"]
        assert ("heading", "Confirmed") in await page.roles()
    named = {name: asked[name] for name in ("challenge_id", "challenge_secret")}
    assert await site.token(grant_type="challenge", **named) == 200


async def test_it_leads_into_the_app_which_learns_nothing_but_the_code(browser: Chromium, site: Site) -> None:
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


async def test_a_screen_reader_finds_a_heading_and_one_button(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)

        roles = await page.roles()
        assert ("main", "") in roles
        assert ("heading", "Log in to MyApp & Söhne") in roles
        assert [name for role, name in roles if role == "button"] == ["Log in to MyApp & Söhne"]
        assert await page.evaluate("document.documentElement.lang") == "en"


def luminance(colour: str) -> float:
    """The relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
async def test_its_text_can_be_read_by_day_and_by_night(browser: Chromium, site: Site, dark: bool) -> None:
    link, _ = await site.link()

    async with browser.page(dark=dark) as page:
        await page.open(link)

        assert (luminance(await background(page)) < 0.1) is dark
        for element in ("p", "h1", "button"):
            style = f"getComputedStyle(document.querySelector('{element}'))"
            behind = f"{style}.backgroundColor" if element == "button" else "getComputedStyle(main).backgroundColor"
            ground = await page.evaluate(behind.replace("(main)", "(document.querySelector('main'))"))
            light, shade = sorted((luminance(await page.evaluate(f"{style}.color")), luminance(ground)), reverse=True)
            assert (light + 0.05) / (shade + 0.05) >= 4.5, element


async def test_a_link_that_was_used_is_explained(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)
        await page.press_tab_and_enter()
        await page.open(link)

        assert ("heading", "This link no longer works") in await page.roles()
        assert "button" not in [role for role, _ in await page.roles()]


async def test_a_body_nobody_asked_for_is_left_unread(site: Site) -> None:
    link, _ = await site.link()
    path = urlsplit(link).path

    async def post(body: bytes) -> int:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return (await site.auth1.client.post(path, content=body, headers=headers)).status_code

    assert await post(b"") == 200
    assert await post(b"x" * 20_000) == 400, "used by now, whatever the body"
    link, _ = await site.link()
    path = urlsplit(link).path
    assert await post(b"a=b&token=" + b"x" * 1_000_000) == 200
