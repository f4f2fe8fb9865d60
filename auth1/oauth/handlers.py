"""Exchange grants for tokens, introspect tokens, and publish keys and the discovery document."""

from msgspec import structs

from auth1.challenges.schemas import ChallengeGrant, CodeGrant
from auth1.core.http.request import Request
from auth1.errors import ApiError
from auth1.magic_links import handlers as magic_links
from auth1.services import Services
from auth1.sessions import refresh
from auth1.sessions.schemas import (
    BEARER,
    Introspected,
    Introspection,
    Jwks,
    Metadata,
    RefreshGrant,
    Tokens,
    Verified,
)
from auth1.tenants.settings import Tenant

Grant = RefreshGrant | CodeGrant | ChallengeGrant
_CACHED = (b"cache-control", b"public, max-age=600")


async def token(app: Services, request: Request[Tenant], grant: Grant) -> Tokens | Verified:
    """Exchange a refresh token, an authorization code, or a challenge with a confirmed link for tokens."""
    if isinstance(grant, RefreshGrant):
        return await refresh.refresh(app, request, grant)
    return await magic_links.redeem(app, request, grant)


async def introspect(app: Services, request: Request[Tenant], body: Introspection) -> Introspected:
    """Return whether a token is active, and its claims (RFC 7662)."""
    tenant = request.caller
    try:
        claims = app.signer.check(tenant, body.token)
    except ApiError:
        return Introspected(active=False)  # without a reason (RFC 7662, 2.2)
    user = await app.sessions.find(tenant, claims.sid)
    if user is None or user.user_id != claims.sub:
        return Introspected(active=False)
    return Introspected(active=True, token_type=BEARER, **structs.asdict(claims))


async def jwks(app: Services, request: Request[None]) -> Jwks:
    """Return the public keys that sign tokens (RFC 7517). HS256 keys are secret, so the list is then empty."""
    request.headers.append(_CACHED)
    return Jwks(keys=app.signer.jwks["keys"])


async def discovery(app: Services, request: Request[None]) -> Metadata:
    """Return the issuer and the address of its keys. Auth1 is no OpenID provider: it issues no ID tokens."""
    request.headers.append(_CACHED)
    url = app.settings.app_url
    return Metadata(
        issuer=url,
        jwks_uri=f"{url}/.well-known/jwks.json",
        access_token_signing_alg_values_supported=app.signer.algorithms,
    )
