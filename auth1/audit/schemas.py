"""Events as callers read them, and the filters of lists."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from auth1.core.http.pagination import PAGE, Cursor, Limit, Paged
from auth1.core.http.query import QueryParams
from auth1.core.schemas import Out
from auth1.core.timestamps import Timestamp
from auth1.errors import FieldError, ValidationFailed
from auth1.events.reader import EventRow
from auth1.events.types import EventType

Format = Literal["ndjson", "csv"]
MAX_TEXT = 128
FilterValues = tuple[datetime | None, datetime | None, list[str] | None, str | None, str | None, str | None, str | None]
_decode: Callable[[str], dict[str, Any]] = msgspec.json.Decoder(dict[str, Any]).decode
_TYPES = frozenset(event.value for event in EventType)


def _text(description: str) -> msgspec.Meta:
    return msgspec.Meta(max_length=MAX_TEXT, description=description)


class EventFilters(QueryParams):
    """Filters of events."""

    type: Annotated[str, msgspec.Meta(max_length=1000, description="Types, separated by commas.")] | None = None
    subject: Annotated[str, _text("The exact subject: the id of the object of the event.")] | None = None
    actor: Annotated[str, _text("The exact actor: the id of a key or user, `operator`, `auth1` …")] | None = None
    user: Annotated[str, _text("The id of a user that the event is about.")] | None = None
    request_id: Annotated[str, _text("The `x-request-id` of the request that caused it.")] | None = None
    since: Annotated[Timestamp | None, msgspec.Meta(description="Created at or after this time.")] = None
    until: Annotated[Timestamp | None, msgspec.Meta(description="Created before this time.")] = None

    @property
    def types(self) -> list[str] | None:
        """Return the types. Raises ValidationFailed for unknown ones."""
        if self.type is None:
            return None
        types = self.type.split(",")
        if not _TYPES.issuperset(types):
            message = "Must be types of events, such as challenge.answered,user.created."
            raise ValidationFailed(errors=[FieldError("type", message)])
        return types

    @property
    def values(self) -> FilterValues:
        """Return the filters in the order of the statements of lists."""
        return self.since, self.until, self.types, self.subject, self.actor, self.request_id, self.user

    def matcher(self) -> Callable[[EventRow], bool]:
        """Return a function that decides whether an event matches, as the lists do. Raises ValidationFailed."""
        types = None if self.types is None else frozenset(self.types)
        exact = [
            (name, value) for name in ("subject", "actor", "request_id") if (value := getattr(self, name)) is not None
        ]

        def matches(row: EventRow) -> bool:
            return (
                (types is None or row.type in types)
                and all(getattr(row, name) == value for name, value in exact)
                and (self.user is None or _user_of(row) == self.user)
                and (self.since is None or row.created_at >= self.since)
                and (self.until is None or row.created_at < self.until)
            )

        return matches


class EventQuery(Paged, EventFilters):
    """Filters of a list of events."""

    limit: Limit = PAGE
    cursor: Cursor = ""


class EventExportQuery(QueryParams):
    """The query of an export of events."""

    format: Annotated[Format, msgspec.Meta(description="Format of the lines.")] = "ndjson"
    after: Annotated[
        str,
        msgspec.Meta(
            max_length=64,
            pattern=r"^[ -~]*\Z",
            description="Continue after this event_id.",
            extra={"message": "Must be an event_id."},
        ),
    ] = ""


def _user_of(row: EventRow) -> object:
    """Return the user that an event is about, if it is about one."""
    user = _decode(row.data).get("user_id") if '"user_id"' in row.data else None
    return row.subject if user is None else user


class EventOut(Out):
    """An event. `network` is the /24 (IPv6: /48) of the caller."""

    event_id: str
    type: str
    created_at: datetime
    actor: str
    subject: str
    request_id: str | None
    network: str | None
    data: dict[str, Any]


class TenantEventOut(EventOut):
    """An event of any tenant; events of a sandbox have the tenant `tn_…:test`."""

    tenant_id: str


def event_out(row: EventRow) -> EventOut:
    """Return an event as a tenant reads it; `data` stays the JSON that it is."""
    return EventOut(*_values(row))


def tenant_event_out(row: EventRow) -> TenantEventOut:
    """Return an event as the operator reads it among those of all tenants."""
    return TenantEventOut(*_values(row, row.tenant_id))


def _values(row: EventRow, *more: str) -> tuple[Any, ...]:
    data = msgspec.Raw(row.data.encode())
    return row.id, row.type, row.created_at, row.actor, row.subject, row.request_id, row.network, data, *more


class EventPage(Out):
    """A page of events, newest first. It may be empty although `next_cursor` has a value."""

    data: list[EventOut]
    next_cursor: str | None


class TenantEventPage(Out):
    """A page of the events of all tenants, newest first. It may be empty although `next_cursor` has a value."""

    data: list[TenantEventOut]
    next_cursor: str | None
