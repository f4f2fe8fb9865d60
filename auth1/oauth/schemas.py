"""Responses of the OAuth endpoints of a tenant."""

import msgspec

from auth1.core.schemas import Out
from auth1.sessions.schemas import BEARER


class AccessToken(Out, kw_only=True):
    """An access token (RFC 6749, 5.1). `expires_in` is in seconds.

    The token of a user comes with an `id_token` if the scope `openid` was granted.
    """

    access_token: str
    token_type: str = BEARER
    expires_in: int
    scope: str
    id_token: str | msgspec.UnsetType = msgspec.UNSET
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class PushedRequest(Out, kw_only=True):
    """A stored authorization request (RFC 9126, 2.2). `expires_in` is in seconds."""

    request_uri: str
    expires_in: int


class UserInfo(Out, omit_defaults=True, kw_only=True):
    """The claims of a user that the scopes of an access token allow (OpenID Connect Core, 5.1)."""

    sub: str
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    middle_name: str | None = None
    nickname: str | None = None
    preferred_username: str | None = None
    profile: str | None = None
    picture: str | None = None
    website: str | None = None
    gender: str | None = None
    birthdate: str | None = None
    zoneinfo: str | None = None
    locale: str | None = None
    email: str | None = None
    email_verified: bool | None = None
    phone_number: str | None = None
    phone_number_verified: bool | None = None


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
    sid: str | None = None
    gid: str | None = None
    auth_time: int | None = None
    acr: str | None = None
    amr: list[str] | None = None
    test: bool = False


class IssuerMetadata(msgspec.Struct, kw_only=True):
    """The endpoints and capabilities of an issuer (RFC 8414, 2)."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str
    pushed_authorization_request_endpoint: str
    require_pushed_authorization_requests: bool
    token_endpoint: str
    userinfo_endpoint: str
    end_session_endpoint: str
    backchannel_logout_supported: bool
    backchannel_logout_session_supported: bool
    introspection_endpoint: str
    revocation_endpoint: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    response_modes_supported: list[str]
    code_challenge_methods_supported: list[str]
    authorization_response_iss_parameter_supported: bool
    scopes_supported: list[str]
    claims_supported: list[str]
    claims_parameter_supported: bool
    request_parameter_supported: bool
    request_uri_parameter_supported: bool
    prompt_values_supported: list[str]
    acr_values_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
