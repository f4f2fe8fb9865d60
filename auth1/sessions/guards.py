"""Guards of routes that need a user's session token. They run before the body is read."""

import time
from typing import Any, NamedTuple

from auth1.authn.guards import bearer_token, find_tenant, tenant_at_the_door
from auth1.core.http.request import Request
from auth1.errors import InvalidToken, ReauthenticationRequired, SessionRevoked
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


async def logged_in(app: Services, request: Request[LoggedIn]) -> LoggedIn:
    """A user by session token, with a key of the tenant beside it.

    A token that we did not sign costs no question to anybody; a good one costs one of Redis.
    """
    return await _identify(app, request, await find_tenant(app, request))


async def logged_in_at_the_door(app: Services, request: Request[Any]) -> LoggedIn:
    """A user as above, where codes are sent or guessed: with one slot of RATE_LIMIT_MAX for the client's address."""
    return await _identify(app, request, await tenant_at_the_door(app, request))


def require_recent_login(caller: LoggedIn) -> None:
    """Raise ReauthenticationRequired when the last login is older than 5 minutes; a refresh is not a login."""
    if time.time() - caller.claims.auth_time > RECENT_LOGIN_S:
        raise ReauthenticationRequired


async def _identify(app: Services, request: Request[LoggedIn], tenant: Tenant) -> LoggedIn:
    claims = app.signer.check(tenant, bearer_token(request))
    user = await app.sessions.find(tenant, claims.sid)
    if user is None:
        raise SessionRevoked
    if user.user_id != claims.sub:
        raise InvalidToken  # written by somebody who has the tenant's secret
    request.log["user_id"] = user.user_id
    return LoggedIn(tenant, claims, user)
