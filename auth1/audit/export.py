"""Export events as NDJSON or CSV, oldest first, page by page: no transaction is open while a client is slow.

Only final events are exported, in the order of (tx, id). So an export that continues after the last event of an earlier
one misses nothing that was committed late.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from auth1.audit import lists
from auth1.audit.schemas import Format, event_out, tenant_event_out
from auth1.core import csv_text, schemas
from auth1.core.postgres import Postgres
from auth1.errors import FieldError, Unavailable, ValidationFailed
from auth1.events.reader import EventRow, Position

PAGE = 1000
COLUMNS = ("event_id", "type", "created_at", "actor", "subject", "request_id", "network", "data")
RETRY_DELAYS_S = (0.2, 1.0)  # seconds between tries while the database is unavailable

Found = tuple[list[EventRow], Position | None]


async def begin(postgres: Postgres, tenant_id: str | None, kind: Format, after: str) -> AsyncGenerator[bytes, None]:
    """Return the lines after an event; `tenant_id` None: of all tenants. The first page is read at once.

    Raises ValidationFailed for an unknown event, and Unavailable.
    """
    position: Position | None = lists.START
    if after:
        position = await lists.find_position(postgres, tenant_id, after)
        if position is None:
            raise ValidationFailed(errors=[FieldError("after", "Must be the event_id of an event of this log.")])
    assert position is not None
    found = await lists.export_page(postgres, tenant_id, position, PAGE)
    return _pieces(postgres, tenant_id, kind, found)


async def _pieces(postgres: Postgres, tenant_id: str | None, kind: Format, found: Found) -> AsyncGenerator[bytes, None]:
    is_of_all = tenant_id is None
    if kind == "csv":
        yield csv_text.lines([[*COLUMNS, *(["tenant_id"] if is_of_all else [])]])
    while True:
        rows, position = found
        if rows:
            yield _encode(kind, rows, is_of_all=is_of_all)
        if position is None:
            return
        found = await _page(postgres, tenant_id, position)


async def _page(postgres: Postgres, tenant_id: str | None, position: Position) -> Found:
    for pause_s in RETRY_DELAYS_S:
        try:
            return await lists.export_page(postgres, tenant_id, position, PAGE)
        except Unavailable:
            await asyncio.sleep(pause_s)
    return await lists.export_page(postgres, tenant_id, position, PAGE)


def _encode(kind: Format, rows: Sequence[EventRow], *, is_of_all: bool) -> bytes:
    if kind == "csv":
        return csv_text.lines([[csv_text.cell(value) for value in _values(row, is_of_all=is_of_all)] for row in rows])
    show = tenant_event_out if is_of_all else event_out
    return b"".join([schemas.encode(show(row)) + b"\n" for row in rows])


def _values(row: EventRow, *, is_of_all: bool) -> list[object]:
    """Return the values of the columns of an event."""
    shown = [row.id, row.type, row.created_at, row.actor, row.subject, row.request_id, row.network, row.data]
    return [*shown, row.tenant_id] if is_of_all else shown
