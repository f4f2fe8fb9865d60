"""Sign ID tokens (OpenID Connect Core, 2), and read those that a client sends back as a hint."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

import jwt
import msgspec

from auth1.core.crypto import base64url
from auth1.core.ids import new_id
from auth1.oauth.issuers import Issuer
from auth1.oauth.tokens.grants import Grant
from auth1.oauth.tokens.user_claims import user_claims
from auth1.services import Services
from auth1.sessions.tokens import AAL1
from auth1.signing.keys import Alg

LIFE_S = 600
LOGOUT_LIFE_S = 120
LOGOUT_TYPE = "logout+jwt"
ACR = {1: AAL1, 2: "urn:auth1:aal2"}  # by the number in the row
REACHABLE_ACRS = (AAL1,)  # by the codes and links of a login
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
# The hash of `at_hash` belongs to the algorithm of the token; Ed25519 signs with SHA-512.
_HASHES = {"RS256": hashlib.sha256, "ES256": hashlib.sha256, "EdDSA": hashlib.sha512}
_REQUIRED = ["iss", "aud", "sub", "sid", "exp", "iat", "auth_time"]


class IdTokenHint(msgspec.Struct, frozen=True):
    """The claims of an ID token of ours about a login. The token may have expired."""

    client_id: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(name="aud")
    user_id: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(name="sub")
    session_id: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(name="sid")


async def sign_id_token(
    app: Services, issuer: Issuer, client_id: str, alg: Alg, grant: Grant, access_token: str
) -> str:
    """Return the ID token of a grant. It contains the claims of the scopes. Raises Unavailable."""
    now = int(app.postgres.now())
    claims: dict[str, Any] = {
        **user_claims(grant.scopes, grant.profile),
        "iss": issuer.url,
        "aud": client_id,
        "sub": grant.user_id,
        "sid": grant.session_id,
        "iat": now,
        "exp": now + LIFE_S,
        "auth_time": int(grant.authenticated_at),
        "acr": ACR[grant.acr],
        "amr": grant.amr,
        "at_hash": _half_hash(alg, access_token),
    }
    if grant.nonce is not None:
        claims["nonce"] = grant.nonce
    return await _sign(app, issuer, alg, claims, "JWT")


async def sign_logout_token(
    app: Services, issuer: Issuer, client_id: str, alg: Alg, user_id: str, session_id: str
) -> str:
    """Return the token that notifies a client of the end of a session (Back-Channel Logout 1.0, 2.4)."""
    now = int(app.postgres.now())
    claims = {
        "iss": issuer.url,
        "aud": client_id,
        "sub": user_id,
        "sid": session_id,
        "iat": now,
        "exp": now + LOGOUT_LIFE_S,
        "jti": new_id("jti"),
        "events": {_LOGOUT_EVENT: {}},
    }
    return await _sign(app, issuer, alg, claims, LOGOUT_TYPE)


async def read_id_token(app: Services, issuer: Issuer, token: str) -> IdTokenHint | None:
    """Verify an ID token of this issuer, which may have expired; None for any other text."""
    try:
        header = jwt.get_unverified_header(token)
        key = await app.signing_keys.public(issuer.tenant.id, header["kid"]) if header.get("typ") == "JWT" else None
        if key is None:
            return None
        # The instance that signed it may have a faster clock.
        options: Any = {"require": _REQUIRED, "verify_iat": False, "verify_exp": False, "verify_aud": False}
        payload = jwt.decode(token, key.key, [key.alg], options, issuer=issuer.urls)
        return msgspec.convert(payload, IdTokenHint)
    except (jwt.PyJWTError, msgspec.ValidationError, KeyError, ValueError):
        return None


async def _sign(app: Services, issuer: Issuer, alg: Alg, claims: Mapping[str, Any], token_type: str) -> str:
    key = await app.signing_keys.active(issuer.tenant.id, alg)
    if issuer.tenant.sandbox:
        claims = {**claims, "test": True}
    return jwt.encode(dict(claims), key.key, key.alg, headers={"kid": key.kid, "typ": token_type})


def _half_hash(alg: Alg, text: str) -> str:
    """Return the left half of a hash in base64url (OpenID Connect Core, 3.1.3.6)."""
    whole = _HASHES[alg](text.encode()).digest()
    return base64url(whole[: len(whole) // 2])
