"""The authorization endpoint (OpenID Connect Core, 3.1.2): check a request, then continue it as a login, or answer it.

Until client and redirect URI are known to be registered, an error is a page. After that it is a response to the client.
"""

from urllib.parse import urlencode

from auth1.account.required import missing_identifiers
from auth1.authn.limits import LOGINS
from auth1.core.crypto import digest
from auth1.core.http.request import LONG_TARGET_BYTES, Form, Request, Response
from auth1.core.ids import new_id
from auth1.errors import BadRequest, PayloadTooLarge, RateLimited
from auth1.oauth.authorization.codes import issue_code, may_receive, respond, respond_with_code
from auth1.oauth.authorization.consents import needs_consent
from auth1.oauth.authorization.logins import NewLogin, start_login, start_pushed_login
from auth1.oauth.authorization.pushed_requests import find_pushed, is_pushed
from auth1.oauth.authorization.request_parameters import (
    AuthorizationError,
    Parameters,
    read_pairs,
    read_request,
    response_mode,
)
from auth1.oauth.authorization.requests import AuthorizationRequest, encode_request
from auth1.oauth.authorization.responses import leave, query_pairs, redirect
from auth1.oauth.clients import Client, find_client
from auth1.oauth.issuers import Issuer
from auth1.oauth.tokens.token_exchange import LOGIN_KINDS
from auth1.pages import browser_cookie
from auth1.pages.fetch_metadata import is_shown
from auth1.services import Services
from auth1.sessions import browser
from auth1.sessions.browser import BrowserSession

# What prompt=none reports where a page would be shown (OpenID Connect Core, 3.1.2.6).
_WITHOUT_PAGES = {"start": "login_required", "account": "interaction_required", "consent": "consent_required"}

_NO_REQUEST = "The request URI is unknown, has expired or was used."


async def get_authorize(app: Services, request: Request[Issuer]) -> Response:
    """Begin a login for an application. Its parameters are in the query."""
    return await _authorize(app, request, query_pairs(request))


async def post_authorize(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Begin a login for an application. Its parameters are in the form.

    The browser sends no cookies with a form of another site, but with the redirect after it.
    """
    # So this response sets no cookie either: it would replace that of a login in another tab.
    target = f"{request.caller.url}/authorize?{urlencode(body.pairs)}"
    if len(target) > LONG_TARGET_BYTES:
        raise PayloadTooLarge(f"The request is larger than {LONG_TARGET_BYTES // 1024} KiB.", by_application=True)
    return redirect(request, target)


async def _authorize(app: Services, request: Request[Issuer], pairs: list[tuple[str, str]]) -> Response:
    issuer, (parameters, repeated) = request.caller, read_pairs(pairs)
    pushed = is_pushed(parameters)
    if repeated & {"client_id", "request_uri" if pushed else "redirect_uri"}:
        raise BadRequest("The application sent a parameter twice.", by_application=True)
    if pushed:
        return await _authorize_pushed(app, request, parameters)
    client = await _find_client(app, request, parameters.get("client_id", ""), parameters.get("redirect_uri", ""))
    try:
        authorization = await read_request(app, issuer, client, parameters, repeated)
        return await _begin(app, request, client, authorization)
    except AuthorizationError as error:
        unread = AuthorizationRequest(
            client_id=client.client_id,
            redirect_uri=parameters["redirect_uri"],
            scopes=[],
            state=parameters.get("state"),
            response_mode=response_mode(parameters),
        )
        return _reject(request, unread, error)


async def _authorize_pushed(app: Services, request: Request[Issuer], parameters: Parameters) -> Response:
    """Begin the login of a pushed request, or show it again in its browser. Other parameters do not count."""
    issuer, client_id = request.caller, parameters.get("client_id", "")
    pushed = await find_pushed(app, issuer, client_id, parameters["request_uri"])
    if pushed is None:
        raise BadRequest(_NO_REQUEST, by_application=True)
    authorization = pushed.authorization
    client = await _find_client(app, request, client_id, authorization.redirect_uri)
    secret = browser_cookie.read_secret(request, issuer.tenant.id, secure=issuer.url.startswith("https:"))
    if secret is not None and digest(secret) == pushed.browser_digest and not _is_hidden(request, authorization):
        return redirect(request, f"{issuer.url}/login/{pushed.login_id}")
    try:
        return await _begin(app, request, client, authorization, pushed.login_id)
    except AuthorizationError as error:
        return _reject(request, authorization, error)


async def _find_client(app: Services, request: Request[Issuer], client_id: str, redirect_uri: str) -> Client:
    """Return the client of a request, to whose redirect URI a response may go. Raises BadRequest."""
    client = await find_client(app, request.caller, client_id)
    if client is None or client.kind not in LOGIN_KINDS:
        raise BadRequest("The application is not registered.", by_application=True)
    if not may_receive(client, redirect_uri):
        raise BadRequest("The redirect URI is not registered for this application.", by_application=True)
    request.log["client_id"] = client.client_id
    return client


def _reject(request: Request[Issuer], authorization: AuthorizationRequest, error: AuthorizationError) -> Response:
    request.log["error"] = error.error
    parameters = (("error", error.error), ("error_description", error.description))
    return leave(request, respond(request.caller, authorization, *parameters))


def _is_hidden(request: Request[Issuer], authorization: AuthorizationRequest) -> bool:
    """Return whether no page may be shown."""
    return "none" in authorization.prompt or not is_shown(request)


async def _begin(
    app: Services,
    request: Request[Issuer],
    client: Client,
    authorization: AuthorizationRequest,
    pushed_id: str | None = None,
) -> Response:
    """Continue with the session of the browser, if it is enough, or with the pages of a login.

    `pushed_id` is the id of the login of a pushed request.
    """
    issuer = request.caller
    secure = issuer.url.startswith("https:")
    session = await browser.read(app, request, issuer.tenant, secure=secure)
    step = await _step(app, issuer, client, authorization, session)
    if step in _WITHOUT_PAGES and _is_hidden(request, authorization):
        raise AuthorizationError(_WITHOUT_PAGES[step], "The user must interact.")
    await _count_login(app, request, authorization, session)
    # All tabs of a browser share the secret: each of their logins can be continued.
    secret = browser_cookie.read_secret(request, issuer.tenant.id, secure=secure) or browser_cookie.new_secret()
    proven = session if step in ("consent", "done") else None
    login_id, browser_digest = pushed_id or new_id("li"), digest(secret)
    login = NewLogin(issuer.tenant.id, login_id, browser_digest, client.client_id, encode_request(authorization), step)
    if proven is not None:
        login = login._replace(
            user_id=proven.user_id,
            session_id=proven.session_id,
            amr=proven.amr,
            identifier=proven.identifier,
            channel=proven.channel,
        )
    if pushed_id is not None:
        if not await start_pushed_login(app.postgres, login):
            raise BadRequest(_NO_REQUEST, by_application=True)
    elif not await start_login(app.postgres, login):
        raise AuthorizationError("login_required", "The user was erased.")
    browser_cookie.set_secret(request, issuer.tenant.id, secret, secure=secure)
    if step != "done":
        return redirect(request, f"{issuer.url}/login/{login_id}")
    if pushed_id is None:
        return leave(request, respond_with_code(app, issuer, authorization, login_id, 1))
    # It may have been begun before, and have another code or tokens.
    response = await issue_code(app, issuer, login_id, browser_digest)
    if response is None:
        raise BadRequest(_NO_REQUEST, by_application=True)
    return leave(request, response)


async def _count_login(
    app: Services, request: Request[Issuer], authorization: AuthorizationRequest, session: BrowserSession | None
) -> None:
    """Count a login that is to be stored: for the address and the session, or for the address without one.

    Raises RateLimited, or AuthorizationError where no page may be shown.
    """
    scope = session.session_id if session is not None else ""
    try:
        await app.limiter.acquire_for_client(request, app.settings, LOGINS, scope)
    except RateLimited:
        if _is_hidden(request, authorization):
            raise AuthorizationError("temporarily_unavailable", "Too many logins were started; retry later.") from None
        raise


async def _step(
    app: Services, issuer: Issuer, client: Client, authorization: AuthorizationRequest, session: BrowserSession | None
) -> str:
    """Return the first step of a login. A session must be fresh, and of the user that the request names."""
    if session is None or "login" in authorization.prompt:
        return "start"
    if authorization.max_age is not None and app.postgres.now() - session.authenticated_at > authorization.max_age:
        return "start"
    if authorization.hint_user_id not in (None, session.user_id):
        return "start"
    # Any program of the device can imitate a native application, so the user confirms (RFC 8252, 8.6).
    is_imitable = client.kind == "native" and not authorization.redirect_uri.startswith("https:")
    if "select_account" in authorization.prompt or is_imitable:
        return "account"
    if await missing_identifiers(app, issuer.tenant, session.session_id):
        return "account"
    if "consent" in authorization.prompt:
        return "consent"
    if client.first_party:
        return "done"
    is_consent_needed = await needs_consent(app, issuer, session.user_id, client.client_id, authorization.scopes)
    return "consent" if is_consent_needed else "done"
