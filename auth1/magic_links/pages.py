"""The pages behind a link, as responses: plain HTML that loads only the tenant's logo and needs no script.

Anyone with a link can open them. They name the tenant, and never contain the link or the email address.
"""

from auth1.core.http.request import Response
from auth1.pages.theme import Theme
from auth1.templates import pages
from auth1.templates.pages import Look, RequestOrigin, WayBack

_HTML = b"text/html; charset=utf-8"


def confirm_page(theme: Theme, brand: str, origin: RequestOrigin | None = None) -> Response:
    """Return the page with the button to sign in. Programs that open links do not press it.

    `origin` is the device and network of the request that the link belongs to, where they are known.
    """
    return _page(pages.render_confirm(_look(theme), brand, origin))


def confirmed_page(theme: Theme, back: WayBack) -> Response:
    """Return the page after a confirmation."""
    return _page(pages.render_confirmed(_look(theme), back))


def expired_page(theme: Theme, back: WayBack | None = None) -> Response:
    """Return the page of a link that cannot be used. Its text is the same for every reason."""
    return _page(pages.render_expired(_look(theme), back), status=400)


def _look(theme: Theme) -> Look:
    return Look(theme.lang, theme.stylesheet.text, theme.logo_url)


def _page(text: str, status: int = 200) -> Response:
    return Response(text.encode(), status, _HTML)
