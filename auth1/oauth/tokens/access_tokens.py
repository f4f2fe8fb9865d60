"""Sign and check access tokens of OAuth clients: JWTs of type `at+jwt` (RFC 9068) by the keys of the issuer.

They are no session tokens: issuer, audience and keys differ.
"""

from typing import Annotated, Any, NamedTuple

import jwt
import msgspec
from msgspec import structs

from auth1.core.ids import new_id
from auth1.core.postgres import NoParams, Queries
from auth1.oauth.clients import Client
from auth1.oauth.issuers import Issuer
from auth1.oauth.tokens import grants
from auth1.oauth.tokens.grants import Grant
from auth1.oauth.tokens.id_tokens import ACR
from auth1.services import Services

TYPE = "at+jwt"
LIFE_S = 600

_QUERIES = Queries("oauth")
_REQUIRED = ["iss", "aud", "sub", "client_id", "iat", "exp", "jti"]


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of an access token (RFC 9068, 2.2). Times in seconds since 1970.

    Those of a user also have `sid`, the session, `gid`, the grant, and how the user logged in.
    """

    iss: str
    aud: str
    sub: str
    client_id: Annotated[str, msgspec.Meta(max_length=64)]
    scope: str = ""
    iat: int
    exp: int
    jti: Annotated[str, msgspec.Meta(max_length=64)]
    sid: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    gid: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    auth_time: int | None = None
    acr: str | None = None
    amr: list[str] | None = None
    test: bool = False


class _TokenKey(NamedTuple):
    tenant_id: str
    client_id: str
    jti: str


class _IsActive(NamedTuple):
    is_active: bool


class _RevokeToken(NamedTuple):
    tenant_id: str
    jti: str
    expires_at: float


_IS_TOKEN_ACTIVE = _QUERIES.statement("is_token_active", _TokenKey, _IsActive)
_REVOKE_TOKEN = _QUERIES.statement("revoke_token", _RevokeToken, NoParams)


async def sign_access_token(
    app: Services, issuer: Issuer, client: Client, scopes: list[str], grant: Grant | None = None
) -> str:
    """Return a token for the user of a grant, or for a client that acts for itself. Raises Unavailable."""
    now = int(app.postgres.now())
    claims = AccessClaims(
        iss=issuer.url,
        aud=issuer.url,
        sub=client.client_id if grant is None else grant.user_id,
        client_id=client.client_id,
        scope=" ".join(scopes),
        iat=now,
        exp=now + LIFE_S,
        jti=new_id("jti"),
        test=issuer.tenant.sandbox,
    )
    if grant is not None:
        claims = structs.replace(
            claims,
            sid=grant.session_id,
            gid=grant.grant_id,
            auth_time=int(grant.authenticated_at),
            acr=ACR[grant.acr],
            amr=grant.amr,
        )
    key = await app.signing_keys.active(issuer.tenant.id, client.id_token_alg)
    payload: dict[str, Any] = msgspec.to_builtins(claims)
    return jwt.encode(payload, key.key, key.alg, headers={"kid": key.kid, "typ": TYPE})


async def read_access_token(app: Services, issuer: Issuer, token: str) -> AccessClaims | None:
    """Verify a token of this issuer; None for any other text. Whether it was revoked is not checked."""
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ") != TYPE or (key := await app.signing_keys.public(issuer.tenant.id, header["kid"])) is None:
            return None
        # Its times are those of the database's clock, from which this machine's may differ.
        options: Any = {"require": _REQUIRED, "verify_iat": False, "verify_exp": False}
        payload = jwt.decode(token, key.key, [key.alg], options, audience=issuer.urls, issuer=issuer.urls)
        claims = msgspec.convert(payload, AccessClaims)
        return claims if claims.aud == claims.iss and claims.exp > app.postgres.now() else None
    except (jwt.PyJWTError, msgspec.ValidationError, KeyError, ValueError):
        return None


async def is_revoked(app: Services, issuer: Issuer, claims: AccessClaims) -> bool:
    """Return whether a token was revoked or its client disabled. The grant is not checked."""
    row = await app.postgres.row(_IS_TOKEN_ACTIVE, _TokenKey(issuer.tenant.id, claims.client_id, claims.jti))
    return row is None or not row.is_active


async def is_active(app: Services, issuer: Issuer, claims: AccessClaims) -> bool:
    """Return whether the client of a token is enabled, its grant live, and the token was not revoked."""
    if await is_revoked(app, issuer, claims):
        return False
    return claims.gid is None or await grants.find_grant(app.postgres, issuer.tenant.id, claims.gid) is not None


async def revoke(app: Services, issuer: Issuer, claims: AccessClaims) -> None:
    """Revoke a token until it expires."""
    await app.postgres.row(_REVOKE_TOKEN, _RevokeToken(issuer.tenant.id, claims.jti, claims.exp))
