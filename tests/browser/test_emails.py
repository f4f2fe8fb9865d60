"""Emails as a mail program shows them: light and dark, on a phone and on a desktop."""

import pytest

from auth1.templates.email import render_email
from auth1.templates.notices import render_notice
from auth1.templates.schemas import Branding
from auth1.templates.strings import STRINGS
from tests.browser.accessibility import faults, visual_faults
from tests.browser.chromium import Chromium
from tests.browser.conftest import BROWSER

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
LINK = "https://auth.example.com/api/auth/link/" + "x" * 43


def emails(branding: Branding, lang: str) -> list[str]:
    """Render the HTML of each kind of email, with the longest code."""
    code = "4829130000"
    contents = [
        render_email(branding, lang, code=code, link=None, expires_in=600)[1],
        render_email(branding, lang, code=None, link=LINK, expires_in=600)[1],
        render_email(branding, lang, code=code, link=LINK, expires_in=600)[1],
        render_email(branding, lang, code=code, link=None, expires_in=600, purpose="add")[1],
        render_notice(branding, lang, "email_changed", "email")[1],
    ]
    return [content.html for content in contents if content is not None]


@pytest.mark.parametrize("color", [None, "#ffffff", "#000000", "#777777"])
async def test_email_is_accessible_in_every_colour_scheme_and_width(browser: Chromium, color: str | None) -> None:
    async with browser.page() as page:
        for html in emails(Branding("A brand of thirty characters.", color=color), "de"):
            await page.show(html)
            assert await faults(page) == []
            for dark in (False, True):
                await page.set_scheme(dark=dark)
                for width in (320, 720):
                    await page.set_width(width)
                    assert await visual_faults(page) == [], f"dark: {dark}, width: {width}"


@pytest.mark.parametrize("lang", sorted(STRINGS))
async def test_email_fits_a_phone_in_every_language(browser: Chromium, lang: str) -> None:
    async with browser.page() as page:
        await page.set_width(320)
        for html in emails(Branding("A brand of thirty characters."), lang):
            await page.show(html)
            assert await page.evaluate("document.compatMode") == "CSS1Compat"
            assert await faults(page) == []
        assert page.requests == []


async def test_code_is_the_first_and_largest_text_after_the_heading(browser: Chromium) -> None:
    _, _, both, _, _ = emails(Branding("MyApp"), "en")
    async with browser.page() as page:
        await page.set_width(320)
        await page.show(both)

        sizes = await page.evaluate(
            "[...document.querySelectorAll('h1,p,a')].map(e => [parseFloat(getComputedStyle(e).fontSize), e.innerText])"
        )
        height = await page.evaluate("document.querySelector('.code').getBoundingClientRect().bottom")
        lines = await page.evaluate("document.querySelector('.code').getClientRects().length")

    assert max(sizes)[1] == "4829130000"
    assert [text for _, text in sizes][:3] == ["MyApp", "Enter this code to sign in to MyApp:", "4829130000"]
    assert height < 320
    assert lines == 1


async def test_dark_mode_changes_the_card(browser: Chromium) -> None:
    background = "getComputedStyle(document.querySelector('.card')).backgroundColor"
    async with browser.page() as page:
        await page.show(emails(Branding("MyApp"), "en")[0])
        light = await page.evaluate(background)
        await page.set_scheme(dark=True)

        assert [light, await page.evaluate(background)] == ["rgb(255, 255, 255)", "rgb(31, 41, 55)"]
