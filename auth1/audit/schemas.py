"""Events as callers read them, and the filters of lists."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from auth1.core.http.pagination import PageQuery
from auth1.core.http.query import Query
from auth1.core.schemas import Out
from auth1.core.timestamps import Timestamp
from auth1.errors import FieldError, ValidationFailed
from auth1.events.types import EventType

Format = Literal["ndjson", "csv"]
MAX_TEXT = 128
_TYPES = frozenset(event.value for event in EventType)


def _text(description: str) -> msgspec.Meta:
    return msgspec.Meta(max_length=MAX_TEXT, description=description)


class EventQuery(PageQuery):
    """Filters of a list of events."""

    type: Annotated[str, msgspec.Meta(max_length=1000, description="Types, separated by commas.")] | None = None
    subject: Annotated[str, _text("The exact subject: the id of the object of the event.")] | None = None
    actor: Annotated[str, _text("The exact actor: the id of a key or user, `operator`, `auth1` …")] | None = None
    user: Annotated[str, _text("The id of a user that the event is about.")] | None = None
    request_id: Annotated[str, _text("The `x-request-id` of the request that caused it.")] | None = None
    since: Annotated[Timestamp | None, msgspec.Meta(description="Made at this moment or later.")] = None
    until: Annotated[Timestamp | None, msgspec.Meta(description="Made before this moment.")] = None

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


class EventExportQuery(Query):
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


class EventPage(Out):
    """A page of events, newest first. It may be empty although `next_cursor` has a value."""

    data: list[EventOut]
    next_cursor: str | None


class TenantEventPage(Out):
    """A page of the events of all tenants, newest first. It may be empty although `next_cursor` has a value."""

    data: list[TenantEventOut]
    next_cursor: str | None
