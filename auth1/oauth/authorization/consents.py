"""Find and store consents of users to applications. `auth1/applications/consents.py` lists and ends them."""

from collections.abc import Sequence
from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import Queries, function
from auth1.events.log import EventContext, RecordedEvents, log_events, read_events
from auth1.oauth.issuers import Issuer
from auth1.services import Services

_QUERIES = Queries("oauth")


class _Wanted(NamedTuple):
    tenant_id: str
    user_id: str
    client_id: str
    scopes: list[str]


class _NeedsConsent(NamedTuple):
    needs_consent: bool


class _GiveConsent(NamedTuple):
    tenant_id: str
    user_id: str
    client_id: str
    scopes: list[str]
    event_id: str
    request_id: str | None
    network: str | None


_NEEDS_CONSENT = function("needs_consent", _Wanted, _NeedsConsent)
_GIVE_CONSENT = _QUERIES.statement("give_consent", _GiveConsent, RecordedEvents)


async def needs_consent(app: Services, issuer: Issuer, user_id: str, client_id: str, scopes: Sequence[str]) -> bool:
    """Return whether a user must allow scopes to an application. Applications of the tenant itself need no consent."""
    [row] = await app.postgres.call(_NEEDS_CONSENT, _Wanted(issuer.tenant.id, user_id, client_id, list(scopes)))
    return row.needs_consent


async def give_consent(
    app: Services, issuer: Issuer, user_id: str, client_id: str, scopes: Sequence[str], context: EventContext
) -> None:
    """Store that a user allows scopes to an application, beside those of earlier consents. The actor is the user."""
    params = _GiveConsent(
        issuer.tenant.id, user_id, client_id, list(scopes), new_id("evt"), context.request_id, context.network
    )
    row = await app.postgres.row(_GIVE_CONSENT, params)
    log_events(app.log, read_events(row.events if row else None))
