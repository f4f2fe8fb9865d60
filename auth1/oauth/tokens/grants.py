"""The statements of grants: what a user granted to an application by one login."""

from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, find_nothing, function, repeat_once
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.oauth.tokens.derived_tokens import Derived
from auth1.sessions.refresh_tokens import GRACE_S

MAX_GRANTS = 100  # of a session for an application: its logins in other tabs, and silent ones
_MAX_REPLACED = 2  # grants that a new one replaces: so their number falls again after concurrent exchanges

_QUERIES = Queries("oauth")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class UserProfile(NamedTuple):
    """The data of a user that claims are made of. Metadata is JSON."""

    phone: str | None
    email: str | None
    metadata: str
    user_metadata: str

    def values(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the metadata that the tenant sets, and that which the user sets."""
        return _decode(self.metadata), _decode(self.user_metadata)


class Grant(NamedTuple):
    """A live grant. `number` is that of its live refresh token.

    `nonce` is of the first ID token only (OpenID Connect Core, 12.2).
    """

    grant_id: str
    number: int
    user_id: str
    session_id: str
    scopes: list[str]
    nonce: str | None
    acr: int
    amr: list[str]
    authenticated_at: float
    profile: UserProfile


class Exchanged(NamedTuple):
    """The result of a code or refresh token: a grant, unless the verdict is `none` (invalid) or `reused`."""

    verdict: Literal["ok", "rotated", "repeated", "none", "reused"]
    grant: Grant | None
    events: list[RecordedEvent]


class FoundGrant(NamedTuple):
    """A live grant, as checks of its tokens need it."""

    client_id: str
    user_id: str
    session_id: str
    scopes: list[str]
    refreshes: int
    expires_at: float
    used_at: float  # the last refresh, or the login
    profile: UserProfile

    def refreshable_until(self, idle_after: int) -> float:
        """Return until when its refresh token is valid, unless it is used before."""
        return min(self.expires_at, self.used_at + idle_after)


class _RedeemCode(NamedTuple):
    tenant_id: str
    login_id: str
    number: int
    client_id: str
    redirect_uri: str
    code_challenge: str | None
    grant_id: str
    grant_expires_in: int
    max_grants: int
    event_id: str
    replaced_event_ids: list[str]
    actor: str
    request_id: str | None
    network: str | None
    deadline: datetime | None = None  # set by Postgres.call


class _RefreshGrant(NamedTuple):
    tenant_id: str
    grant_id: str
    number: int
    client_id: str
    grace_s: int
    idle_after: int
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    deadline: datetime | None = None  # set by Postgres.call


class _Exchange(NamedTuple):
    verdict: Literal["ok", "rotated", "repeated", "none", "reused"]
    grant_id: str
    number: int
    user_id: str
    session_id: str
    scopes: list[str]
    nonce: str | None
    acr: int
    amr: list[str]
    authenticated_at: float
    phone: str | None
    email: str | None
    metadata: str
    user_metadata: str
    events: str | None

    def read(self) -> Exchanged:
        grant = None
        if self.verdict not in ("none", "reused"):
            grant = Grant(*self[1:10], UserProfile(*self[10:14]))
        return Exchanged(self.verdict, grant, read_events(self.events))


class _FindGrant(NamedTuple):
    tenant_id: str
    grant_id: str


class _FoundGrant(NamedTuple):
    client_id: str | None
    user_id: str
    session_id: str
    scopes: list[str]
    refreshes: int
    expires_at: float
    used_at: float
    phone: str | None
    email: str | None
    metadata: str
    user_metadata: str


class _RevokeGrant(NamedTuple):
    tenant_id: str
    grant_id: str
    client_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


_REDEEM_CODE = function("redeem_code", _RedeemCode, _Exchange)
_REFRESH_GRANT = function("refresh_grant", _RefreshGrant, _Exchange)
_FIND_GRANT = function("find_grant", _FindGrant, _FoundGrant)
_REVOKE_GRANT = _QUERIES.statement("revoke_grant", _RevokeGrant, RecordedEvents)


class CodeExchange(NamedTuple):
    """A code with what its client sent. `code_challenge` is that of the verifier."""

    code: Derived
    client_id: str
    redirect_uri: str
    code_challenge: str | None


async def redeem_code(
    postgres: Postgres, tenant_id: str, exchange: CodeExchange, expires_in: int, context: EventContext
) -> Exchanged:
    """Exchange a code for a grant of `expires_in` seconds."""
    params = _RedeemCode(
        tenant_id,
        *exchange.code,
        exchange.client_id,
        exchange.redirect_uri,
        exchange.code_challenge,
        grant_id=new_id("gr"),
        grant_expires_in=expires_in,
        max_grants=MAX_GRANTS,
        event_id=new_id("evt"),
        replaced_event_ids=[new_id("evt") for _ in range(_MAX_REPLACED)],
        **context._asdict(),
    )
    # Repeated after a lost connection, it finds the grant of this call.
    [row] = await repeat_once(partial(postgres.call, _REDEEM_CODE, params), find_nothing)
    return row.read()


async def refresh_grant(
    postgres: Postgres, tenant_id: str, token: Derived, client_id: str, idle_after: int, context: EventContext
) -> Exchanged:
    """Rotate the refresh token of a grant, which ends after `idle_after` seconds without a refresh."""
    params = _RefreshGrant(
        tenant_id, token.row_id, token.number, client_id, GRACE_S, idle_after, new_id("evt"), *context
    )
    [row] = await repeat_once(partial(postgres.call, _REFRESH_GRANT, params), find_nothing)
    return row.read()


async def find_grant(postgres: Postgres, tenant_id: str, grant_id: str) -> FoundGrant | None:
    """Return a grant, None unless it is live."""
    [row] = await postgres.call(_FIND_GRANT, _FindGrant(tenant_id, grant_id))
    if row.client_id is None:
        return None
    return FoundGrant(row.client_id, *row[1:7], UserProfile(*row[7:]))


async def revoke_grant(
    postgres: Postgres, tenant_id: str, grant_id: str, client_id: str, context: EventContext
) -> list[RecordedEvent]:
    """Revoke a grant of a client; returns the event if it was not revoked."""
    params = _RevokeGrant(tenant_id, grant_id, client_id, new_id("evt"), *context)
    row = await postgres.row(_REVOKE_GRANT, params)
    return read_events(row.events if row else None)
