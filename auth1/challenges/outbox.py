"""The outbox: finishes what was accepted and not sent, because there was no room for it or its process died."""

import asyncio
from contextlib import suppress

from auth1 import metrics
from auth1.challenges import codes, magic_link
from auth1.challenges.messages import render_code, render_notice
from auth1.core.ids import new_id
from auth1.errors import Unavailable
from auth1.events.types import Event, EventType, tell
from auth1.identifiers import parse_phone
from auth1.messaging import store
from auth1.messaging.store import Claimed, Delivery, Unknown
from auth1.services import Services
from auth1.templates import segments

INTERVAL_S = 2.0
BATCH = 20
SETTLE_BATCH = 200
MAX_BATCHES = 50  # per round


async def run_once(app: Services) -> None:
    """One round: record what could not be recorded, send what was provably not sent, settle what nobody can know."""
    await app.messenger.record_rest()
    await retry(app)
    for channel in app.messenger.channels:
        await _send_queued(app, channel, sandbox=False)
        await _send_queued(app, channel, sandbox=True)
    for lost in await store.mark_lost_unknown(app.postgres, BATCH):
        metrics.OUTBOX_MESSAGES.labels("unknown").inc()
        _tell_unknown(app, lost, "process_lost")
    await _settle_unreported(app)


async def _settle_unreported(app: Services) -> None:
    """Stop waiting for receipts that have not come: of many messages at once, where callbacks do not reach us."""
    for _ in range(MAX_BATCHES):
        unreported = await store.expire_unreported(app.postgres, SETTLE_BATCH)
        for message in unreported:
            metrics.DELIVERIES.labels(message.provider, "unknown").inc()
            _tell_unknown(app, message, "no_receipt")
        if len(unreported) < SETTLE_BATCH:
            break


async def retry(app: Services) -> None:
    """Queue what was not delivered, or not reported on in time, for another provider."""
    for _ in range(MAX_BATCHES):
        due = await store.retry_messages(app.postgres, app.messenger.provider_names("sms", sandbox=False), SETTLE_BATCH)
        for message in due:
            if message.message_id is not None and message.reason is not None:
                reason = "no_receipt" if message.reason == "no_receipt" else "undelivered"
                metrics.MESSAGE_RETRIES.labels(message.provider, reason).inc()
                event = Event(message.event_id, EventType.MESSAGE_RETRIED, message.tenant_id, "auth1", message.first_id)
                tell(app.log, event, provider=message.provider, reason=message.reason, message_id=message.message_id)
        if len(due) < SETTLE_BATCH:
            break


def _tell_unknown(app: Services, message: Unknown, error: str) -> None:
    event = Event(message.event_id, EventType.MESSAGE_UNKNOWN, message.tenant_id, "auth1", message.message_id)
    tell(app.log, event, provider=message.provider, error=error)


async def _send_queued(app: Services, channel: str, *, sandbox: bool) -> None:
    providers = app.messenger.provider_names(channel, sandbox=sandbox)
    claimed = await store.claim_messages(app.postgres, providers, channel, sandbox, BATCH)
    # Side by side, so that all are done before the claim ends even if every provider hangs.
    await asyncio.gather(*(_send(app, message) for message in claimed))


def _unseal(app: Services, message: Claimed) -> tuple[str | None, str | None]:
    """The code and the link of a message, as far as they are still to be had."""
    code = link = None
    if message.code_box is not None:
        code = codes.unseal(
            app.keyring, message.tenant_id, message.identifier, message.code_box, message.purpose or codes.LOGIN
        )
    if message.token_digest is not None:
        link = magic_link.address(
            app.settings.app_url, app.keyring, message.tenant_id, message.message_id, message.token_digest
        )
    return code, link


async def _send_notice(app: Services, message: Claimed, notice: str) -> None:
    outgoing = render_notice(
        tenant_id=message.tenant_id,
        message_id=message.message_id,
        to=message.identifier,
        channel=message.channel,
        tenant_name=message.tenant_name,
        settings=message.settings,
        locale=message.locale,
        notice=notice,
    )
    with suppress(Unavailable):  # it matters more that it is sent
        await _charge_notice(app, message, outgoing.text)
    delivery = await app.messenger.send(message.channel, outgoing, actor="auth1")
    metrics.OUTBOX_MESSAGES.labels(delivery.state).inc()


async def _charge_notice(app: Services, message: Claimed, text: str) -> None:
    country = number = None
    cost = 0
    if message.channel == "sms":
        country, number = parse_phone(message.identifier).country, segments.measure(text).segments
        cost = app.settings.sms_rates.price(country, number)
    await store.charge_notice(app.postgres, message.tenant_id, message.message_id, country, number, cost)


async def _send(app: Services, message: Claimed) -> None:
    if message.notice is not None:
        await _send_notice(app, message, message.notice)
        return
    code, link = _unseal(app, message)
    if code is None or (link is None and message.token_digest is not None):
        # CodeResult, replaced or expired meanwhile: nothing is owed to anybody any more.
        return await _drop(app, message, "code_ended")
    if message.arrived:
        return await _drop(app, message, "first_arrived")
    if set(app.messenger.provider_names(message.channel, sandbox=message.tenant_id.endswith(":test"))) <= set(
        message.avoid
    ):
        return await _drop(app, message, "no_other_provider")  # they were other ones when it was queued
    outgoing = render_code(
        tenant_id=message.tenant_id,
        message_id=message.message_id,
        to=message.identifier,
        channel=message.channel,
        tenant_name=message.tenant_name,
        settings=message.settings,
        locale=message.locale,
        code=code if message.with_code else None,
        link=link,
        expires_in=message.expires_in or 0,
        purpose=message.purpose or codes.LOGIN,
        avoid=tuple(message.avoid),
    )
    delivery = await app.messenger.send(message.channel, outgoing, actor="auth1")
    metrics.OUTBOX_MESSAGES.labels(delivery.state).inc()


async def _drop(app: Services, message: Claimed, error: str) -> None:
    """Let a message go that there is no use in sending."""
    delivery = Delivery(
        tenant_id=message.tenant_id,
        actor="auth1",
        message_id=message.message_id,
        state="failed",
        provider="none",
        provider_message_id=None,
        error=error,
        give_back=not message.avoid,
        event_id=new_id("evt"),
        receipt_in=None,
        avoid=tuple(message.avoid),
    )
    await store.record_delivery(app.postgres, delivery)
    metrics.OUTBOX_MESSAGES.labels("ended").inc()
