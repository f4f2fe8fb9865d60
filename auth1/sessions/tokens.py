"""The session token: a JWT of type `at+jwt` (RFC 9068), signed with a key of the tenant's own.

The key is derived from JWT_SECRET, tenant and key version, so that no tenant can forge another's tokens; the tenant
gets it as text (`jwt_secret`), and that text's bytes are the HMAC key, so that it works as it is in every JWT library.
"""

import base64
import secrets
import time
from typing import NamedTuple

import jwt

from auth1.core.crypto import Keyring, digest
from auth1.core.ids import new_id

TOKEN_LIFE_S = 900


class RefreshToken(NamedTuple):
    """A refresh token at the only moment it can be read, and what is kept of it."""

    text: str
    digest: bytes


def signing_secret(keyring: Keyring, tenant_id: str, version: int) -> str:
    """The tenant's HS256 secret: 43 characters of base64url, 256 bits."""
    key = keyring.derive(f"jwt:{tenant_id}:{version}")
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def sign(
    keyring: Keyring,
    *,
    issuer: str,
    tenant_id: str,
    version: int,
    user_id: str,
    session_id: str,
    amr: list[str],
    identifier_claim: str,
    identifier: str,
) -> str:
    """Sign the token of a session that has just been opened. `amr` as in RFC 8176."""
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": tenant_id,
        "sub": user_id,
        "sid": session_id,
        "iat": now,
        "exp": now + TOKEN_LIFE_S,
        "jti": new_id("jti"),
        "amr": amr,
        "auth_time": now,
        identifier_claim: identifier,
    }
    if tenant_id.endswith(":test"):
        claims["test"] = True
    headers = {"typ": "at+jwt", "kid": f"{tenant_id}.{version}"}
    return jwt.encode(claims, signing_secret(keyring, tenant_id, version), algorithm="HS256", headers=headers)


def new_refresh_token(session_id: str) -> RefreshToken:
    """Make the refresh token of a session: it names the session, and 256 random bits prove it."""
    text = f"auth1_rt_{session_id.partition('_')[2]}_{secrets.token_urlsafe(32)}"
    return RefreshToken(text, digest(text))
