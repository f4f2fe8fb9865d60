"""The end of a browser's session at the request of an application (RP-Initiated Logout 1.0).

An ID token of the session shows that its application sends the browser. Without one the user confirms. A redirect goes
only to a registered URI.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from auth1.applications.redirect_uris import matches
from auth1.core.http.request import Form, Request, Response
from auth1.events.log import event_context, log_events
from auth1.oauth.authorization.responses import page_frame, page_theme, query_pairs, redirect
from auth1.oauth.clients import find_client
from auth1.oauth.issuers import Issuer
from auth1.oauth.tokens.id_tokens import read_id_token
from auth1.pages.errors import HTML
from auth1.pages.forms import FIELD, check_origin, form_token, token_is_valid
from auth1.pages.headers import form_page_headers, origin_of
from auth1.pages.theme import Theme
from auth1.services import Services
from auth1.sessions import browser, store
from auth1.sessions.browser import BrowserSession
from auth1.sessions.end import LOGOUT
from auth1.templates import html
from auth1.templates.login_pages import render_login
from auth1.templates.strings import STRINGS

_PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales", "logout_hint")


class _Logout(NamedTuple):
    """A request: where its response goes, and whether an ID token shows that it is the user's."""

    redirect_to: str | None
    is_trusted: bool


async def get_logout(app: Services, request: Request[Issuer]) -> Response:
    """Sign the user out, and return to the application. Without an ID token, the user confirms first."""
    return await _logout(app, request, dict(query_pairs(request)), is_confirmed=False)


async def post_logout(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Sign the user out. The parameters are in a form: that of an application or of the confirmation."""
    parameters = dict(body.pairs)
    if FIELD not in parameters:
        # The browser sends no cookies with a form of another site, but with the redirect after it.
        return redirect(request, f"{request.caller.url}/logout?{urlencode(_known(parameters))}")
    check_origin(request, origin_of(request.caller.url))
    return await _logout(app, request, parameters, is_confirmed=True)


async def _logout(
    app: Services, request: Request[Issuer], parameters: Mapping[str, str], *, is_confirmed: bool
) -> Response:
    issuer = request.caller
    secure = issuer.url.startswith("https:")
    session = await browser.read(app, request, issuer.tenant, secure=secure)
    if session is not None:
        if is_confirmed:
            is_confirmed = token_is_valid(app.keyring, parameters.get(FIELD), *_context(session))
        logout = await _read(app, issuer, parameters, session, is_confirmed=is_confirmed)
        if not (is_confirmed or logout.is_trusted):
            return _confirm_page(app, request, session, parameters)
        await _end(app, request, session)
    else:
        logout = await _read(app, issuer, parameters, None, is_confirmed=False)
    browser.clear_session(request, issuer.tenant, secure=secure)
    if logout.redirect_to is not None:
        return redirect(request, logout.redirect_to)
    return signed_out_page(request, page_theme(request, parameters.get("ui_locales", "")))


async def _read(
    app: Services,
    issuer: Issuer,
    parameters: Mapping[str, str],
    session: BrowserSession | None,
    *,
    is_confirmed: bool,
) -> _Logout:
    """Check the ID token and the redirect URI. With an ID token that is not ours, there is no redirect."""
    token, client_id, is_trusted = parameters.get("id_token_hint"), parameters.get("client_id"), False
    if token:
        hint = await read_id_token(app, issuer, token)
        if hint is None or client_id not in (None, "", hint.client_id):
            return _Logout(None, is_trusted=False)
        client_id = hint.client_id
        is_trusted = session is None or session.user_id == hint.user_id
    uri = parameters.get("post_logout_redirect_uri")
    if not uri or not client_id or not (is_trusted or is_confirmed):
        return _Logout(None, is_trusted)
    client = await find_client(app, issuer, client_id)
    if client is None or not matches(client.kind, client.logout_uris, uri):
        return _Logout(None, is_trusted and client is not None)
    state = parameters.get("state")
    separator = "&" if "?" in uri else "?"
    return _Logout(uri + (separator + urlencode({"state": state}) if state else ""), is_trusted)


async def _end(app: Services, request: Request[Issuer], session: BrowserSession) -> None:
    tenant_id, context = request.caller.tenant.id, event_context(request, session.user_id)
    events = await store.end_session(
        app.postgres, tenant_id, session.session_id, session.user_id, context=context, reason=LOGOUT
    )
    log_events(app.log, events or [])
    await app.sessions.revoke(tenant_id, [session.session_id])


def _confirm_page(
    app: Services, request: Request[Issuer], session: BrowserSession, parameters: Mapping[str, str]
) -> Response:
    token = form_token(app.keyring, *_context(session))
    theme = page_theme(request, parameters.get("ui_locales", ""))
    return confirm_page(request, theme, [*_known(parameters), (FIELD, token)])


def confirm_page(request: Request[Issuer], theme: Theme, fields: list[tuple[str, str]]) -> Response:
    """Return the page that confirms the sign-out. `fields` are sent with its form."""
    frame = page_frame(request, theme)
    title = STRINGS[theme.lang].login.fill("logout_title", brand=frame.brand)
    request.headers += form_page_headers(theme)
    return Response(render_login(html.LOGIN_LOGOUT, frame, title, fields=fields).encode(), 200, HTML)


def signed_out_page(request: Request[Issuer], theme: Theme) -> Response:
    """Return the page after a logout that leads to no application."""
    frame, strings = page_frame(request, theme), STRINGS[theme.lang].login
    title, text = strings.logged_out_title, strings.logged_out
    request.headers += form_page_headers(theme)
    page = render_login(html.LOGIN_MESSAGE, frame, title, text=text, is_reported=False, url=None)
    return Response(page.encode(), 200, HTML)


def _known(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, parameters[name]) for name in _PARAMETERS if parameters.get(name)]


def _context(session: BrowserSession) -> tuple[str, str]:
    return session.session_id, "logout"
