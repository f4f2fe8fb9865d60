"""Read events: a tenant its own, the operator those of one tenant or of all."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import msgspec

from auth1.audit import export, lists
from auth1.audit.schemas import (
    EventExportQuery,
    EventOut,
    EventPage,
    EventQuery,
    Format,
    TenantEventOut,
    TenantEventPage,
)
from auth1.core.http.request import CSV, NDJSON, Request, Stream
from auth1.events.reader import EventRow
from auth1.services import Services
from auth1.tenants.settings import Operator, TenantAdmin


async def list_events(app: Services, request: Request[TenantAdmin], query: EventQuery) -> EventPage:
    """List events, newest first. A page may be empty and have a `next_cursor`: it looks at 20,000 events at most."""
    rows, cursor = await lists.list_events(app.reads, request.caller.tenant_id, query)
    return EventPage([EventOut(*_values(row)) for row in rows], cursor)


async def list_all_events(app: Services, request: Request[Operator], query: EventQuery) -> TenantEventPage:
    """List the events of all tenants, newest first."""
    rows, cursor = await lists.list_all_events(app.reads, query)
    return TenantEventPage([TenantEventOut(*_values(row, row.tenant_id)) for row in rows], cursor)


async def export_events(app: Services, request: Request[TenantAdmin], query: EventExportQuery) -> Stream:
    """Export events, oldest first, as NDJSON or CSV. `after` continues after an event_id; a cut-off response breaks."""
    return _stream(request, query.format, await _begin(app, request.caller.tenant_id, query))


async def export_all_events(app: Services, request: Request[Operator], query: EventExportQuery) -> Stream:
    """Export the events of all tenants, oldest first."""
    return _stream(request, query.format, await _begin(app, None, query))


async def _begin(app: Services, tenant_id: str | None, query: EventExportQuery) -> AsyncGenerator[bytes, None]:
    return await export.begin(app.reads, tenant_id, query.format, query.after)


def _stream(request: Request[Any], kind: Format, pieces: AsyncGenerator[bytes, None]) -> Stream:
    name = f"events-{datetime.now(UTC):%Y-%m-%d}.{kind}"
    request.headers.append((b"content-disposition", f'attachment; filename="{name}"'.encode()))
    return Stream(pieces, (CSV if kind == "csv" else NDJSON).encode())


def _values(row: EventRow, *more: str) -> tuple[Any, ...]:
    """Return the fields of an event; `data` as the JSON that it is."""
    data = msgspec.Raw(row.data.encode())
    return row.id, row.type, row.created_at, row.actor, row.subject, row.request_id, row.network, data, *more
