"""Record and log delivery reports of providers."""

from auth1 import metrics
from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.events.log import EventContext, log_events
from auth1.messaging import store
from auth1.messaging.store import DeliveryReport


async def record(
    postgres: Postgres, log: Log, report: DeliveryReport, request_id: str | None, *, is_retryable: bool = False
) -> None:
    """Record a report, and log it where it changes the message's state.

    `is_retryable`: another provider may deliver the failed message.
    """
    context = EventContext(report.provider, request_id)
    events = await store.record_delivery_report(postgres, report, context, is_retryable=is_retryable)
    for event in events:
        metrics.DELIVERIES[report.provider, event.type.removeprefix("message.")].inc()
    log_events(log, events)
