"""Log and count events. A statement inserts an event once and returns it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.core.telemetry.log import Log
from auth1.events.types import EventType

_UNLOGGED = "metadata"  # sent by the app for the event only: it may contain personal data


class EventContext(NamedTuple):
    """The cause of an event: the actor, and the request with its network, if there is one.

    `actor` is the id of a key or user, `operator`, `link`, a provider that reports, or `auth1` itself.
    """

    actor: str
    request_id: str | None = None
    network: str | None = None


class RecordedEvent(msgspec.Struct, frozen=True):
    """An event as the statement that inserted it returned it."""

    id: str
    type: EventType
    tenant_id: str
    actor: str
    subject: str
    request_id: str | None = None
    network: str | None = None
    data: dict[str, Any] = {}


class RecordedEvents(NamedTuple):
    """The row of a statement that returns only the events that it recorded, as JSON; null: none."""

    events: str | None


_decode = msgspec.json.Decoder(list[RecordedEvent]).decode


def event_context(request: Request[Any], actor: str) -> EventContext:
    """Return the context of events that a request causes."""
    return EventContext(actor, request.request_id, request.network)


def read_events(text: str | None) -> list[RecordedEvent]:
    """Read the events that a statement returned; null: none."""
    return _decode(text) if text is not None else []


def log_events(log: Log, events: Iterable[RecordedEvent]) -> None:
    """Write committed events to stdout, and count them."""
    for event in events:
        metrics.EVENTS[event.type.value].inc()
        if metrics.TENANTS.limit:
            metrics.TENANTS.count_event(event.tenant_id, event.type.value)
        log.event(
            event_id=event.id,
            type=event.type.value,
            tenant_id=event.tenant_id,
            actor=event.actor,
            subject=event.subject,
            request_id=event.request_id,
            network=event.network,
            data={name: value for name, value in event.data.items() if name != _UNLOGGED},
        )
