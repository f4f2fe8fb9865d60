"""Manage the allow and block lists of a tenant, and those of the operator for all tenants."""

import msgspec

from auth1.authn.tenants import ALL_TENANTS
from auth1.core import timestamps
from auth1.core.http.request import Request
from auth1.errors import NotFound
from auth1.events.log import EventContext, RecordedEvent, event_context, log_events
from auth1.fraud.lists import store
from auth1.fraud.lists.schemas import ListEntryIn, ListEntryOut, ListEntryPage, ListEntryQuery
from auth1.fraud.lists.values import normalise
from auth1.services import Services
from auth1.tenants.settings import OPERATOR, Operator, TenantAdmin


async def list_entries(app: Services, request: Request[TenantAdmin], query: ListEntryQuery) -> ListEntryPage:
    """List the entries of a tenant's allow and block lists, newest first."""
    return await _list(app, request.caller.tenant_id, query)


async def add_entry(app: Services, request: Request[TenantAdmin], body: ListEntryIn) -> ListEntryOut:
    """Add an entry to a tenant's allow or block list.

    The longest match decides; at equal length a block entry decides before an allow entry.
    """
    return await _add(app, request.caller.tenant_id, body, request.caller.context)


async def delete_entry(app: Services, request: Request[TenantAdmin]) -> None:
    """Delete an entry of a tenant's lists."""
    await _delete(app, request.caller.tenant_id, request.parameters["entry_id"], request.caller.context)


async def list_shared_entries(app: Services, request: Request[Operator], query: ListEntryQuery) -> ListEntryPage:
    """List the entries that apply to every tenant, newest first."""
    return await _list(app, OPERATOR, query)


async def add_shared_entry(app: Services, request: Request[Operator], body: ListEntryIn) -> ListEntryOut:
    """Add an entry that applies to every tenant. A tenant's allow entry does not lift a block entry of the operator."""
    return await _add(app, OPERATOR, body, event_context(request, OPERATOR))


async def delete_shared_entry(app: Services, request: Request[Operator]) -> None:
    """Delete an entry that applies to every tenant."""
    await _delete(app, OPERATOR, request.parameters["entry_id"], event_context(request, OPERATOR))


async def _list(app: Services, owner: str, query: ListEntryQuery) -> ListEntryPage:
    entries = await store.list_entries(app.postgres, owner, query.cursor, query.list, query.kind, query.rows)
    return ListEntryPage(*query.split(entries, lambda entry: entry.entry_id))


async def _add(app: Services, owner: str, body: ListEntryIn, context: EventContext) -> ListEntryOut:
    if body.expires_at is not None:
        timestamps.require_future("expires_at", body.expires_at)
    new = msgspec.structs.replace(body, value=normalise(body.kind, body.value))
    entry, events = await store.add_entry(app.postgres, owner, new, context)
    await publish(app, owner, events)
    return entry


async def _delete(app: Services, owner: str, entry_id: str, context: EventContext) -> None:
    events = await store.delete_entry(app.postgres, owner, entry_id, context)
    if events is None:
        raise NotFound
    await publish(app, owner, events)


async def publish(app: Services, owner: str, events: list[RecordedEvent]) -> None:
    """Log the events of a change of lists, and let all workers load the lists again."""
    log_events(app.log, events)
    await app.tenants.publish_invalidation(ALL_TENANTS if owner == OPERATOR else owner)
