"""Each state of the pages of the login: axe, light and dark, both directions, 320 pixels, 400 % zoom, large text."""

import pytest

from tests.browser import accessibility, axe
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER, Site
from tests.browser.login_states import STATES, html_of

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
LOOK = {
    "terms_url": "https://example.com/terms",
    "privacy_url": "https://example.com/privacy",
    "background_color": "#facc15",
    "dark_color": "#facc15",
    "texts": {"de": {"footer": "Fragen? Schreiben Sie an die Donaudampfschifffahrtsgesellschaft@example.com."}},
}
ZOOMED = {"width": 320, "height": 256, "deviceScaleFactor": 4, "mobile": False}  # 1280 by 1024 at 400 %
# Every control is reached by the Tab key, in the order of the page.
UNREACHED = """
[...document.querySelectorAll('a, button, input:not([type=hidden])')]
  .filter(e => e.checkVisibility() && e.tabIndex != 0).map(e => e.outerHTML)
"""


async def check(page: Page, script: str) -> list[str]:
    """Return the faults of a page as it is shown now."""
    unreached = await page.evaluate(UNREACHED)
    return [*await axe.violations(page, script), *await accessibility.faults(page), *unreached]


async def pages_of(site: Site) -> dict[str, str]:
    """Return the HTML of each state, and of an error."""
    key, settings = site.tenant["secret_key"], {"login_page": LOOK}
    states = {state: await html_of(site.auth1, key, state, locale="de", settings=settings) for state in STATES}
    unknown = f"/t/{site.tenant['slug']}/authorize?client_id=unknown"
    error = await site.auth1.client.get(unknown, headers={"accept-language": "de"})
    assert error.status_code == 400
    return states | {"error": error.text}


async def test_every_state_is_accessible(browser: Chromium, site: Site) -> None:
    script, found = axe.source(), {}
    async with browser.page() as page:
        for state, text in (await pages_of(site)).items():
            await page.show(text)
            await page.set_scheme(dark=False)
            await page.set_width(320, mobile=True)
            faults = await check(page, script)
            await page.set_scheme(dark=True)
            await page.call("Emulation.setDeviceMetricsOverride", **ZOOMED)
            await page.evaluate("document.documentElement.dir = 'rtl'")
            faults += await check(page, script)
            if faults:
                found[state] = faults

    assert found == {}


async def test_axe_finds_a_known_fault(browser: Chromium) -> None:
    async with browser.page() as page:
        await page.show("<!doctype html><html lang=en><title>A</title><main><h1>A</h1><input></main>")

        assert await axe.violations(page, axe.source()) == ["label: input"]
