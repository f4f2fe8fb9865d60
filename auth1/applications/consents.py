"""The applications that a user lets read the account: listed, and ended with everything that they were granted."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import NotFound
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.row_keys import UserKey

_QUERIES = Queries("consents")


class Consent(NamedTuple):
    """An application with access. `last_used_at` is the last login or refresh, None without a live grant."""

    client_id: str
    name: str
    scopes: list[str]
    granted_at: datetime
    last_used_at: datetime | None


class _Key(NamedTuple):
    tenant_id: str
    user_id: str
    client_id: str


class _Id(NamedTuple):
    id: str


class _End(NamedTuple):
    tenant_id: str
    user_id: str
    client_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


_LIST = _QUERIES.statement("list_consents", UserKey, Consent)
_LOCK_CODES = _QUERIES.statement("lock_codes_to_end", _Key, _Id)
_LOCK_CONSENT = _QUERIES.statement("lock_consent", _Key, _Id)
_END = _QUERIES.statement("end_consent", _End, RecordedEvents)


async def list_consents(postgres: Postgres, tenant_id: str, user_id: str) -> list[Consent]:
    """List the applications that have access to a user's account, by id. First-party ones have it without a consent."""
    return await postgres.rows(_LIST, UserKey(tenant_id, user_id))


async def end_consent(
    postgres: Postgres, tenant_id: str, user_id: str, client_id: str, context: EventContext
) -> list[RecordedEvent]:
    """End the access of an application: its consent, its grants, and codes that are not redeemed. Raises NotFound."""

    async def work(transaction: Transaction) -> list[RecordedEvent]:
        key = _Key(tenant_id, user_id, client_id)
        await transaction.rows(_LOCK_CODES, key)
        await transaction.rows(_LOCK_CONSENT, key)
        end = _End(tenant_id, user_id, client_id, new_id("evt"), *context)
        row = await transaction.row(_END, end)
        if row is None:
            raise NotFound
        return read_events(row.events)

    return await postgres.in_transaction(work)
