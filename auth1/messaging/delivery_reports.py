"""Delivery reports: a provider's later word on a message, recorded and logged."""

from auth1 import metrics
from auth1.core.ids import new_id
from auth1.core.log import Log
from auth1.core.postgres import Postgres
from auth1.events.types import Event, EventType, tell
from auth1.messaging import store
from auth1.messaging.store import DeliveryReport

_EVENTS = {"delivered": EventType.MESSAGE_DELIVERED, "failed": EventType.MESSAGE_FAILED}


async def record(
    postgres: Postgres, log: Log, report: DeliveryReport, request_id: str | None, *, is_retryable: bool = False
) -> None:
    """Record a report, and log it where it changes the message's state.

    `is_retryable`: another provider may deliver the failed message.
    """
    event_id = new_id("evt")
    state = await store.record_delivery_report(postgres, report, event_id, is_retryable=is_retryable)
    if state in _EVENTS:
        metrics.DELIVERIES.labels(report.provider, state).inc()
        event = Event(event_id, _EVENTS[state], report.tenant_id, report.provider, report.message_id)
        tell(log, event, request_id, provider=report.provider, error=report.error)
