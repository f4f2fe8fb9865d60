"""The OAuth endpoints of a tenant: token, introspect, revoke, public keys and metadata."""

from msgspec import structs

from auth1.core.http.request import Form, Request, Response
from auth1.errors import BadRequest, InvalidScope, UnauthorizedClient, UnsupportedGrantType
from auth1.oauth import access_tokens
from auth1.oauth.clients import authenticate_client, read_parameters
from auth1.oauth.issuers import Issuer
from auth1.oauth.schemas import AccessToken, IssuerMetadata, TokenState
from auth1.services import Services
from auth1.sessions.schemas import BEARER, Jwks

CLIENT_CREDENTIALS = "client_credentials"
_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
_CACHED = (b"cache-control", b"public, max-age=600")
_NO_STORE = (b"cache-control", b"no-store")


async def issue_token(app: Services, request: Request[Issuer], body: Form) -> AccessToken:
    """Issue an access token to an application that acts for itself (client credentials grant).

    The client authenticates by HTTP Basic or by `client_id` and `client_secret`. Without `scope` the token has all
    scopes of the application.
    """
    parameters = read_parameters(body)
    client = await authenticate_client(app, request, parameters)
    grant_type = parameters.get("grant_type")
    if grant_type is None:
        raise BadRequest("The parameter grant_type is missing.")
    if grant_type != CLIENT_CREDENTIALS:
        raise UnsupportedGrantType
    scopes = list(dict.fromkeys(parameters.get("scope", "").split())) or client.scopes
    if not set(scopes) <= set(client.scopes):
        raise InvalidScope
    token = await access_tokens.sign_access_token(app, request.caller, client, scopes)
    request.headers.append(_NO_STORE)
    return AccessToken(access_token=token, expires_in=access_tokens.LIFE_S, scope=" ".join(scopes))


async def introspect_token(app: Services, request: Request[Issuer], body: Form) -> TokenState:
    """Return whether an access token of this issuer is active, and its claims (RFC 7662)."""
    parameters = read_parameters(body)
    await authenticate_client(app, request, parameters)
    claims = await access_tokens.read_access_token(app, request.caller, _token(parameters))
    request.headers.append(_NO_STORE)
    if claims is None or not await access_tokens.is_active(app, request.caller, claims):
        return TokenState(active=False)
    return TokenState(active=True, token_type=BEARER, **structs.asdict(claims))


async def revoke_token(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Revoke an access token of the client (RFC 7009). A token that is not valid is no error.

    Introspection reports the revocation at once. A server that only verifies the signature accepts the token until it
    expires.
    """
    parameters = read_parameters(body)
    client = await authenticate_client(app, request, parameters)
    claims = await access_tokens.read_access_token(app, request.caller, _token(parameters))
    if claims is not None:
        if claims.client_id != client.client_id:
            raise UnauthorizedClient
        await access_tokens.revoke(app, request.caller, claims)
    request.headers.append(_NO_STORE)
    return Response(b"")


async def issuer_jwks(app: Services, request: Request[Issuer]) -> Jwks:
    """Return the public keys that verify the tokens of this issuer (RFC 7517)."""
    request.headers.append(_CACHED)
    return Jwks(keys=await app.signing_keys.published(request.caller.tenant.id))


async def issuer_metadata(app: Services, request: Request[Issuer]) -> IssuerMetadata:
    """Return the endpoints of this issuer (RFC 8414)."""
    return _metadata(request)


async def issuer_configuration(app: Services, request: Request[Issuer]) -> IssuerMetadata:
    """Return the same, at the path where clients of OpenID Connect look for it."""
    return _metadata(request)


def _metadata(request: Request[Issuer]) -> IssuerMetadata:
    request.headers.append(_CACHED)
    url = request.caller.url
    return IssuerMetadata(
        issuer=url,
        jwks_uri=f"{url}/jwks",
        token_endpoint=f"{url}/token",
        introspection_endpoint=f"{url}/introspect",
        revocation_endpoint=f"{url}/revoke",
        grant_types_supported=[CLIENT_CREDENTIALS],
        response_types_supported=[],  # there is no authorization endpoint
        token_endpoint_auth_methods_supported=_AUTH_METHODS,
        introspection_endpoint_auth_methods_supported=_AUTH_METHODS,
        revocation_endpoint_auth_methods_supported=_AUTH_METHODS,
    )


def _token(parameters: dict[str, str]) -> str:
    if "token" not in parameters:
        raise BadRequest("The parameter token is missing.")
    return parameters["token"]
