"""The pictures of the docs, taken of the real application: `just screenshots`."""

import asyncio
import base64
import secrets
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.browser import chromium
from tests.browser.chromium import Chromium, Page
from tests.conftest import ADMIN_TOKEN, JWT_SECRET
from tests.faults.process import Auth1
from tests.outside.smtp import Received, SmtpServer

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NAMES = ("link-page.png", "link-page-dark.png", "email.png")
APP_URL = "https://auth.example.com"


async def take(browser: Chromium, auth1: Auth1, mail: SmtpServer) -> dict[str, bytes]:
    """Take all pictures: PNG by name."""
    pictures = {}
    for name, dark, locale, color in ((NAMES[0], False, "en", None), (NAMES[1], True, "de", "#facc15")):
        received = await _mail(auth1, mail, mode="link", locale=locale, brand_color=color)
        async with browser.page(dark=dark) as page:
            pictures[name] = await _shoot(page, received.link.replace(APP_URL, auth1.url), 720, 340)
    received = await _mail(auth1, mail, mode="both", locale="en", brand_color=None)
    text = base64.b64encode(received.part("html").encode()).decode()
    async with browser.page() as page:
        pictures[NAMES[2]] = await _shoot(page, f"data:text/html;charset=utf-8;base64,{text}", 720, 520)
    return pictures


async def _mail(auth1: Auth1, mail: SmtpServer, *, mode: str, locale: str, brand_color: str | None) -> Received:
    settings = {"sms_branding": "MyApp", "brand_color": brand_color}
    body = {"name": "MyApp", "slug": f"t{secrets.token_hex(6)}", "settings": settings}
    tenant = (await auth1.operator("POST", "/api/admin/tenants", body)).json()
    email = f"{secrets.token_hex(6)}@example.com"
    asked = await auth1.post("/api/auth/request", {"email": email, "mode": mode, "locale": locale}, tenant["api_key"])
    assert asked.status_code == 200, asked.text
    return mail.newest(email)


async def _shoot(page: Page, url: str, width: int, height: int) -> bytes:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    await page.call("Emulation.setDeviceMetricsOverride", **size)
    await page.open(url)
    return base64.b64decode((await page.call("Page.captureScreenshot", format="png"))["data"])


async def _take_anew(path: str, here: Path, database_url: str, redis_url: str) -> dict[str, bytes]:
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
        async with Auth1(environment, here / "log") as auth1, Chromium(path, here / "profile") as browser:
            return await take(browser, auth1, mail)


def main() -> None:
    """Start all that is needed, and take the pictures of the docs."""
    path = chromium.find()
    if path is None:
        sys.exit("no Chromium is installed here")
    with tempfile.TemporaryDirectory() as place, ExitStack() as servers:
        here = Path(place)
        postgres = servers.enter_context(PostgresServer(here / "postgres", durable=False))
        redis = servers.enter_context(RedisServer(here / "redis"))
        pictures = asyncio.run(_take_anew(path, here, postgres.url(), redis.url()))
    IMAGES.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (IMAGES / name).write_bytes(picture)
        print(f"docs/images/{name}: {len(picture):,} bytes")


if __name__ == "__main__":
    main()
