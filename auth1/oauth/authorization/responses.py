"""Redirect a browser: to a page of ours, or to an application with its response."""

from typing import Any
from urllib.parse import parse_qsl

from auth1.core.http.request import Request, Response
from auth1.errors import BadRequest
from auth1.oauth.authorization.codes import AuthorizationResponse
from auth1.oauth.issuers import Issuer
from auth1.pages.errors import HTML
from auth1.pages.headers import form_page_headers
from auth1.pages.script import SCRIPT
from auth1.pages.theme import Theme, tenant_theme
from auth1.templates import html, locales
from auth1.templates.login_pages import Frame, render_login
from auth1.templates.pages import Look
from auth1.templates.strings import STRINGS

MAX_LOCALES = 10  # of ui_locales that are read
_NO_STORE = (b"cache-control", b"no-store")


def query_pairs(request: Request[Any]) -> list[tuple[str, str]]:
    """Return the parameters of the query, in their order. Raises BadRequest."""
    try:
        return parse_qsl(request.query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise BadRequest("The query is not valid UTF-8.", by_application=True) from None


def page_theme(request: Request[Issuer], ui_locales: str = "") -> Theme:
    """Return the look of a page of the tenant, in a language of `ui_locales`, or one that the browser accepts."""
    settings = request.caller.tenant.settings
    branding = settings.branding(request.caller.tenant.name)
    header = b",".join(request.values(b"accept-language")).decode("latin-1")
    named = [tag for tag in map(locales.parse_hint, ui_locales.split()[:MAX_LOCALES]) if tag is not None]
    language = locales.find(STRINGS, *named, *locales.parse_accept_language(header), settings.default_locale)
    return tenant_theme(branding, language)


def page_frame(request: Request[Issuer], theme: Theme, token: str = "") -> Frame:
    """Return the frame of a page of the tenant."""
    look = Look(theme.lang, theme.stylesheet.text, theme.logo_url)
    tenant = request.caller.tenant
    return Frame(look, tenant.settings.branding(tenant.name).name, SCRIPT.text, token)


def leave(request: Request[Issuer], response: AuthorizationResponse) -> Response:
    """Return a redirect to an application, or a page that posts the response to it."""
    if response.mode == "query":
        return redirect(request, response.location())
    theme = page_theme(request)
    request.headers += form_page_headers(theme, posts_elsewhere=True)
    frame = page_frame(request, theme)
    title = STRINGS[theme.lang].login.fill("leaving", client=frame.brand)
    page = render_login(html.LOGIN_LEAVE, frame, title, url=response.redirect_uri, fields=response.parameters)
    return Response(page.encode(), 200, HTML)


def redirect(request: Request[Any], location: str) -> Response:
    """Return a redirect by GET. The address may contain a code, so no cache and no other site gets it."""
    request.headers += [(b"location", location.encode()), _NO_STORE, (b"referrer-policy", b"no-referrer")]
    return Response(b"", 303)
