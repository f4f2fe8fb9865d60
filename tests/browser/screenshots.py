"""Screenshots for the docs, taken of the real application: `just screenshots`."""

import asyncio
import base64
import secrets
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.browser import chromium
from tests.browser.chromium import Chromium, Page
from tests.conftest import JWT_SECRET
from tests.support.api_client import ADMIN_TOKEN
from tests.support.process import Auth1
from tests.support.providers.smtp import Received, SmtpServer

IMAGES = Path(__file__).parents[2] / "docs" / "images"
APP_URL = "https://auth.example.com"


class Shot(NamedTuple):
    """One screenshot: its subject, the viewport, and the tenant's look."""

    subject: str  # "email" or "link"
    mode: str
    width: int
    height: int
    dark: bool = False
    locale: str = "en"
    color: str | None = None


SHOTS = {
    "link-page.png": Shot("link", "link", 720, 340),
    "link-page-dark.png": Shot("link", "link", 720, 340, dark=True, locale="de", color="#facc15"),
    "link-page-phone.png": Shot("link", "link", 320, 480, locale="es", color="#0f766e"),
    "email.png": Shot("email", "both", 720, 680),
    "email-dark.png": Shot("email", "both", 720, 680, dark=True, color="#facc15"),
    "email-phone.png": Shot("email", "code", 320, 480, locale="fr"),
}


async def take(browser: Chromium, auth1: Auth1, mail: SmtpServer) -> dict[str, bytes]:
    """Take all screenshots: PNG by name."""
    pictures = {}
    for name, shot in SHOTS.items():
        received = await _mail(auth1, mail, shot)
        if shot.subject == "link":
            url = received.link.replace(APP_URL, auth1.url)
        else:
            text = base64.b64encode(received.part("html").encode()).decode()
            url = f"data:text/html;charset=utf-8;base64,{text}"
        async with browser.page(dark=shot.dark) as page:
            pictures[name] = await _shoot(page, url, shot.width, shot.height)
    return pictures


async def _mail(auth1: Auth1, mail: SmtpServer, shot: Shot) -> Received:
    settings = {"sms_branding": "MyApp", "brand_color": shot.color}
    body = {"name": "MyApp", "slug": f"t{secrets.token_hex(6)}", "settings": settings}
    tenant = (await auth1.operator("POST", "/api/admin/tenants", body)).json()
    email = f"{secrets.token_hex(6)}@example.com"
    request = {"email": email, "mode": shot.mode, "locale": shot.locale}
    response = await auth1.post("/api/auth/request", request, tenant["api_key"])
    assert response.status_code == 200, response.text
    return mail.newest(email)


async def _shoot(page: Page, url: str, width: int, height: int) -> bytes:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    await page.call("Emulation.setDeviceMetricsOverride", **size)
    await page.open(url)
    return base64.b64decode((await page.call("Page.captureScreenshot", format="png"))["data"])


async def _take_all(path: str, directory: Path, database_url: str, redis_url: str) -> dict[str, bytes]:
    async with SmtpServer() as mail:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "JWT_SECRET": JWT_SECRET,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "SMTP_URL": mail.url,
            "EMAIL_FROM": "no-reply@example.com",
            "APP_URL": APP_URL,
        }
        async with Auth1(environment, directory / "log") as auth1, Chromium(path, directory / "profile") as browser:
            return await take(browser, auth1, mail)


def main() -> None:
    """Start the servers, take the screenshots, and write them to docs/images."""
    path = chromium.find()
    if path is None:
        sys.exit("Chromium is not installed")
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as servers:
        directory = Path(temporary)
        postgres = servers.enter_context(PostgresServer(directory / "postgres", durable=False))
        redis = servers.enter_context(RedisServer(directory / "redis"))
        pictures = asyncio.run(_take_all(path, directory, postgres.url(), redis.url()))
    IMAGES.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (IMAGES / name).write_bytes(picture)
        print(f"docs/images/{name}: {len(picture):,} bytes")


if __name__ == "__main__":
    main()
