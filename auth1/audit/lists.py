"""Pages of events. A page scans `MAX_SCANNED` events at most; then it ends with a cursor, even if it is empty."""

from datetime import datetime
from typing import NamedTuple

from auth1.audit.schemas import EventQuery
from auth1.core.http.pagination import INVALID_CURSOR
from auth1.core.postgres import Postgres, Queries
from auth1.errors import FieldError, ValidationFailed
from auth1.events.reader import EventRow, Position, position_of

MAX_SCANNED = 20_000
_NEWEST = "evt_~"  # above every id
_LAST_TX = "9223372036854775807"

_QUERIES = Queries("event_lists")


class _List(NamedTuple):
    tenant_id: str
    before: str
    since: datetime | None
    until: datetime | None
    types: list[str] | None
    subject: str | None
    actor: str | None
    request_id: str | None
    user_id: str | None
    max_scanned: int
    max_rows: int


class _ListAll(NamedTuple):
    before_tx: str
    before: str
    since: datetime | None
    until: datetime | None
    types: list[str] | None
    subject: str | None
    actor: str | None
    request_id: str | None
    user_id: str | None
    max_scanned: int
    max_rows: int


class _Scanned(NamedTuple):
    tenant_id: str
    before: str
    since: datetime | None
    until: datetime | None
    max_scanned: int


class _ScannedOfAll(NamedTuple):
    before_tx: str
    before: str
    since: datetime | None
    until: datetime | None
    max_scanned: int


class _User(NamedTuple):
    user_id: str
    max_scanned: int


class _Count(NamedTuple):
    events: int


class _Id(NamedTuple):
    id: str


class _Event(NamedTuple):
    tenant_id: str
    id: str


class _Export(NamedTuple):
    tx: str
    id: str
    tenant_id: str | None
    max_scanned: int
    max_rows: int


class _NextPosition(NamedTuple):
    tx: str
    id: str
    max_scanned: int


_LIST = _QUERIES.statement("list_events", _List, EventRow)
_LAST_SCANNED = _QUERIES.statement("last_scanned", _Scanned, _Id)
_COUNT_OF_USER = _QUERIES.statement("count_events_of_user", _User, _Count)
_LIST_OF_USER = _QUERIES.statement("list_events_of_user", _List, EventRow)
_LIST_ALL = _QUERIES.statement("list_all_events", _ListAll, EventRow)
_LAST_SCANNED_OF_ALL = _QUERIES.statement("last_scanned_of_all", _ScannedOfAll, Position)
_POSITION = _QUERIES.statement("position_of_event", _Event, Position)
_POSITION_OF_ALL = _QUERIES.statement("position_of_event_of_all", _Id, Position)
_EXPORT = _QUERIES.statement("export_final_events", _Export, EventRow)
_NEXT_POSITION = _QUERIES.statement("next_export_position", _NextPosition, Position)

START = Position(0, "")


class Page(NamedTuple):
    """Events, and the cursor of the next page."""

    rows: list[EventRow]
    next_cursor: str | None


async def list_events(postgres: Postgres, tenant_id: str, query: EventQuery) -> Page:
    """Return a page of a tenant's events, newest first. Raises ValidationFailed, Unavailable."""
    before = query.cursor or _NEWEST
    if query.user is not None:
        [count] = await postgres.report(_COUNT_OF_USER, _User(query.user, MAX_SCANNED))
        if count.events < MAX_SCANNED:
            rows = await postgres.report(
                _LIST_OF_USER, _List(tenant_id, before, *query.values, MAX_SCANNED, query.rows)
            )
            return Page(*query.split(rows, lambda row: row.id))
    rows = await postgres.report(_LIST, _List(tenant_id, before, *query.values, MAX_SCANNED, query.rows), in_order=True)
    shown, cursor = query.split(rows, lambda row: row.id)
    if cursor is None:
        last = await postgres.report(
            _LAST_SCANNED, _Scanned(tenant_id, before, query.since, query.until, MAX_SCANNED), in_order=True
        )
        cursor = last[0].id if last else None
    return Page(shown, cursor)


async def list_all_events(postgres: Postgres, query: EventQuery) -> Page:
    """Return a page of the events of all tenants, newest first. Raises ValidationFailed, Unavailable."""
    before_tx, before = _read_cursor(query.cursor)
    rows = await postgres.report(
        _LIST_ALL, _ListAll(before_tx, before, *query.values, MAX_SCANNED, query.rows), in_order=True
    )
    shown, cursor = query.split(rows, lambda row: f"{row.tx}.{row.id}")
    if cursor is None:
        scanned = _ScannedOfAll(before_tx, before, query.since, query.until, MAX_SCANNED)
        last = await postgres.report(_LAST_SCANNED_OF_ALL, scanned, in_order=True)
        cursor = f"{last[0].tx}.{last[0].id}" if last else None
    return Page(shown, cursor)


def _read_cursor(cursor: str) -> tuple[str, str]:
    if not cursor:
        return _LAST_TX, _NEWEST
    tx, dot, event_id = cursor.partition(".")
    if not dot or not (tx.isascii() and tx.isdigit() and len(tx) < len(_LAST_TX)):
        raise ValidationFailed(errors=[FieldError("cursor", INVALID_CURSOR)])
    return tx, event_id


async def find_position(postgres: Postgres, tenant_id: str | None, event_id: str) -> Position | None:
    """Return the position of an event of a tenant, or of any."""
    if tenant_id is None:
        return await postgres.row(_POSITION_OF_ALL, _Id(event_id))
    return await postgres.row(_POSITION, _Event(tenant_id, event_id))


async def export_page(
    postgres: Postgres, tenant_id: str | None, after: Position, max_rows: int
) -> tuple[list[EventRow], Position | None]:
    """Return the next final events, oldest first, and the position to continue at; None at the end."""
    tx, event_id = str(after.tx), after.id
    rows = await postgres.report(_EXPORT, _Export(tx, event_id, tenant_id, MAX_SCANNED, max_rows), in_order=True)
    if len(rows) == max_rows:
        return rows, position_of(rows[-1].tx, rows[-1].id)
    last = await postgres.report(_NEXT_POSITION, _NextPosition(tx, event_id, MAX_SCANNED), in_order=True)
    return rows, last[0] if last else None
