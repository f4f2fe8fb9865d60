"""The pages of a user's own account: devices, applications with access, sign-out and erasure."""

import time
from contextlib import suppress
from typing import NamedTuple

from auth1.applications.consents import Consent, end_consent, list_consents
from auth1.core.crypto import digest
from auth1.core.http.request import Form, Request, Response
from auth1.core.ids import new_id
from auth1.errors import NotFound
from auth1.events.log import event_context, log_events
from auth1.hosted import store, views
from auth1.hosted.store import LoginKey
from auth1.hosted.visits import ACCOUNT, Visit, visit_of_account
from auth1.magic_links.devices import describe_device
from auth1.oauth.issuers import Issuer
from auth1.oauth.requests import AuthorizationRequest
from auth1.pages import browser_cookie
from auth1.pages.forms import FIELD, check_origin, token_is_valid
from auth1.pages.headers import origin_of
from auth1.services import Services
from auth1.sessions import browser
from auth1.sessions.browser import BrowserSession
from auth1.sessions.end import BY_USER, LOGOUT, end_all, end_one
from auth1.sessions.guards import RECENT_LOGIN_S
from auth1.sessions.schemas import SessionOut
from auth1.sessions.store import find_session, list_sessions
from auth1.templates import html
from auth1.tenants.settings import TenantAdmin
from auth1.users import service

MAX_SESSIONS = 100


class _Device(NamedTuple):
    id: str
    device: str
    network: str | None
    date: str
    current: bool


class _App(NamedTuple):
    id: str
    name: str
    scopes: str


async def show_account(app: Services, request: Request[Issuer]) -> Response:
    """Show the account of the browser's session: devices and applications.

    Without a session the user signs in first.
    """
    session = await _session(app, request)
    if session is None:
        return await _sign_in(app, request)
    visit, tenant_id = visit_of_account(app, request, session.session_id), request.caller.tenant.id
    user = await find_session(app.postgres, tenant_id, session.session_id)
    sessions = await list_sessions(app.postgres, tenant_id, session.user_id, "", MAX_SESSIONS)
    return views.render_page(
        visit,
        html.ACCOUNT,
        views.text(visit, "my_account"),
        identifiers=[value for value in (user.phone, user.email) if value is not None] if user is not None else [],
        sessions=[_device(visit, one, session) for one in sessions],
        apps=[_app(visit, one) for one in await list_consents(app.postgres, tenant_id, session.user_id)],
    )


async def change_account(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Act on a form of the account page.

    It ends sessions, removes the access of an application, signs out, or erases the user.
    """
    check_origin(request, origin_of(request.caller.url))
    session = await _session(app, request)
    if session is None:
        return await _sign_in(app, request)
    visit = visit_of_account(app, request, session.session_id)
    if not token_is_valid(app.keyring, body.value(FIELD), visit.secret, ACCOUNT, ""):
        return _show_again(visit)
    tenant_id, user_id = request.caller.tenant.id, session.user_id
    match body.value("do"):
        case "sign_out":
            await end_one(app, request, tenant_id, user_id, session.session_id, user_id, LOGOUT)
            return _leave(visit, "signed_out_title")
        case "end":
            with suppress(NotFound):
                await end_one(app, request, tenant_id, user_id, _id(body, "session"), user_id, BY_USER)
        case "end_others":
            await end_all(app, request, tenant_id, user_id, user_id, BY_USER, keep=session.session_id)
        case "remove":
            context = event_context(request, user_id)
            with suppress(NotFound):
                client_id = _id(body, "client")
                log_events(app.log, await end_consent(app.postgres, tenant_id, user_id, client_id, context))
        case "erase" | "erase_now" if time.time() - session.authenticated_at > RECENT_LOGIN_S:
            return await _sign_in(app, request)
        case "erase":
            return views.render_page(
                visit, html.ACCOUNT_ERASE, views.text(visit, "erase_title"), path=_address(request.caller)
            )
        case "erase_now":
            admin = TenantAdmin(tenant_id, user_id, request.request_id, request.network)
            await service.erase_user(app, admin, user_id)
            return _leave(visit, "erased_title")
    return _show_again(visit)


async def _session(app: Services, request: Request[Issuer]) -> BrowserSession | None:
    issuer = request.caller
    return await browser.read(app, request, issuer.tenant, secure=issuer.url.startswith("https:"))


async def _sign_in(app: Services, request: Request[Issuer]) -> Response:
    """Start a login that leads back to the account."""
    issuer = request.caller
    tenant_id, is_secure, login_id = issuer.tenant.id, issuer.url.startswith("https:"), new_id("li")
    secret = browser_cookie.read_secret(request, tenant_id, secure=is_secure) or browser_cookie.new_secret()
    asks = AuthorizationRequest(client_id="", redirect_uri=_address(issuer), scopes=[])
    await store.insert_account_login(app.postgres, LoginKey(tenant_id, login_id, digest(secret)), asks)
    browser_cookie.set_secret(request, tenant_id, secret, secure=is_secure)
    return views.redirect(visit_of_account(app, request, ""), f"{issuer.url}/login/{login_id}")


def _id(body: Form, name: str) -> str:
    """Return an id of a form. PostgreSQL rejects a text with NUL, which no id contains."""
    value = body.value(name) or ""
    return "" if "\0" in value else value


def _show_again(visit: Visit) -> Response:
    return views.redirect(visit, _address(visit.issuer))


def _leave(visit: Visit, title: str) -> Response:
    """Delete the cookie of the session, and return the last page."""
    browser.clear_session(visit.request, visit.tenant, secure=visit.is_secure)
    return views.render_page(
        visit,
        html.LOGIN_MESSAGE,
        views.text(visit, title),
        text=views.text(visit, "close_page"),
        is_reported=False,
        url=None,
        back="",
    )


def _address(issuer: Issuer) -> str:
    return f"{issuer.url}/account"


def _device(visit: Visit, session: SessionOut, current: BrowserSession) -> _Device:
    name = session.device_name or describe_device(session.user_agent) or views.text(visit, "unknown_device")
    date = session.created_at.date().isoformat()
    return _Device(session.session_id, name, session.network, date, session.session_id == current.session_id)


def _app(visit: Visit, consent: Consent) -> _App:
    return _App(consent.client_id, consent.name, ", ".join(views.scope_texts(visit, consent.scopes)))
