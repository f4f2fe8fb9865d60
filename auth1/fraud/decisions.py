"""Record the decisions of the fraud rules."""

from typing import Any, NamedTuple

import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.events.types import EventType

_QUERIES = Queries("decisions")


class _NewEvent(NamedTuple):
    tenant_id: str
    event_id: str
    type: str
    actor: str
    subject: str
    request_id: str | None
    network: str | None
    data: str


class _Recorded(NamedTuple):
    events: str | None


_RECORD_EVENT = _QUERIES.statement("record_event", _NewEvent, _Recorded)


async def record_blocked(
    postgres: Postgres, tenant_id: str, context: EventContext, data: dict[str, Any]
) -> list[RecordedEvent]:
    """Record the event of a request that fraud rules blocked."""
    event_id = new_id("evt")
    text = msgspec.json.encode(data).decode()
    row = _NewEvent(
        tenant_id, event_id, EventType.REQUEST_BLOCKED.value, subject=event_id, **context._asdict(), data=text
    )
    recorded = await postgres.row(_RECORD_EVENT, row)
    return read_events(recorded.events if recorded else None)
