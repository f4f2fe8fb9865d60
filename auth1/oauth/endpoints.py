"""The OAuth endpoints of a tenant: token, userinfo, introspect, revoke, public keys and metadata."""

from collections.abc import Awaitable, Callable

from msgspec import structs

from auth1.core.http.request import Form, Request, Response
from auth1.errors import BadRequest, InvalidScope, UnauthorizedClient, UnsupportedGrantType
from auth1.events.log import event_context, log_events
from auth1.oauth.clients import Client, authenticate_client, read_parameters
from auth1.oauth.issuers import Issuer
from auth1.oauth.metadata import metadata
from auth1.oauth.schemas import AccessToken, IssuerMetadata, TokenState
from auth1.oauth.tokens import access_tokens, grants
from auth1.oauth.tokens.derived_tokens import REFRESH_TOKEN, Derived
from auth1.oauth.tokens.token_exchange import exchange_code, exchange_refresh_token
from auth1.services import Services
from auth1.sessions.schemas import BEARER, Jwks

CLIENT_CREDENTIALS = "client_credentials"
_CACHED = (b"cache-control", b"public, max-age=600")
_NO_STORE = (b"cache-control", b"no-store")


async def issue_token(app: Services, request: Request[Issuer], body: Form) -> AccessToken:
    """Issue tokens: by client credentials, by an authorization code, or by a refresh token.

    The client authenticates by HTTP Basic or by `client_id` and `client_secret`. Without `scope` the token of an
    application that acts for itself has all its scopes.
    """
    parameters = read_parameters(body)
    client = await authenticate_client(app, request, parameters, allow_public=True)
    grant_type = parameters.get("grant_type")
    if grant_type is None:
        raise BadRequest("The parameter grant_type is missing.")
    if grant_type not in _GRANTS:
        raise UnsupportedGrantType
    tokens = await _GRANTS[grant_type](app, request, client, parameters)
    request.headers.append(_NO_STORE)
    return tokens


async def _issue_to_client(
    app: Services, request: Request[Issuer], client: Client, parameters: dict[str, str]
) -> AccessToken:
    if client.kind != "machine":
        raise UnauthorizedClient("An application of this kind does not act for itself.")
    scopes = list(dict.fromkeys(parameters.get("scope", "").split())) or client.scopes
    if not set(scopes) <= set(client.scopes):
        raise InvalidScope
    token = await access_tokens.sign_access_token(app, request.caller, client, scopes)
    return AccessToken(access_token=token, expires_in=access_tokens.LIFE_S, scope=" ".join(scopes))


_GRANTS: dict[str, Callable[[Services, Request[Issuer], Client, dict[str, str]], Awaitable[AccessToken]]] = {
    CLIENT_CREDENTIALS: _issue_to_client,
    "authorization_code": exchange_code,
    "refresh_token": exchange_refresh_token,
}


async def introspect_token(app: Services, request: Request[Issuer], body: Form) -> TokenState:
    """Return whether a token of this issuer is active, and its claims (RFC 7662).

    Any application with a secret may introspect access tokens, and its own refresh tokens.
    """
    parameters = read_parameters(body)
    client = await authenticate_client(app, request, parameters)
    issuer, token = request.caller, _token(parameters)
    request.headers.append(_NO_STORE)
    if (refresh_token := REFRESH_TOKEN.read(app.keyring, issuer.tenant.id, token)) is not None:
        return await _refresh_token_state(app, issuer, client, refresh_token)
    claims = await access_tokens.read_access_token(app, issuer, token)
    if claims is None or not await access_tokens.is_active(app, issuer, claims):
        return TokenState(active=False)
    return TokenState(active=True, token_type=BEARER, **structs.asdict(claims))


async def revoke_token(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Revoke a token of the client (RFC 7009). A token that is not valid is no error.

    A refresh token ends with all tokens of its grant. Introspection reports the revocation at once. A server that only
    verifies the signature accepts an access token until it expires.
    """
    parameters = read_parameters(body)
    client = await authenticate_client(app, request, parameters, allow_public=True)
    issuer, token = request.caller, _token(parameters)
    if (refresh_token := REFRESH_TOKEN.read(app.keyring, issuer.tenant.id, token)) is not None:
        grant_id, context = refresh_token.row_id, event_context(request, client.client_id)
        log_events(
            app.log, await grants.revoke_grant(app.postgres, issuer.tenant.id, grant_id, client.client_id, context)
        )
    elif (claims := await access_tokens.read_access_token(app, issuer, token)) is not None:
        if claims.client_id != client.client_id:
            raise UnauthorizedClient
        await access_tokens.revoke(app, issuer, claims)
    request.headers.append(_NO_STORE)
    return Response(b"")


async def _refresh_token_state(app: Services, issuer: Issuer, client: Client, token: Derived) -> TokenState:
    grant = await grants.find_grant(app.postgres, issuer.tenant.id, token.row_id)
    if grant is None or grant.client_id != client.client_id or token.number < grant.refreshes:
        return TokenState(active=False)
    expires_at = grant.refreshable_until(issuer.tenant.settings.session_idle_after)
    if expires_at <= app.postgres.now():
        return TokenState(active=False)
    return TokenState(
        active=True,
        iss=issuer.url,
        sub=grant.user_id,
        client_id=grant.client_id,
        scope=" ".join(grant.scopes),
        exp=int(expires_at),
        sid=grant.session_id,
        gid=token.row_id,
        test=issuer.tenant.sandbox,
    )


async def issuer_jwks(app: Services, request: Request[Issuer]) -> Jwks:
    """Return the public keys that verify the tokens of this issuer (RFC 7517)."""
    request.headers.append(_CACHED)
    return Jwks(keys=await app.signing_keys.published(request.caller.tenant.id))


async def issuer_metadata(app: Services, request: Request[Issuer]) -> IssuerMetadata:
    """Return the endpoints of this issuer (RFC 8414)."""
    return _metadata(request)


async def issuer_configuration(app: Services, request: Request[Issuer]) -> IssuerMetadata:
    """Return the endpoints of this issuer, at the path of OpenID Connect Discovery."""
    return _metadata(request)


def _metadata(request: Request[Issuer]) -> IssuerMetadata:
    request.headers.append(_CACHED)
    return metadata(request.caller.url)


def _token(parameters: dict[str, str]) -> str:
    if "token" not in parameters:
        raise BadRequest("The parameter token is missing.")
    return parameters["token"]
