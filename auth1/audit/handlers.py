"""Read events: a tenant its own, the operator those of one tenant or of all."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from auth1.audit import export, lists, stream
from auth1.audit.schemas import (
    EventExportQuery,
    EventFilters,
    EventPage,
    EventQuery,
    Format,
    TenantEventPage,
    event_out,
    tenant_event_out,
)
from auth1.audit.stream import EventStream
from auth1.core.http.request import CSV, EVENT_STREAM, NDJSON, Request, Stream
from auth1.services import Services
from auth1.tenants.settings import Operator, TenantAdmin

STREAM_ENDS_S = 10.0  # the time in which a client must read the rest of a stream that has ended


async def list_events(app: Services, request: Request[TenantAdmin], query: EventQuery) -> EventPage:
    """List events, newest first. A page may be empty and have a `next_cursor`: it scans 20,000 events at most."""
    rows, cursor = await lists.list_events(app.reads, request.caller.tenant_id, query)
    return EventPage([event_out(row) for row in rows], cursor)


async def list_all_events(app: Services, request: Request[Operator], query: EventQuery) -> TenantEventPage:
    """List the events of all tenants, newest first."""
    rows, cursor = await lists.list_all_events(app.reads, query)
    return TenantEventPage([tenant_event_out(row) for row in rows], cursor)


async def export_events(app: Services, request: Request[TenantAdmin], query: EventExportQuery) -> Stream:
    """Export events, oldest first, as NDJSON or CSV. `after` continues after an event_id.

    An incomplete response ends without its last chunk, so clients report an error.
    """
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


async def stream_events(app: Services, request: Request[TenantAdmin], query: EventFilters) -> Stream:
    """Stream events as they become final, as server-sent events.

    `id` is the event's id, `event` its type, `data` the event on one line. The header Last-Event-ID resumes after that
    event; without it the stream begins with the next event. It ends after 15 minutes: then reconnect.
    """
    caller = request.caller
    return await _open(app, request, caller.tenant_id, caller.tenant_id if caller.is_operator else caller.actor, query)


async def stream_all_events(app: Services, request: Request[Operator], query: EventFilters) -> Stream:
    """Stream the events of all tenants as they become final."""
    return await _open(app, request, None, "", query)


async def _open(
    app: Services, request: Request[Any], tenant_id: str | None, caller_id: str, query: EventFilters
) -> Stream:
    """Open a stream. It has joined the poll when the response begins, so it misses no event from then on."""
    matches = query.matcher()
    after = await stream.find_after(app, tenant_id, request.header(stream.HEADER.encode()))
    subscription = app.streams.open(tenant_id, caller_id, matches)
    request.on_end = partial(app.streams.close, subscription)
    await app.streams.begin(subscription, after)
    request.headers.append((b"x-accel-buffering", b"no"))  # a proxy must not wait for the end
    pieces = EventStream(app, subscription).pieces()
    return Stream(pieces, EVENT_STREAM.encode(), lasts_s=stream.LIFE_S + STREAM_ENDS_S)
