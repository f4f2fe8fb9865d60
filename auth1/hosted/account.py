"""The pages of a user's own account: identifiers, devices, applications with access, sign-out and erasure."""

from contextlib import suppress

from auth1.account import linking
from auth1.account.linking import Owner
from auth1.applications.consents import end_consent, list_consents
from auth1.authn.limits import LOGINS
from auth1.core.crypto import digest
from auth1.core.http.request import Form, Request, Response
from auth1.core.ids import new_id
from auth1.errors import Conflict, Forbidden, NotFound, SessionRevoked
from auth1.events.log import event_context, log_events
from auth1.hosted import account_views, store, views
from auth1.hosted.records import NO_ADDITION, Addition, LoginKey
from auth1.hosted.visits import ACCOUNT, Visit, visit_of_account
from auth1.identifiers import IdentifierType
from auth1.oauth.authorization.requests import AuthorizationRequest
from auth1.oauth.issuers import Issuer
from auth1.pages import browser_cookie
from auth1.pages.fetch_metadata import is_shown
from auth1.pages.forms import FIELD, check_origin, token_is_valid
from auth1.pages.headers import origin_of
from auth1.services import Services
from auth1.sessions import browser
from auth1.sessions.browser import BrowserSession
from auth1.sessions.end import BY_USER, LOGOUT, end_all, end_one
from auth1.sessions.guards import RECENT_LOGIN_S
from auth1.sessions.store import find_session, list_sessions
from auth1.tenants.settings import TenantAdmin
from auth1.users import service

MAX_SESSIONS = 100
_SENSITIVE = frozenset({"remove_identifier", "remove_now", "erase", "erase_now"})
_KINDS: dict[str, IdentifierType] = {"phone": "phone", "email": "email"}


async def show_account(app: Services, request: Request[Issuer]) -> Response:
    """Show the account of the browser's session: devices and applications.

    Without a session the user logs in first.
    """
    session = await _session(app, request)
    if session is None:
        if not is_shown(request):
            raise Forbidden("This page cannot be shown in another page.")
        return await _sign_in(app, request)
    visit, tenant_id = visit_of_account(app, request, session.session_id), request.caller.tenant.id
    user = await find_session(app.postgres, tenant_id, session.session_id)
    sessions = await list_sessions(app.postgres, tenant_id, session.user_id, "", MAX_SESSIONS)
    apps = await list_consents(app.postgres, tenant_id, session.user_id)
    return account_views.account_page(visit, user, sessions, apps, session.session_id)


async def change_account(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Process a form of the account page.

    It changes identifiers, ends sessions, removes the access of an application, signs out, or erases the user.
    """
    check_origin(request, origin_of(request.caller.url))
    session = await _session(app, request)
    if session is None:
        return await _sign_in(app, request)
    visit = visit_of_account(app, request, session.session_id)
    if not token_is_valid(app.keyring, body.value(FIELD), visit.secret, ACCOUNT, ""):
        return _show_again(visit)
    action = body.value("do") or ""
    if action not in _SENSITIVE:
        page = await _act(visit, session, action, body)
    elif not _is_recent(app, session):
        page = await _sign_in(app, request)
    else:
        page = await _act_recently(visit, session, action, body)
    return _show_again(visit) if page is None else page


async def _act(visit: Visit, session: BrowserSession, action: str, form: Form) -> Response | None:
    app, request, tenant_id, user_id = visit.app, visit.request, visit.tenant.id, session.user_id
    match action:
        case "add" if (kind := _kind(form)) is not None:
            return await _add(app, request, session, kind)
        case "sign_out":
            await end_one(app, request, tenant_id, user_id, session.session_id, user_id, LOGOUT)
            return account_views.last_page(visit, "signed_out_title")
        case "end":
            with suppress(NotFound):
                await end_one(app, request, tenant_id, user_id, _id(form, "session"), user_id, BY_USER)
        case "end_others":
            await end_all(app, request, tenant_id, user_id, user_id, BY_USER, keep=session.session_id)
        case "remove":
            context = event_context(request, user_id)
            with suppress(NotFound):
                client_id = _id(form, "client")
                log_events(app.log, await end_consent(app.postgres, tenant_id, user_id, client_id, context))
    return None


async def _act_recently(visit: Visit, session: BrowserSession, action: str, form: Form) -> Response | None:
    """Process a form that requires a login within the last 5 minutes."""
    app, request, user_id, kind = visit.app, visit.request, session.user_id, _kind(form)
    path = _address(visit.issuer)
    match action:
        case "remove_identifier" if kind is not None:
            return account_views.remove_page(visit, kind, path)
        case "remove_now" if kind is not None:
            # A form of another tab may come after the removal, or name the last one.
            with suppress(NotFound, Conflict, SessionRevoked):
                await linking.remove(app, request, Owner(visit.tenant, user_id, session.session_id), kind)
        case "erase":
            return account_views.erase_page(visit, path)
        case "erase_now":
            admin = TenantAdmin(visit.tenant.id, user_id, request.request_id, request.network)
            await service.erase_user(app, admin, user_id)
            return account_views.last_page(visit, "erased_title")
    return None


def _kind(form: Form) -> IdentifierType | None:
    return _KINDS.get(form.value("kind") or "")


def _is_recent(app: Services, session: BrowserSession) -> bool:
    return app.postgres.now() - session.authenticated_at <= RECENT_LOGIN_S


async def _session(app: Services, request: Request[Issuer]) -> BrowserSession | None:
    issuer = request.caller
    return await browser.read(app, request, issuer.tenant, secure=issuer.url.startswith("https:"))


async def _add(app: Services, request: Request[Issuer], session: BrowserSession, kind: IdentifierType) -> Response:
    """Start a login that adds an identifier, or replaces it; a session that is not recent logs in first."""
    recent = Addition(kind, session.user_id, session.session_id)
    addition = recent if _is_recent(app, session) else Addition(kind)
    return await _sign_in(app, request, addition)


async def _sign_in(app: Services, request: Request[Issuer], addition: Addition = NO_ADDITION) -> Response:
    """Start a login that leads back to the account."""
    issuer = request.caller
    await app.limiter.acquire_for_client(request, app.settings, LOGINS, addition.session_id or "")
    tenant_id, is_secure, login_id = issuer.tenant.id, issuer.url.startswith("https:"), new_id("li")
    secret = browser_cookie.read_secret(request, tenant_id, secure=is_secure) or browser_cookie.new_secret()
    asks = AuthorizationRequest(client_id="", redirect_uri=_address(issuer), scopes=[])
    await store.insert_account_login(app.postgres, LoginKey(tenant_id, login_id, digest(secret)), asks, addition)
    browser_cookie.set_secret(request, tenant_id, secret, secure=is_secure)
    return views.redirect(visit_of_account(app, request, ""), f"{issuer.url}/login/{login_id}")


def _id(body: Form, name: str) -> str:
    """Return an id of a form. PostgreSQL rejects a text with NUL, which no id contains."""
    value = body.value(name) or ""
    return "" if "\0" in value else value


def _show_again(visit: Visit) -> Response:
    return views.redirect(visit, _address(visit.issuer))


def _address(issuer: Issuer) -> str:
    return f"{issuer.url}/account"
