"""The response to an authorization request: a code for a login that is done, or an error.

A response is made only for the browser of the login, and goes only to a redirect URI that is registered still.
"""

from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

from auth1.applications.redirect_uris import matches
from auth1.core.postgres import Queries, find_nothing, repeat_once
from auth1.oauth.authorization.requests import AuthorizationRequest, ResponseMode, decode_request
from auth1.oauth.clients import Client, find_client
from auth1.oauth.issuers import Issuer
from auth1.oauth.tokens.derived_tokens import CODE
from auth1.services import Services

CODE_LIFE_S = 60
REUSE_S = 30  # a code that lives for longer is returned again: reloads and lost responses

_QUERIES = Queries("oauth")


class AuthorizationResponse(NamedTuple):
    """The parameters of a response and its redirect URI (RFC 6749, 4.1.2; RFC 9207)."""

    redirect_uri: str
    parameters: list[tuple[str, str]]
    mode: ResponseMode

    def location(self) -> str:
        """Return the address of a response in the query. Registered parameters are kept."""
        separator = "&" if "?" in self.redirect_uri else "?"
        return self.redirect_uri + separator + urlencode(self.parameters)


class _IssueCode(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    life_s: int
    reuse_s: int


class _IssuedCode(NamedTuple):
    client_id: str
    request: str
    code_number: int


class _LoginKey(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes


class _LoginRequest(NamedTuple):
    client_id: str
    request: str


_ISSUE_CODE = _QUERIES.statement("issue_code", _IssueCode, _IssuedCode)
_FIND_REQUEST = _QUERIES.statement("find_login_request", _LoginKey, _LoginRequest)


async def issue_code(
    app: Services, issuer: Issuer, login_id: str, browser_digest: bytes
) -> AuthorizationResponse | None:
    """Return the response with the code of a login that is done. A repetition returns the same code for a while.

    None if the login is not done, belongs to another browser, or its code was redeemed, or if the application or its
    redirect URI is no longer registered.
    """
    params = _IssueCode(issuer.tenant.id, login_id, browser_digest, CODE_LIFE_S, REUSE_S)
    row = await repeat_once(partial(app.postgres.row, _ISSUE_CODE, params), find_nothing)
    if row is None:
        return None
    code = ("code", CODE.make(app.keyring, issuer.tenant.id, login_id, row.code_number))
    return await _response(app, issuer, row.client_id, row.request, code)


def respond_with_code(
    app: Services, issuer: Issuer, request: AuthorizationRequest, login_id: str, number: int
) -> AuthorizationResponse:
    """Return the response with the code of a login that is done. The caller has checked the redirect URI."""
    return respond(issuer, request, ("code", CODE.make(app.keyring, issuer.tenant.id, login_id, number)))


async def deny(
    app: Services, issuer: Issuer, login_id: str, browser_digest: bytes, error: str
) -> AuthorizationResponse | None:
    """Return the response with an error, such as access_denied or login_required. None as for `issue_code`."""
    row = await app.postgres.row(_FIND_REQUEST, _LoginKey(issuer.tenant.id, login_id, browser_digest))
    if row is None:
        return None
    return await _response(app, issuer, row.client_id, row.request, ("error", error))


def respond(issuer: Issuer, request: AuthorizationRequest, *parameters: tuple[str, str]) -> AuthorizationResponse:
    """Return the response to a request, with its state and the issuer."""
    state = [("state", request.state)] if request.state is not None else []
    return AuthorizationResponse(
        request.redirect_uri, [*parameters, *state, ("iss", issuer.url)], request.response_mode
    )


def may_receive(client: Client, redirect_uri: str) -> bool:
    """Return whether a redirect URI is registered for a client."""
    return matches(client.kind, client.redirect_uris, redirect_uri)


async def _response(
    app: Services, issuer: Issuer, client_id: str, stored: str, parameter: tuple[str, str]
) -> AuthorizationResponse | None:
    request, client = decode_request(stored), await find_client(app, issuer, client_id)
    if client is None or not may_receive(client, request.redirect_uri):
        return None
    return respond(issuer, request, parameter)
