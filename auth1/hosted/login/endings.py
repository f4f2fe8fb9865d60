"""The last pages of a hosted login as responses: back to the application, done, denied, expired."""

from auth1.core.http.request import Response
from auth1.hosted.records import Login
from auth1.hosted.views import render_page, text
from auth1.hosted.visits import Visit
from auth1.oauth.authorization.codes import AuthorizationResponse
from auth1.pages.headers import origin_of
from auth1.templates import html


def leave_page(visit: Visit, login: Login, response: AuthorizationResponse) -> Response:
    """Return the page that leads to the application.

    Browsers apply `form-action` to all redirects after a form, also to those of the application. So the last step is a
    page of its own: it also leads to private schemes, and can post the response.
    """
    posts = response.mode == "form_post"
    return render_page(
        visit,
        html.LOGIN_LEAVE,
        text(visit, "leaving", client=login.client_name or ""),
        posts_elsewhere=posts,
        url=response.redirect_uri if posts else response.location(),
        fields=response.parameters if posts else [],
    )


def done_page(visit: Visit, login: Login) -> Response:
    """Return the page of a login whose response the application has redeemed."""
    client = login.client_name or ""
    return _message(visit, "done_title", text(visit, "done", client=client), login)


def denied_page(visit: Visit, login: Login, reason: str) -> Response:
    """Return the page of a user that may not log in. Its button reports that to the application."""
    return _message(visit, "denied_title", text(visit, reason), login, is_reported=True, status=403)


def expired_page(visit: Visit, login: Login | None = None) -> Response:
    """Return the page of a login that is unknown, too old, or of another browser."""
    return _message(visit, "expired_title", text(visit, "expired"), login, status=400)


def _message(
    visit: Visit, title: str, message: str, login: Login | None, *, is_reported: bool = False, status: int = 200
) -> Response:
    """Return a page with a sentence, and the way back to the application."""
    client = login.client_name if login is not None else None
    home = _home(login) if client is not None else None
    return render_page(
        visit,
        html.LOGIN_MESSAGE,
        text(visit, title),
        status=status,
        text=message,
        is_reported=is_reported and client is not None,
        url=home,
        back=text(visit, "back", client=client) if client is not None else "",
    )


def _home(login: Login | None) -> str | None:
    """Return the address of the application, if it has one in the web."""
    redirect_uri = login.authorization.redirect_uri if login is not None else ""
    return f"{origin_of(redirect_uri)}/" if redirect_uri.startswith("http") else None
