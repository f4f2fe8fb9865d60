"""Errors of pages, as pages: in a language that the browser accepts, without the name of a tenant."""

from typing import Any

from auth1.api_error import ApiError
from auth1.core.http.request import Request, Response
from auth1.errors import NotFound, RateLimited, TenantSuspended
from auth1.pages.headers import form_page_headers
from auth1.pages.theme import default_theme
from auth1.templates.login_pages import duration
from auth1.templates.pages import Look, render_message
from auth1.templates.strings import STRINGS

HTML = b"text/html; charset=utf-8"
# Headers of the page that the handler did not complete.
_OF_PAGES = (b"content-security-policy", b"referrer-policy", b"cache-control", b"location")


def error_page(request: Request[Any], error: ApiError) -> Response:
    """Return the page of an error, with its status."""
    accept_language = b",".join(request.values(b"accept-language"))
    theme = default_theme(accept_language.decode("latin-1"))
    strings = STRINGS[theme.lang].login
    title, text, detail = strings.error_title, strings.error, None
    if error.by_application:  # the detail has no text of the request
        text, detail = strings.invalid_request, error.detail
    elif isinstance(error, NotFound):
        title, text = strings.missing_title, strings.missing
    elif isinstance(error, TenantSuspended):
        title, text = strings.denied_title, strings.suspended
    elif isinstance(error, RateLimited) and error.retry_after is not None:
        text = strings.fill("limited", time=duration(error.retry_after))
    request.headers[:] = [header for header in request.headers if header[0] not in _OF_PAGES]
    request.headers += form_page_headers(theme)
    page = render_message(Look(theme.lang, theme.stylesheet.text), title, text, detail)
    return Response(page.encode(), error.status, HTML)
