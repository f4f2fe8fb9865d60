"""Authenticate a user by session token, before the body is read."""

from typing import NamedTuple

from auth1.authn.guards import ANY_KEY, KEY_ERRORS, bearer_token
from auth1.authn.tenants import find_tenant
from auth1.core.http.request import Request
from auth1.core.http.router import Auth
from auth1.core.ratelimit import ClientRateLimit
from auth1.errors import InvalidToken, ReauthenticationRequired, SessionRevoked, TokenExpired
from auth1.services import Services
from auth1.sessions.schemas import SessionUser
from auth1.sessions.tokens import Claims
from auth1.tenants.settings import Tenant

RECENT_LOGIN_S = 300


class LoggedIn(NamedTuple):
    """A user of a tenant, by a live session."""

    tenant: Tenant
    claims: Claims
    user: SessionUser

    @property
    def user_id(self) -> str:
        return self.user.user_id

    @property
    def session_id(self) -> str:
        return self.claims.sid


async def _session(app: Services, request: Request[LoggedIn], rate_limit: ClientRateLimit | None) -> LoggedIn:
    """Return the user of a session token, with a key of the same tenant beside it.

    A token with a wrong signature costs no read of Redis; a valid one costs one.
    """
    tenant = await find_tenant(app, request, rate_limit)
    claims = app.signer.check(tenant, bearer_token(request, "the token of a user's session"))
    user = await app.sessions.find(tenant, claims.sid)
    if user is None:
        raise SessionRevoked
    if user.user_id != claims.sub:
        raise InvalidToken  # forged with the tenant's secret
    request.log["user_id"] = user.user_id
    return LoggedIn(tenant, claims, user)


def require_recent_login(app: Services, caller: LoggedIn) -> None:
    """Raise ReauthenticationRequired when the last login is older than 5 minutes; a refresh is not a login."""
    if app.postgres.now() - caller.claims.auth_time > RECENT_LOGIN_S:
        raise ReauthenticationRequired


# A user, by session token and any key of the tenant.
session = Auth(
    "session",
    _session,
    tuple((*key, "sessionToken") for key in ANY_KEY),
    (*KEY_ERRORS, InvalidToken, TokenExpired, SessionRevoked),
    ("auth1-forwarded-for",),
)
