"""Authorization requests that a client pushes before it sends the user to us (RFC 9126).

A pushed request is stored as the login that it will begin: a row of `logins` that no browser has begun yet. So it
begins one login, whatever repeats it. Its URI is derived from the id of the row, and cannot be guessed.
"""

from functools import partial
from typing import NamedTuple

from auth1.authn.limits import PUSHES, SERVER_PUSHES
from auth1.core.http.request import Form, Request
from auth1.core.ids import new_id
from auth1.core.postgres import NoParams, Queries, find_nothing, repeat_once
from auth1.errors import (
    BadRequest,
    InvalidScope,
    OAuthApiError,
    RequestNotSupported,
    UnauthorizedClient,
    UnmetAuthenticationRequirements,
    UnsupportedResponseType,
)
from auth1.oauth.authorization.codes import may_receive
from auth1.oauth.authorization.request_parameters import AuthorizationError, Parameters, read_request
from auth1.oauth.authorization.requests import AuthorizationRequest, decode_request, encode_request
from auth1.oauth.clients import Client, authenticate_client, read_parameters
from auth1.oauth.issuers import Issuer
from auth1.oauth.schemas import PushedRequest
from auth1.oauth.tokens.derived_tokens import PUSHED_REQUEST
from auth1.oauth.tokens.token_exchange import LOGIN_KINDS
from auth1.services import Services

MAX_BYTES = 8 * 1024  # of the form; the redirect with the response must have room for its state
LIFE_S = 60
_NUMBER = 0  # of the URI of a row; codes begin with 1
_NO_STORE = (b"cache-control", b"no-store")
_QUERIES = Queries("oauth")
_ERRORS: tuple[type[OAuthApiError], ...] = (
    InvalidScope,
    RequestNotSupported,
    UnmetAuthenticationRequirements,
    UnsupportedResponseType,
)


class FoundRequest(NamedTuple):
    """A pushed request. `browser_digest` is that of the browser that has begun its login, or empty."""

    login_id: str
    browser_digest: bytes
    authorization: AuthorizationRequest


class _Push(NamedTuple):
    tenant_id: str
    login_id: str
    client_id: str
    request: str
    life_s: int


class _Find(NamedTuple):
    tenant_id: str
    login_id: str
    life_s: int


class _Pushed(NamedTuple):
    client_id: str
    request: str
    browser_digest: bytes


_PUSH = _QUERIES.statement("push_request", _Push, NoParams)
_FIND = _QUERIES.statement("find_pushed_request", _Find, _Pushed)


async def push_request(app: Services, request: Request[Issuer], body: Form) -> PushedRequest:
    """Store the parameters of an authorization request (RFC 9126).

    The client authenticates as at the token endpoint. The parameters are those of the authorization endpoint, and are
    checked as there. Send the user to `/authorize` with `client_id` and `request_uri`, within 60 seconds and once.
    """
    parameters = read_parameters(body)
    client = await authenticate_client(app, request, parameters, allow_public=True)
    issuer = request.caller
    if client.is_public:
        await app.limiter.acquire_for_client(request, app.settings, PUSHES)
    else:
        await app.limiter.acquire_for_client(
            request, app.settings, SERVER_PUSHES, f"{issuer.tenant.id}:{client.client_id}"
        )
    authorization = await _read(app, issuer, client, parameters)
    push = _Push(issuer.tenant.id, new_id("li"), client.client_id, encode_request(authorization), LIFE_S)
    await repeat_once(partial(app.postgres.row, _PUSH, push), find_nothing)
    request.headers.append(_NO_STORE)
    request_uri = PUSHED_REQUEST.make(app.keyring, push.tenant_id, push.login_id, _NUMBER)
    return PushedRequest(request_uri=request_uri, expires_in=LIFE_S)


def is_pushed(parameters: Parameters) -> bool:
    """Return whether an authorization request names a pushed one. Other request URIs are not supported."""
    return parameters.get("request_uri", "").startswith(PUSHED_REQUEST.start)


async def find_pushed(app: Services, issuer: Issuer, client_id: str, request_uri: str) -> FoundRequest | None:
    """Return the request that a client pushed; None for one that is expired, used, or of another client or issuer."""
    derived = PUSHED_REQUEST.read(app.keyring, issuer.tenant.id, request_uri)
    if derived is None:
        return None
    row = await app.postgres.row(_FIND, _Find(issuer.tenant.id, derived.row_id, LIFE_S))
    if row is None or row.client_id != client_id:
        return None
    return FoundRequest(derived.row_id, row.browser_digest, decode_request(row.request))


async def _read(app: Services, issuer: Issuer, client: Client, parameters: dict[str, str]) -> AuthorizationRequest:
    if client.kind not in LOGIN_KINDS:
        raise UnauthorizedClient("Users do not log in to an application of this kind.")
    if "request_uri" in parameters:
        raise BadRequest("The parameter request_uri cannot be pushed.")
    if not may_receive(client, parameters.get("redirect_uri", "")):
        raise BadRequest("The redirect URI is not registered for this application.")
    try:
        return await read_request(app, issuer, client, parameters, set())
    except AuthorizationError as error:
        kind = next((one for one in _ERRORS if one.code == error.error), BadRequest)
        raise kind(error.description) from None
