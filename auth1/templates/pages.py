"""The HTML of the pages behind a link. `style` is the content of the style element."""

from typing import NamedTuple

from markupsafe import Markup

from auth1.templates import html
from auth1.templates.locales import direction
from auth1.templates.strings import STRINGS, PageStrings


class Look(NamedTuple):
    """The look of a page: language, content of the style element, and the path of a logo."""

    lang: str
    style: str
    logo_url: str | None = None


class RequestOrigin(NamedTuple):
    """The device and the network of the request that a link belongs to, as far as they are known."""

    device: str | None = None
    network: str | None = None


class WayBack(NamedTuple):
    """The application that a page leads back to. `url` is None where no address is known."""

    brand: str
    url: str | None = None


def render_confirm(look: Look, brand: str, origin: RequestOrigin | None = None) -> str:
    """Render the page that shows what a link is for, with a button to confirm it."""
    strings = STRINGS[look.lang].pages
    title = _with_brand(look.lang, strings.confirm, brand)
    known = [] if origin is None else [(strings.device, origin.device), (strings.network, origin.network)]
    return html.LINK_CONFIRM.render(
        lang=look.lang,
        dir=direction(look.lang),
        title=title,
        style=Markup(look.style),  # noqa: S704 - a style sheet of ours
        logo_url=look.logo_url,
        logo_alt="",  # the heading has the name
        strings=strings,
        origin=[(label, value) for label, value in known if value],
    )


def render_confirmed(look: Look, back: WayBack) -> str:
    """Render the page after a confirmation, which sends the user back to the original tab."""
    strings = STRINGS[look.lang].pages
    return _status(look, strings.confirmed_title, strings.confirmed, back)


def render_expired(look: Look, back: WayBack | None = None) -> str:
    """Render the page of a link that is unknown, used or expired."""
    strings = STRINGS[look.lang].pages
    return _status(look, strings.expired_title, strings.expired, back)


def render_message(look: Look, title: str, text: str, detail: str | None = None) -> str:
    """Render a page with a heading and a sentence. `detail` is in English, for developers."""
    return _status(look, title, text, None, detail)


def _status(look: Look, title: str, text: str, back: WayBack | None, detail: str | None = None) -> str:
    strings: PageStrings = STRINGS[look.lang].pages
    return html.LINK_STATUS.render(
        lang=look.lang,
        dir=direction(look.lang),
        title=title,
        style=Markup(look.style),  # noqa: S704 - a style sheet of ours
        logo_url=look.logo_url if back is not None else None,
        logo_alt="" if back is None else back.brand,
        text=text,
        detail=detail,
        brand=None if back is None else back.brand,
        return_url=None if back is None else back.url,
        open=None if back is None else _with_brand(look.lang, strings.open, back.brand),
    )


def _with_brand(lang: str, text: str, brand: str) -> str:
    return STRINGS[lang].template(text, 1).render(brand=brand, code="", minutes=1)
