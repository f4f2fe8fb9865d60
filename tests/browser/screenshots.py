"""Screenshots for the docs, taken of the real application: `just screenshots`."""

import asyncio
import base64
import re
import secrets
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from auth1.dev.postgres import PostgresServer
from auth1.dev.processes import free_port
from auth1.dev.redis import RedisServer
from tests.browser import chromium, terminal
from tests.browser.chromium import Chromium, Page
from tests.browser.login_states import STATES, html_of
from tests.browser.logins import Logins
from tests.conftest import JWT_SECRET
from tests.support.api_client import ADMIN_TOKEN
from tests.support.png import shrink
from tests.support.process import Auth1, until
from tests.support.providers.smtp import Received, SmtpServer

IMAGES = Path(__file__).parents[2] / "docs" / "images"
APP_URL = "https://auth.example.com"
DEVICE = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36"
PHONE, EMAIL = "+15551234567", "ann@example.com"
LOGO = """<body style="margin:0;display:inline-flex;align-items:center;gap:12px;font:700 52px/80px 'DejaVu Sans'">
<svg width="72" height="72" viewBox="0 0 24 24" fill="none" stroke="#2f81f7" stroke-width="2.6" stroke-linecap="round">
<circle cx="12" cy="12" r="10"/><path d="M7 16V9l5 5 5-5v7" stroke-linejoin="round"/></svg>
<span style="color:#2f81f7">MyApp</span>"""

STATE_SHOTS = {
    "login-states.png": (STATES[:4], 800),
    "login-account.png": (STATES[4:8], 620),
    "login-endings.png": (STATES[8:11], 420),
    "login-leaving.png": (STATES[11:15], 720),
    "account-states.png": (STATES[15:], 1150),
}
STATES_PAGE = """<!doctype html><html lang="en"><style>
body{margin:12px;display:grid;grid-template-columns:repeat(COLUMNS,1fr);gap:12px;font:600 14px system-ui,sans-serif}
figure{margin:0}iframe{width:100%;height:HEIGHTpx;border:1px solid #d1d5db}</style>"""


class Shot(NamedTuple):
    """One screenshot: its subject, the viewport, and the tenant's look."""

    subject: str  # "email" or "link"
    mode: str
    width: int
    height: int
    dark: bool = False
    locale: str = "en"
    color: str | None = None
    logo: bool = False


SHOTS = {
    "link-page.png": Shot("link", "link", 720, 460, logo=True),
    "link-page-dark.png": Shot("link", "link", 720, 460, dark=True, locale="de", color="#facc15"),
    "link-page-phone.png": Shot("link", "link", 320, 520, locale="es", color="#0f766e"),
    "email.png": Shot("email", "both", 720, 680),
    "email-logo.png": Shot("email", "code", 720, 480, logo=True),
    "email-dark.png": Shot("email", "both", 720, 680, dark=True, color="#facc15"),
    "email-phone.png": Shot("email", "code", 320, 540, locale="fr"),
}
LOGIN_SHOTS = {
    "login.png": Shot("login", "start", 720, 620, logo=True),
    "login-code-dark.png": Shot("login", "code", 720, 640, dark=True, locale="de", color="#facc15"),
    "login-consent-phone.png": Shot("login", "consent", 320, 620, color="#0f766e"),
}


async def take(
    browser: Chromium,
    auth1: Auth1,
    mail: SmtpServer,
    dev: Auth1,
    database: asyncpg.Connection,
    pages: Auth1 | None = None,
) -> dict[str, bytes]:
    """Take all screenshots: PNG by name. `dev` is `auth1 dev` on a terminal.

    `pages` shows the pages of a sign-in, if APP_URL of `auth1` is another address.
    """
    logo = await _logo(browser)
    pictures = {name: await _take_shot(browser, auth1, mail, shot, logo) for name, shot in SHOTS.items()}
    for name, shot in LOGIN_SHOTS.items():
        pictures[name] = await _take_login(browser, pages or auth1, shot, logo, database)
    pictures |= await _take_states(browser, auth1)
    async with browser.page() as page:
        pictures["api-reference.png"] = await _shoot(page, f"{auth1.url}/docs/sign-in", 1100, 720)
    pictures["terminal.png"] = await _take_terminal(browser, dev)
    pictures["inbox.png"] = await _take_inbox(browser, dev, logo)
    return pictures


async def _take_shot(browser: Chromium, auth1: Auth1, mail: SmtpServer, shot: Shot, logo: bytes) -> bytes:
    """Take a screenshot of an email or of a page behind a link."""
    tenant = await _tenant(auth1, ADMIN_TOKEN, logo if shot.logo else None, brand_color=shot.color)
    email = f"{secrets.token_hex(6)}@example.com"
    request = {"email": email, "mode": shot.mode, "locale": shot.locale}
    headers = {"x-api-key": tenant["api_key"], "x-forwarded-for": "203.0.113.7", "user-agent": DEVICE}
    response = await auth1.client.post("/api/auth/request", json=request, headers=headers)
    assert response.status_code == 200, response.text
    async with browser.page(dark=shot.dark) as page:
        url = _address(auth1, mail.newest(email), shot.subject, logo)
        return await _shoot(page, url, shot.width, shot.height)


async def _take_login(browser: Chromium, auth1: Auth1, shot: Shot, logo: bytes, database: asyncpg.Connection) -> bytes:
    """Take a screenshot of a page of the hosted login; the mode is its step."""
    tenant = await _tenant(auth1, ADMIN_TOKEN, logo if shot.logo else None, brand_color=shot.color)
    async with browser.page(dark=shot.dark) as page:
        await _resize(page, shot.width, shot.height)
        logins = Logins(database, tenant, auth1.url, "https://notes.example.com/callback")
        await logins.open(page, shot.mode, ui_locales=[shot.locale])
        return await _capture(page)


async def _take_states(browser: Chromium, auth1: Auth1) -> dict[str, bytes]:
    """Take screenshots of all states of the login and the account, some side by side in each."""
    tenant = await _tenant(auth1, ADMIN_TOKEN, None)
    pictures = {}
    for name, (states, height) in STATE_SHOTS.items():
        frames = [
            f'<figure><figcaption>{state}</figcaption><iframe scrolling="no" srcdoc="{escape(text)}"></iframe></figure>'
            for state in states
            for text in [await html_of(auth1, tenant["secret_key"], state)]
        ]
        async with browser.page() as page:
            await _resize(page, 1200, height + 44)
            style = STATES_PAGE.replace("HEIGHT", str(height)).replace("COLUMNS", str(len(states)))
            await page.show(style + "".join(frames))
            pictures[name] = await _capture(page)
    return pictures


def _address(auth1: Auth1, received: Received, subject: str, logo: bytes) -> str:
    """Return where a browser finds the email, or the page behind its link."""
    if subject == "link":
        return received.link.replace(APP_URL, auth1.url)
    html = re.sub(r'src="https://[^"]+"', f'src="{_data_url("image/png", logo)}"', received.part("html"))
    return _data_url("text/html;charset=utf-8", html.encode())


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def _take_inbox(browser: Chromium, dev: Auth1, logo: bytes) -> bytes:
    """Take a screenshot of the inbox with an SMS and an email."""
    token = re.search(r"export ADMIN_TOKEN=(\S+)", dev.text())
    assert token is not None
    tenant = await _tenant(dev, token[1], logo)
    for body in ({"phone": PHONE}, {"email": EMAIL, "mode": "both"}):
        response = await dev.post("/api/auth/request", body, tenant["api_key"])
        assert response.status_code == 200, response.text
    async with browser.page() as page:
        await _resize(page, 1000, 604)
        await page.open(f"{dev.url}/dev/inbox")
        shown = "document.querySelectorAll('#list li').length >= 2 && !!document.querySelector('#view iframe')"

        async def is_shown() -> bool:
            return bool(await page.evaluate(shown))

        await until(is_shown)
        await asyncio.sleep(1)  # the frame draws its email
        return await _capture(page)


async def _take_terminal(browser: Chromium, dev: Auth1) -> bytes:
    """Take a screenshot of the terminal after a request with the printed key, without the other printed commands."""
    found = re.search(r"auth1_pk_demo_\w+", dev.text())
    assert found is not None
    await dev.ask(PHONE, found[0])
    await until(lambda: "200 POST /api/auth/request" in terminal.plain(dev.text()), explain=dev.text)
    start, _, rest = dev.text().partition("  2. Log in")
    log = rest.partition("Migrations applied")[2].partition("\n")[2]
    shown = f"{start}  ⋮\n\n{log}".replace(f":{dev.port}", ":3000")
    async with browser.page() as page:
        return await _shoot(page, _data_url("text/html", terminal.page(shown).encode()), 860, 692)


async def _tenant(auth1: Auth1, token: str, logo: bytes | None, **settings: object) -> dict[str, Any]:
    """Create a tenant with a logo and settings."""
    body = {"name": "MyApp", "slug": f"t{secrets.token_hex(6)}", "settings": {"sms_branding": "MyApp", **settings}}
    headers = {"authorization": f"Bearer {token}"}
    response = await auth1.client.post("/api/admin/tenants", json=body, headers=headers)
    assert response.status_code == 201, response.text
    tenant: dict[str, Any] = response.json()
    if logo is not None:
        headers = {"x-api-key": tenant["secret_key"], "content-type": "image/png"}
        response = await auth1.client.put("/api/tenant/logo", content=logo, headers=headers)
        assert response.status_code == 200, response.text
    return tenant


async def _logo(browser: Chromium) -> bytes:
    """Draw a logo on a transparent background."""
    async with browser.page() as page:
        await page.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
        return await _shoot(page, _data_url("text/html", LOGO.encode()), 290, 80)


async def _shoot(page: Page, url: str, width: int, height: int) -> bytes:
    await _resize(page, width, height)
    await page.open(url)
    return await _capture(page)


async def _capture(page: Page) -> bytes:
    return base64.b64decode((await page.call("Page.captureScreenshot", format="png"))["data"])


async def _resize(page: Page, width: int, height: int) -> None:
    size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    await page.call("Emulation.setDeviceMetricsOverride", **size)
    await page.call("Emulation.setScrollbarsHidden", hidden=True)


async def _take_all(path: str, directory: Path, postgres: PostgresServer, redis: RedisServer) -> dict[str, bytes]:
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(SmtpServer())
        environment = {
            "DATABASE_URL": postgres.url(),
            "REDIS_URL": redis.url(),
            "JWT_SECRET": JWT_SECRET,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "SMTP_URL": mail.url,
            "EMAIL_FROM": "no-reply@example.com",
            "APP_URL": APP_URL,
        }
        auth1 = await stack.enter_async_context(Auth1(environment, directory / "log"))
        port = str(free_port())
        at_own_address = environment | {"PORT": port, "APP_URL": f"http://127.0.0.1:{port}"}
        pages = await stack.enter_async_context(Auth1(at_own_address, directory / "pages.log"))
        dev = await stack.enter_async_context(terminal.dev_on_terminal({}, directory))
        browser = await stack.enter_async_context(Chromium(path, directory / "profile"))
        database = await asyncpg.connect(postgres.url())
        stack.push_async_callback(database.close)
        return await take(browser, auth1, mail, dev, database, pages)


def main() -> None:
    """Start the servers, take the screenshots, and write them to docs/images."""
    path = chromium.find()
    if path is None:
        sys.exit("Chromium is not installed")
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as servers:
        directory = Path(temporary)
        postgres = servers.enter_context(PostgresServer(directory / "postgres", durable=False))
        redis = servers.enter_context(RedisServer(directory / "redis"))
        pictures = asyncio.run(_take_all(path, directory, postgres, redis))
    IMAGES.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        small = shrink(picture)
        (IMAGES / name).write_bytes(small)
        print(f"docs/images/{name}: {len(small):,} bytes, {len(picture):,} before")


if __name__ == "__main__":
    main()
