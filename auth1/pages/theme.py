"""The theme of a page: its language, the tenant's colour, and the style sheet made of them."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from auth1.core.crypto import content_hash
from auth1.templates import locales
from auth1.templates.colors import button_colors
from auth1.templates.schemas import Branding, LoginPage
from auth1.templates.strings import STRINGS

_LIGHT = (
    "--text:#111827;--muted:#4b5563;--card:#ffffff;--background:#f3f4f6;--border:#e5e7eb;--field:#6b7280;"
    "--error:#b42318"
)
_DARK = (
    "--text:#f9fafb;--muted:#d1d5db;--card:#1f2937;--background:#111827;--border:#374151;--field:#9ca3af;"
    "--error:#fda29b"
)
DEFAULT_RADIUS = 8
_RULES = Path(__file__).with_name("page.css").read_text()


class Stylesheet(NamedTuple):
    """The content of a style element, and its hash for a Content-Security-Policy."""

    text: str
    sha256: str


class Theme(NamedTuple):
    """A language with built-in strings, the colour of buttons, the path of a logo, and the rest of the look."""

    lang: str
    color: str | None = None
    logo_url: str | None = None
    page: LoginPage = LoginPage()

    @property
    def stylesheet(self) -> Stylesheet:
        page = self.page
        return stylesheet(self.color, page.dark_color, page.background_color, page.corner_radius)


def tenant_theme(branding: Branding, locale: str | None) -> Theme:
    """Return the theme of a tenant's page, in the language of its message."""
    lang = locales.find(STRINGS, locale, branding.default_locale)
    return Theme(lang, branding.color, branding.logo_url, branding.login_page)


def default_theme(accept_language: str) -> Theme:
    """Return the theme of a page without a tenant, in a language that the browser accepts."""
    return Theme(locales.find(STRINGS, *locales.parse_accept_language(accept_language)))


@lru_cache(maxsize=256)
def stylesheet(
    color: str | None, dark_color: str | None = None, background: str | None = None, radius: int = DEFAULT_RADIUS
) -> Stylesheet:
    """Return the style sheet of pages, with buttons in a colour and corners of a radius in pixels."""
    light = f"{_LIGHT};{_button(color)};--ground:{background or 'var(--background)'};--radius:{radius}px"
    dark = f"{_DARK};{_button(dark_color or color)};--ground:var(--background)"
    text = f":root{{color-scheme:light dark;{light}}}\n@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_RULES}"
    return Stylesheet(text, content_hash(text))


def _button(color: str | None) -> str:
    button = button_colors(color)
    return f"--button:{button.background};--button-text:{button.text}"
