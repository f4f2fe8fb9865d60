"""The outbox: finishes what was accepted and not sent, because there was no room for it or its process died."""

import asyncio

from auth1 import metrics
from auth1.challenges import codes
from auth1.core.ids import new_id
from auth1.events.types import Event, EventType, tell
from auth1.messaging import store, texts
from auth1.messaging.provider import Outgoing
from auth1.messaging.store import Claimed, Delivery
from auth1.services import Services

ROUND_S = 2.0
BATCH = 20


async def finish(app: Services) -> None:
    """One round: record what could not be recorded, send what was provably not sent, settle what nobody can know."""
    await app.messenger.record_rest()
    for channel in app.messenger.channels:
        await _send_queued(app, channel, sandbox=False)
        await _send_queued(app, channel, sandbox=True)
    for lost, event_id in await store.settle_lost_messages(app.postgres, BATCH):
        metrics.OUTBOX_MESSAGES.labels("unknown").inc()
        event = Event(event_id, EventType.MESSAGE_UNKNOWN, lost.tenant_id, "auth1", lost.message_id)
        tell(app.log, event, provider=lost.provider, error="process_lost")


async def _send_queued(app: Services, channel: str, *, sandbox: bool) -> None:
    first = app.messenger.first(channel, sandbox=sandbox)
    claimed = await store.claim_messages(app.postgres, first, channel, sandbox, BATCH)
    # Side by side, so that all are done before the claim ends even if every provider hangs.
    await asyncio.gather(*(_send(app, message) for message in claimed))


async def _send(app: Services, message: Claimed) -> None:
    code = None
    if message.code_box is not None:
        code = codes.unseal(app.keyring, message.tenant_id, message.identifier, message.code_box)
    if code is None:
        # Answered, replaced or expired meanwhile: nothing is owed to anybody any more.
        delivery = Delivery(
            tenant_id=message.tenant_id,
            actor="auth1",
            message_id=message.message_id,
            state="failed",
            provider="none",
            provider_message_id=None,
            error="code_ended",
            give_back=True,
            event_id=new_id("evt"),
        )
        await store.record_delivery(app.postgres, delivery)
        metrics.OUTBOX_MESSAGES.labels("ended").inc()
        return
    text = texts.sms_code(message.sms_branding or message.tenant_name, code, message.expires_in or 0)
    delivery = await app.messenger.send(
        message.channel,
        Outgoing(message.message_id, message.identifier, text, message.expires_in or 0),
        tenant_id=message.tenant_id,
        actor="auth1",
    )
    metrics.OUTBOX_MESSAGES.labels(delivery.state).inc()
