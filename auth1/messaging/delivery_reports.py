"""What a provider reports of a message, written down and told."""

from auth1 import metrics
from auth1.core.ids import new_id
from auth1.core.log import Log
from auth1.core.postgres import Postgres
from auth1.events.types import Event, EventType, tell
from auth1.messaging import store
from auth1.messaging.store import DeliveryReport

_TOLD = {"delivered": EventType.MESSAGE_DELIVERED, "failed": EventType.MESSAGE_FAILED}


async def record(
    postgres: Postgres, log: Log, receipt: DeliveryReport, request_id: str | None, *, is_retryable: bool = False
) -> None:
    """Write a report down; tell of it where it says something new.

    `is_retryable`: another provider might deliver what failed.
    """
    event_id = new_id("evt")
    state = await store.record_delivery_report(postgres, receipt, event_id, is_retryable=is_retryable)
    if state in _TOLD:
        metrics.DELIVERIES.labels(receipt.provider, state).inc()
        event = Event(event_id, _TOLD[state], receipt.tenant_id, receipt.provider, receipt.message_id)
        tell(log, event, request_id, provider=receipt.provider, error=receipt.error)
