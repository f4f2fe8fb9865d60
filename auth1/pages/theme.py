"""The theme of a page: its language, the tenant's colour, and the style sheet made of them."""

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from auth1.templates import locales
from auth1.templates.colors import button_colors
from auth1.templates.schemas import Branding
from auth1.templates.strings import STRINGS

_LIGHT = (
    "--text:#111827;--muted:#4b5563;--card:#ffffff;--background:#f3f4f6;--border:#e5e7eb;--field:#6b7280;"
    "--error:#b42318"
)
_DARK = (
    "--text:#f9fafb;--muted:#d1d5db;--card:#1f2937;--background:#111827;--border:#374151;--field:#9ca3af;"
    "--error:#fda29b"
)
_RULES = Path(__file__).with_name("page.css").read_text()


class Stylesheet(NamedTuple):
    """The content of a style element, and its hash for a Content-Security-Policy."""

    text: str
    sha256: str


class Theme(NamedTuple):
    """A language with built-in strings, the colour of buttons, and the path of a logo."""

    lang: str
    color: str | None = None
    logo_url: str | None = None

    @property
    def stylesheet(self) -> Stylesheet:
        return stylesheet(self.color)


def tenant_theme(branding: Branding, locale: str | None) -> Theme:
    """Return the theme of a tenant's page, in the language of its message."""
    return Theme(locales.find(STRINGS, locale, branding.default_locale), branding.color, branding.logo_url)


def default_theme(accept_language: str) -> Theme:
    """Return the theme of a page without a tenant, in a language that the browser accepts."""
    return Theme(locales.find(STRINGS, *locales.parse_accept_language(accept_language)))


@lru_cache(maxsize=256)
def stylesheet(color: str | None) -> Stylesheet:
    """Return the style sheet of pages, with buttons in a colour."""
    button = button_colors(color)
    text = (
        f":root{{color-scheme:light dark;{_LIGHT};--button:{button.background};--button-text:{button.text}}}\n"
        f"@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}\n{_RULES}"
    )
    return Stylesheet(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
