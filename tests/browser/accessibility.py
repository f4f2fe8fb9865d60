"""Accessibility checks of a rendered page: the basics of WCAG 2.2.

They use the rendered page, so that style sheets are included.
"""

import itertools
import re

from auth1.templates.colors import contrast
from tests.browser.chromium import Page

# Every element that has text of its own, with its colours; the ground is that of the nearest one that has a ground.
_TEXTS = """
[...document.body.querySelectorAll('*')].filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()))
  .map(e => {
    let ground = e;
    while (ground && getComputedStyle(ground).backgroundColor == 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
    const style = getComputedStyle(e);
    return [e.localName, style.color, ground ? getComputedStyle(ground).backgroundColor : 'rgb(255, 255, 255)'];
  })
"""
_CONTROLS = """
[...document.querySelectorAll('a[href], button, input, select, textarea')].filter(e => e.checkVisibility()).map(e => {
  const box = e.getBoundingClientRect();
  return [e.localName, box.width, box.height];
})
"""


async def faults(page: Page) -> list[str]:
    """Return the accessibility faults of a page."""
    found = [
        *await _of_its_head(page),
        *await _of_its_headings(page),
        *await _of_its_names(page),
    ]
    return [fault for fault in found if fault] + await visual_faults(page)


async def visual_faults(page: Page) -> list[str]:
    """Return the faults that depend on the colour scheme and the width."""
    return [fault for fault in [*await _of_its_colours(page), *await _of_its_size(page)] if fault]


async def _of_its_head(page: Page) -> list[str]:
    lang = await page.evaluate("document.documentElement.lang")
    viewport = await page.evaluate("document.querySelector('meta[name=viewport]')?.content ?? ''")
    return [
        "" if re.fullmatch(r"[a-z]{2,3}(-\w+)*", lang or "") else "3.1.1: no language",
        "" if await page.evaluate("document.title.trim()") else "2.4.2: no title",
        "1.4.4: cannot be zoomed" if re.search("user-scalable=no|maximum-scale", viewport) else "",
    ]


async def _of_its_headings(page: Page) -> list[str]:
    levels = await page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.localName[1])")
    skips = [after for before, after in itertools.pairwise(levels) if after > before + 1]
    mains = await page.evaluate("document.querySelectorAll('main,[role=main]').length")
    return [
        "" if levels[:1] == [1] and levels.count(1) == 1 else f"1.3.1: headings {levels}",
        f"1.3.1: heading of level {skips[0]} after none above it" if skips else "",
        "" if mains == 1 else f"1.3.1: {mains} main parts",
    ]


async def _of_its_names(page: Page) -> list[str]:
    roles = await page.roles()
    nameless = [role for role, name in roles if role in ("button", "link", "textbox", "heading") and not name.strip()]
    pictures = await page.evaluate("document.querySelectorAll('img:not([alt])').length")
    orders = await page.evaluate("[...document.querySelectorAll('[tabindex]')].filter(e => e.tabIndex > 0).length")
    return [
        f"4.1.2: without a name: {nameless}" if nameless else "",
        "1.1.1: a picture without words" if pictures else "",
        "2.4.3: an order of its own by the Tab key" if orders else "",
    ]


async def _of_its_colours(page: Page) -> list[str]:
    return [
        f"1.4.3: {element} {letters} on {ground}"
        for element, letters, ground in await page.evaluate(_TEXTS)
        if contrast(_hex(letters), _hex(ground)) < 4.5
    ]


async def _of_its_size(page: Page) -> list[str]:
    small = [name for name, width, height in await page.evaluate(_CONTROLS) if width < 24 or height < 24]
    wide = await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return [f"2.5.8: too small to hit: {small}" if small else "", "1.4.10: wider than its window" if wide else ""]


def _hex(color: str) -> str:
    """Convert `rgb(r, g, b)` to `#rrggbb`."""
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", color)[:3])
