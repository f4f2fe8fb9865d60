"""The pages behind a link in each language and colour, and their accessibility."""

from pathlib import Path

import asyncpg
import pytest

from auth1.templates.strings import STRINGS
from tests.browser import screenshots
from tests.browser.accessibility import faults
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER, Site
from tests.browser.terminal import dev_on_terminal

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
PHONE = {"width": 320, "height": 480, "deviceScaleFactor": 1, "mobile": False}


async def heading(page: Page) -> str:
    text: str = await page.evaluate("document.querySelector('h1').innerText")
    return text


@pytest.mark.parametrize("lang", STRINGS)
async def test_pages_are_in_the_language_of_the_message(browser: Chromium, site: Site, lang: str) -> None:
    link, _ = await site.link(locale=f"{lang}-CH")
    words = STRINGS[lang].pages
    brand = "MyApp & Söhne"

    async with browser.page(scripts=False) as page:
        await page.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": f"{lang};q=0.9,tlh"})
        await page.call("Emulation.setDeviceMetricsOverride", **PHONE)
        await page.open(link)
        assert await heading(page) == words.confirm.format(brand=brand)
        assert await page.evaluate("document.querySelector('p').innerText") == words.press
        assert await page.evaluate("document.documentElement.lang") == lang
        assert await faults(page) == []

        await page.press_tab_and_enter()
        assert await heading(page) == words.confirmed_title
        assert ("status", "") in await page.roles()
        assert await page.evaluate("document.documentElement.lang") == lang
        assert await faults(page) == []

        await page.open(link)
        assert await heading(page) == words.expired_title
        assert await page.evaluate("document.documentElement.lang") == lang
        assert await faults(page) == []
        assert [text for text in page.complaints if "400" not in text] == [], "nothing but that it is no page of use"


@pytest.mark.parametrize("dark", [False, True])
async def test_every_brand_colour_is_readable_in_light_and_dark_mode(browser: Chromium, site: Site, dark: bool) -> None:
    async with browser.page(dark=dark) as page:
        for color in ("#ffffff", "#000000", "#ffee00", "#777777", "#1f2937", None):
            await site.retell(brand_color=color)
            link, _ = await site.link()
            await page.open(link)

            assert await faults(page) == []
            assert page.complaints == [], "its style sheet is let through"
            style = "getComputedStyle(document.querySelector('button'))"
            assert await page.evaluate(f"{style}.borderColor == {style}.color")
            shown = await page.evaluate(f"{style}.backgroundColor")
            assert shown == f"rgb({', '.join(str(part) for part in bytes.fromhex((color or '#1d4ed8')[1:]))})"


async def test_focus_is_visible(browser: Chromium, site: Site) -> None:
    link, _ = await site.link()

    async with browser.page() as page:
        await page.open(link)
        tab = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        await page.call("Input.dispatchKeyEvent", type="keyDown", **tab)

        assert await page.evaluate("document.activeElement.localName") == "button"
        outline = await page.evaluate("getComputedStyle(document.activeElement).outline")
        assert "solid" in outline
        assert "0px" not in outline


async def test_accessibility_check_finds_known_faults(browser: Chromium) -> None:
    async with browser.page() as page:
        await page.open(
            "data:text/html,<meta name=viewport content='user-scalable=no'><h2 style='color:gray'>A</h2><h4>B</h4>"
            "<button style='width:9px;height:9px;padding:0'></button><img><a href=x tabindex=3>C</a>"
            "<div style='width:4000px'>D</div>"
        )

        found = {fault.partition(":")[0] for fault in await faults(page)}

    assert found == {*"3.1.1 2.4.2 1.4.4 1.3.1 4.1.2 1.1.1 2.4.3 1.4.3 2.5.8 1.4.10".split()}


async def test_screenshots_of_the_docs_can_be_taken(
    browser: Chromium, site: Site, tmp_path: Path, environment: dict[str, str]
) -> None:
    database = await asyncpg.connect(environment["DATABASE_URL"])
    async with dev_on_terminal({}, tmp_path) as dev:
        pictures = await screenshots.take(browser, site.auth1, site.mail, dev, database)
    await database.close()

    assert set(pictures) == {file.name for file in screenshots.IMAGES.glob("*.png")}
    for name, picture in pictures.items():
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        stored = (screenshots.IMAGES / name).read_bytes()
        assert picture[16:24] == stored[16:24], "of the same width and height"
