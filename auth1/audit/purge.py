"""Delete expired events: whole months by EVENTS_RETENTION_MONTHS, and events of a tenant by its events_retention_days.

Each purge takes two rounds or more. The first one writes `audit.purged`; a later one deletes, once that event is
sealed. So a verification knows which events may be missing, and since when.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import NoParams, Queries
from auth1.events.log import RecordedEvents, log_events, read_events
from auth1.services import Services

TENANTS = 500  # of a statement
ROWS = 1000  # of a step
MAX_STEPS = 50  # per tenant and round

_QUERIES = Queries("event_purges")


class _Page(NamedTuple):
    after: str
    max_rows: int


class _Months(NamedTuple):
    months: int


class _Expired(NamedTuple):
    cutoff: str
    moment: datetime


class _Unmarked(NamedTuple):
    cutoff: str
    moment: datetime
    max_rows: int


class _Tenant(NamedTuple):
    """A tenant with expired events. `marked_below`: the newest mark; `is_sealed`: whether a seal contains that mark."""

    tenant_id: str
    cutoff: str
    moment: datetime
    marked_below: str | None
    is_sealed: bool


class _Marks(NamedTuple):
    tenant_ids: list[str]
    event_ids: list[str]
    cutoff: str
    moment: datetime
    reason: str


class _Purge(NamedTuple):
    tenant_id: str
    before: str
    max_rows: int


class _Purged(NamedTuple):
    purged: int


_EXPIRED_TENANTS = _QUERIES.statement("list_expired_tenants", _Page, _Tenant)
_EXPIRED_MONTH = _QUERIES.statement("find_expired_month", _Months, _Expired)
_UNMARKED_TENANTS = _QUERIES.statement("list_unmarked_tenants", _Unmarked, _Tenant)
_MARK = _QUERIES.statement("mark_purges", _Marks, RecordedEvents)
_PURGE = _QUERIES.statement("purge_events", _Purge, _Purged)
_DROP_PARTITIONS = _QUERIES.statement("drop_partitions", _Months, NoParams)


async def drop_months(app: Services) -> None:
    """Mark and drop the months after the retention period of the operator. Raises Unavailable."""
    months = app.settings.events_retention_months
    expired = await app.postgres.row(_EXPIRED_MONTH, _Months(months))
    if expired is None:
        return
    page = _Unmarked(*expired, TENANTS)
    while unmarked := await app.postgres.report(_UNMARKED_TENANTS, page, readonly=False):
        new = [one for one in unmarked if (one.marked_below or "") < one.cutoff]
        if not new:
            return  # the marks are not sealed yet
        await _mark(app, new, "EVENTS_RETENTION_MONTHS")
    await app.postgres.report(_DROP_PARTITIONS, _Months(months), readonly=False)


async def purge_tenants(app: Services) -> None:
    """Mark and delete events of tenants with a retention period of their own. Raises Unavailable."""
    after: str | None = ""
    while after is not None:
        tenants = await app.postgres.report(_EXPIRED_TENANTS, _Page(after, TENANTS), readonly=False)
        for tenant in tenants:
            if tenant.marked_below is not None and tenant.is_sealed:
                await _purge(app, tenant.tenant_id, tenant.marked_below)
            if (tenant.marked_below or "") < tenant.cutoff:
                await _mark(app, [tenant], "events_retention_days")
        after = tenants[-1].tenant_id if len(tenants) == TENANTS else None


async def _mark(app: Services, tenants: Sequence[_Tenant], reason: str) -> None:
    ids = [tenant.tenant_id for tenant in tenants]
    marks = _Marks(ids, [new_id("evt") for _ in ids], tenants[0].cutoff, tenants[0].moment, reason)
    written = await app.postgres.row(_MARK, marks)
    log_events(app.log, read_events(written.events if written is not None else None))


async def _purge(app: Services, tenant_id: str, before: str) -> None:
    for _ in range(MAX_STEPS):
        row = await app.postgres.row(_PURGE, _Purge(tenant_id, before, ROWS))
        if row is None or row.purged < ROWS:
            return
