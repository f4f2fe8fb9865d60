"""The pages behind a link: plain HTML that loads nothing and needs no script.

They are shown to whoever holds the link, so they name the tenant and nobody else, and never the link itself.
"""

import base64
import hashlib
import html
from typing import NamedTuple
from urllib.parse import urlsplit

from auth1.challenges.page_words import PAGE_WORDS, PageWords
from auth1.core.http.request import Answer
from auth1.messaging import colors, locales
from auth1.tenants.settings import TenantSettings

_HTML = b"text/html; charset=utf-8"
_STYLE = """\
:root{color-scheme:light dark;--ink:#1f2937;--paper:#ffffff;--ground:#f3f4f6;--act:ACT;--on-act:ON-ACT}
@media(prefers-color-scheme:dark){:root{--ink:#f3f4f6;--paper:#1f2937;--ground:#111827}}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);color:var(--ink);\
font:1.0625rem/1.5 system-ui,sans-serif}
main{box-sizing:border-box;width:min(100%,26rem);padding:2rem;background:var(--paper);border-radius:.75rem;\
overflow-wrap:anywhere}
h1{margin:0 0 .75rem;font-size:1.375rem;line-height:1.3}
button{width:100%;margin-top:.5rem;padding:.75rem 1rem;border:1px solid;border-radius:.5rem;\
background:var(--act);color:var(--on-act);font:inherit;font-weight:600;cursor:pointer;overflow-wrap:anywhere}
button:focus-visible{outline:3px solid var(--ink);outline-offset:3px}"""
_PAGE = """\
<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
# The form posts to the page's own address, which thus need not be written into it.
_CONFIRM = """\
<p>{press}</p>
<form method="post"><button>{confirm}</button></form>"""
_STATUS = """\
<p role="status">{text}</p>"""


class Look(NamedTuple):
    """How a page looks and speaks: a language that is built in, and the colour of its button."""

    lang: str
    color: str | None = None

    @property
    def words(self) -> PageWords:
        return PAGE_WORDS[self.lang]


def look(settings: TenantSettings, locale: str | None) -> Look:
    """The look of a tenant's page, in the language of its message."""
    return Look(locales.find(PAGE_WORDS, locale, settings.default_locale), settings.brand_color)


def strangers_look(accept_language: str) -> Look:
    """The look of a page of which nobody knows whose it is, in a language that the browser asks for."""
    return Look(locales.find(PAGE_WORDS, *locales.accepted(accept_language)))


def confirm(look: Look, brand: str) -> Answer:
    """Ask the person to press a button: whatever opens links by itself does not press it."""
    title = look.words.confirm.format(brand=brand)
    return _page(look, title, _CONFIRM.format(press=html.escape(look.words.press), confirm=html.escape(title)))


def confirmed(look: Look) -> Answer:
    """Send the person back to the tab that asked."""
    return _page(look, look.words.confirmed, _STATUS.format(text=html.escape(look.words.go_back)))


def dead(look: Look) -> Answer:
    """One page for every link that is not open, so that nobody learns why."""
    return _page(look, look.words.dead, _STATUS.format(text=html.escape(look.words.ask_again)), status=400)


def headers(look: Look, redirect_to: str | None = None) -> list[tuple[bytes, bytes]]:
    """Headers of a page. Browsers hold the form's redirect to form-action, too, so it names where that leads."""
    form_action = "'self'"
    if redirect_to is not None:
        parts = urlsplit(redirect_to)
        form_action += f" {parts.scheme}://{parts.netloc}"
    digest = base64.b64encode(hashlib.sha256(_style(look.color).encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return [(b"content-security-policy", policy.encode()), (b"referrer-policy", b"no-referrer")]


def _style(color: str | None) -> str:
    button = colors.button(color)
    return _STYLE.replace("ON-ACT", button.letters).replace("ACT", button.ground)


def _page(look: Look, title: str, body: str, status: int = 200) -> Answer:
    text = _PAGE.format(lang=look.lang, title=html.escape(title), style=_style(look.color), body=body)
    return Answer(text.encode(), status, _HTML)
