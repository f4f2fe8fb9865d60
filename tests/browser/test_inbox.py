"""The inbox in a real browser: it updates by itself, follows its policy and is accessible."""

import asyncio
import time

import pytest

from tests.browser import accessibility, chromium
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER
from tests.inbox.conftest import Dev, dev

__all__ = ["dev"]
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


async def until(page: Page, expression: str) -> None:
    deadline = time.monotonic() + chromium.ANSWER_S
    while not await page.evaluate(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("dark", [False, True])
async def test_messages_appear_without_a_reload(browser: Chromium, dev: Dev, dark: bool) -> None:
    async with browser.page(dark=dark) as page:
        await page.open(f"{dev.server.url}/dev/inbox")
        await dev.request(phone="+15551234567" if dark else "+15557654321")
        await until(page, "/code is: \\d{6}/.test(document.querySelector('#view .sms')?.textContent)")
        assert (await page.evaluate("document.querySelector('#view button').textContent")).startswith("Copy code ")

        await dev.request(email=f"{dark}@example.com".lower(), mode="both")
        await until(page, "!!document.querySelector('#view iframe')")
        assert await page.evaluate("document.querySelector('#view h2').textContent.length > 5")
        assert [fault for fault in await accessibility.faults(page) if not fault.startswith("2.5.8")] == []
        assert page.complaints == []
        assert {request.split("/")[2] for request in page.requests if request.startswith("GET http")} == {
            f"127.0.0.1:{dev.server.port}"
        }


@pytest.mark.parametrize("width", [360, 1200])
async def test_inbox_fits_every_screen(browser: Chromium, dev: Dev, width: int) -> None:
    await dev.request(email=f"w{width}@example.com", mode="both")
    async with browser.page() as page:
        await page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        await page.open(f"{dev.server.url}/dev/inbox")
        await until(page, "!!document.querySelector('#view iframe')")

        assert await page.evaluate("document.documentElement.scrollWidth") <= width
