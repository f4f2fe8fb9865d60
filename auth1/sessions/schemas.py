"""Bodies of requests and responses: tokens, sessions, introspection, public keys."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from auth1.core.schemas import In, Out

BEARER = "Bearer"  # the scheme of RFC 6750


class SessionUser(msgspec.Struct, frozen=True, array_like=True):
    """A live session and its user, as the cache in Redis contains it. Times in seconds since 1970."""

    user_id: str
    channel: str
    opened_at: float
    ends_at: float
    phone: str | None
    email: str | None
    created_at: datetime
    last_login_at: datetime | None
    metadata: msgspec.Raw
    user_metadata: msgspec.Raw


class RefreshGrant(In, tag_field="grant_type", tag="refresh_token"):
    """Exchange a refresh token for a new pair of tokens."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Tokens(Out, kw_only=True):
    """A session's tokens. `expires_in` is the session token's life in seconds."""

    token: str
    token_type: str = BEARER
    expires_in: int
    refresh_token: str
    user_id: str
    session_id: str


class Verified(Tokens, kw_only=True):
    """The tokens of a new session."""

    verified: bool = True
    is_new_user: bool


class LogoutIn(In):
    """The sessions of the user to revoke: this one, all others, or all."""

    scope: Literal["local", "others", "global"] = "local"


class SessionOut(Out):
    """A live session. `network` is the /24 (IPv6: /48) that it was opened from; `channel` is how it was opened."""

    session_id: str
    channel: str
    device_name: str | None
    user_agent: str | None
    network: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool | msgspec.UnsetType = msgspec.UNSET


class SessionPage(Out):
    """A page of a user's sessions, newest first; `next_cursor` is the start of the next page."""

    data: list[SessionOut]
    next_cursor: str | None


class Introspection(In, kw_only=True):
    """A token to introspect (RFC 7662, 2.1). The hint is ignored."""

    token: Annotated[str, msgspec.Meta(max_length=10_000)]
    token_type_hint: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class Introspected(Out, omit_defaults=True, kw_only=True):
    """The claims of an active token (RFC 7662, 2.2); for any other token only `active`."""

    active: bool
    token_type: str | None = None
    iss: str | None = None
    aud: str | None = None
    sub: str | None = None
    sid: str | None = None
    iat: int | None = None
    exp: int | None = None
    jti: str | None = None
    amr: list[str] | None = None
    acr: str | None = None
    auth_time: int | None = None
    phone_number: str | None = None
    email: str | None = None
    test: bool = False


class Jwks(Out):
    """The public keys that verify tokens (RFC 7517)."""

    keys: list[dict[str, str]]


class Metadata(Out):
    """The issuer of tokens and the address of its keys. It names no endpoints, because they are not those of OAuth."""

    issuer: str
    jwks_uri: str
    access_token_signing_alg_values_supported: list[str]
