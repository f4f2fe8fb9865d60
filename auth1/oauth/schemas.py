"""Responses of the OAuth endpoints of a tenant."""

import msgspec

from auth1.core.schemas import Out
from auth1.sessions.schemas import BEARER


class AccessToken(Out, kw_only=True):
    """An access token (RFC 6749, 5.1). `expires_in` is in seconds."""

    access_token: str
    token_type: str = BEARER
    expires_in: int
    scope: str


class TokenState(Out, omit_defaults=True, kw_only=True):
    """The claims of an active access token (RFC 7662, 2.2); for any other token only `active`."""

    active: bool
    token_type: str | None = None
    iss: str | None = None
    aud: str | None = None
    sub: str | None = None
    client_id: str | None = None
    scope: str | None = None
    iat: int | None = None
    exp: int | None = None
    jti: str | None = None
    test: bool = False


class IssuerMetadata(msgspec.Struct, kw_only=True):
    """The endpoints and abilities of an issuer (RFC 8414, 2)."""

    issuer: str
    jwks_uri: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
