"""The HTML of the pages behind a link. `style` is the content of the style element."""

from typing import NamedTuple

from markupsafe import Markup

from auth1.templates import html
from auth1.templates.locales import direction
from auth1.templates.strings import STRINGS, PageStrings


class RequestOrigin(NamedTuple):
    """The device and the network of the request that a link belongs to, as far as they are known."""

    device: str | None = None
    network: str | None = None


class WayBack(NamedTuple):
    """The application that a page leads back to. `url` is None where no address is known."""

    brand: str
    url: str | None = None


def render_confirm(lang: str, style: str, brand: str, origin: RequestOrigin | None = None) -> str:
    """Render the page that shows what a link is for, with a button to confirm it."""
    strings = STRINGS[lang].pages
    title = _with_brand(lang, strings.confirm, brand)
    known = [] if origin is None else [(strings.device, origin.device), (strings.network, origin.network)]
    return html.LINK_CONFIRM.render(
        lang=lang,
        dir=direction(lang),
        title=title,
        style=Markup(style),  # noqa: S704 - a style sheet of ours
        strings=strings,
        origin=[(label, value) for label, value in known if value],
    )


def render_confirmed(lang: str, style: str, back: WayBack) -> str:
    """Render the page after a confirmation, which sends the user back to the original tab."""
    strings = STRINGS[lang].pages
    return _status(lang, style, strings.confirmed_title, strings.confirmed, back)


def render_expired(lang: str, style: str, back: WayBack | None = None) -> str:
    """Render the page of a link that is unknown, used or expired."""
    strings = STRINGS[lang].pages
    return _status(lang, style, strings.expired_title, strings.expired, back)


def _status(lang: str, style: str, title: str, text: str, back: WayBack | None) -> str:
    strings: PageStrings = STRINGS[lang].pages
    return html.LINK_STATUS.render(
        lang=lang,
        dir=direction(lang),
        title=title,
        style=Markup(style),  # noqa: S704 - a style sheet of ours
        text=text,
        brand=None if back is None else back.brand,
        return_url=None if back is None else back.url,
        open=None if back is None else _with_brand(lang, strings.open, back.brand),
    )


def _with_brand(lang: str, text: str, brand: str) -> str:
    return STRINGS[lang].template(text, 1).render(brand=brand, code="", minutes=1)
