"""What a provider reports of a message, written down and told."""

from auth1 import metrics
from auth1.core.ids import new_id
from auth1.core.log import Log
from auth1.core.postgres import Postgres
from auth1.events.types import Event, EventType, tell
from auth1.messaging import store
from auth1.messaging.store import Receipt

_TOLD = {"delivered": EventType.MESSAGE_DELIVERED, "failed": EventType.MESSAGE_FAILED}


async def take(
    postgres: Postgres, log: Log, receipt: Receipt, request_id: str | None, *, worth_retrying: bool = False
) -> None:
    """Write a report down; tell of it where it says something new.

    `worth_retrying`: another provider might deliver what failed.
    """
    event_id = new_id("evt")
    state = await store.record_receipt(postgres, receipt, event_id, worth_retrying=worth_retrying)
    if state in _TOLD:
        metrics.DELIVERIES.labels(receipt.provider, state).inc()
        event = Event(event_id, _TOLD[state], receipt.tenant_id, receipt.provider, receipt.message_id)
        tell(log, event, request_id, provider=receipt.provider, error=receipt.error)
