"""The outbox: sends accepted messages that no process is sending, and settles the rest.

A message waits here when a worker had no capacity for it, when its process crashed before the dispatch, or when its
provider requested a later attempt. Messages of a crashed process become `unknown`: they may have been sent.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from auth1 import metrics
from auth1.config.sms_rates import Rates
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable
from auth1.events.log import EventContext, log_events
from auth1.fraud.evidence import MICRO
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.messages import Message
from auth1.fraud.unsent import UnsentMessages
from auth1.identifiers import stored_identifier
from auth1.messaging import store
from auth1.messaging.dispatcher import Messenger
from auth1.messaging.providers.protocol import OutgoingMessage
from auth1.messaging.store import ChargeNotice, ClaimedMessage, Delivery

INTERVAL_S = 2.0
BATCH = 20
SETTLE_BATCH = 200
SCHEDULE_BATCH = 1000
MAX_BATCHES = 50  # per run
RETURN_S = 10.0  # after an outage, other workers return their uncertain messages before any is settled as lost
CONTEXT = EventContext("auth1")

Render = Callable[[ClaimedMessage], OutgoingMessage | None]  # None: the code or the link of the message has ended


class Outbox:
    """Works through the rows of `messages`.

    `render` turns a claimed row into the message for providers. The exposure of messages that no provider accepted is
    taken back.
    """

    def __init__(
        self,
        postgres: Postgres,
        log: Log,
        messenger: Messenger,
        rates: Rates,
        render: Render,
        exposures: Exposures,
    ) -> None:
        self._postgres = postgres
        self._log = log
        self._messenger = messenger
        self._rates = rates
        self._render = render
        self._unsent = UnsentMessages(postgres, exposures)
        self._settles_lost_from = 0.0

    async def run_once(self) -> None:
        """Record pending outcomes, retry undelivered messages, send queued ones, and settle unknown ones."""
        try:
            await self._run()
        except Unavailable:
            self._settles_lost_from = time.monotonic() + RETURN_S
            raise

    async def _run(self) -> None:
        await self._messenger.flush_pending()
        await self._schedule()
        await self.retry()
        for channel in self._messenger.channels:
            await self._send_queued(channel, sandbox=False)
            await self._send_queued(channel, sandbox=True)
        if time.monotonic() >= self._settles_lost_from:
            lost = await store.mark_lost_unknown(self._postgres, BATCH)
            metrics.OUTBOX_MESSAGES["unknown"].inc(len(lost.events))
            log_events(self._log, lost.events)
        await self._expire_unreported()
        await self._unsent.flush()

    async def _schedule(self) -> None:
        """Postpone messages that need no action now, so that the other steps do not read them."""
        for _ in range(MAX_BATCHES):
            if await store.schedule_messages(self._postgres, SCHEDULE_BATCH) < SCHEDULE_BATCH:
                break

    async def retry(self) -> None:
        """Queue undelivered and unreported messages for another provider."""
        providers = self._messenger.provider_names("sms", sandbox=False)
        for _ in range(MAX_BATCHES):
            due = await store.retry_messages(self._postgres, providers, SETTLE_BATCH)
            for event in due.events:
                reason = "no_receipt" if event.data["reason"] == "no_receipt" else "undelivered"
                metrics.MESSAGE_RETRIES[event.data["provider"], reason].inc()
            log_events(self._log, due.events)
            if due.rows < SETTLE_BATCH:
                break

    async def _expire_unreported(self) -> None:
        """Stop waiting for delivery reports that are overdue."""
        for _ in range(MAX_BATCHES):
            unreported = await store.expire_unreported(self._postgres, SETTLE_BATCH)
            for event in unreported.events:
                metrics.DELIVERIES[event.data["provider"], "unknown"].inc()
            log_events(self._log, unreported.events)
            if unreported.rows < SETTLE_BATCH:
                break

    async def _send_queued(self, channel: str, *, sandbox: bool) -> None:
        providers = self._messenger.provider_names(channel, sandbox=sandbox)
        claimed = await store.claim_messages(self._postgres, providers, channel, sandbox, BATCH)
        # In parallel, so that all finish before their claims expire even if every provider hangs.
        await asyncio.gather(*(self._send(message) for message in claimed))

    async def _send(self, message: ClaimedMessage) -> None:
        outgoing = self._render(message)
        if outgoing is None:
            return await self._drop(message, "code_ended")
        if message.has_arrived:
            return await self._drop(message, "first_arrived")
        sandbox = message.tenant_id.endswith(":test")
        if set(self._messenger.provider_names(message.channel, sandbox=sandbox)) <= set(message.exclude_providers):
            return await self._drop(message, "no_other_provider")  # the configuration changed after the row was queued
        if message.notice is not None:
            with suppress(Unavailable):  # sending the notice matters more than its price
                await self._charge_notice(message, outgoing.segments)
        delivery = await self._messenger.send(message.channel, outgoing, context=CONTEXT)
        await self._messenger.record(delivery)
        metrics.OUTBOX_MESSAGES[delivery.state].inc()
        if delivery.refunds_send and delivery.state == "failed":
            self._take_back(message)

    async def _charge_notice(self, message: ClaimedMessage, segments: int | None) -> None:
        country, cost = None, 0
        if segments is not None:
            country = stored_identifier("phone", message.identifier).country
            cost = segments * self._rates[country]
        charge = ChargeNotice(message.tenant_id, message.message_id, country, segments, cost)
        await store.charge_notice(self._postgres, charge)

    async def _drop(self, message: ClaimedMessage, error: str) -> None:
        """Mark a message as failed without sending it."""
        delivery = Delivery(
            tenant_id=message.tenant_id,
            context=CONTEXT,
            message_id=message.message_id,
            state="failed",
            provider="none",
            provider_message_id=None,
            error=error,
            refunds_send=not message.exclude_providers,
            event_id=new_id("evt"),
            report_in=None,
            exclude_providers=tuple(message.exclude_providers),
        )
        recorded = await store.record_delivery(self._postgres, delivery)
        log_events(self._log, recorded.events)
        metrics.OUTBOX_MESSAGES["ended"].inc()
        if delivery.refunds_send:
            self._take_back(message)

    def _take_back(self, message: ClaimedMessage) -> None:
        """Remove the exposure of a message that was not sent, unless a right code has removed it already."""
        is_exposed = message.channel == "sms" and message.challenge_status in ("open", "exhausted")
        if not is_exposed or message.tenant_id.endswith(":test"):
            return
        self._unsent.add(
            Message(
                tenant_id=message.tenant_id,
                identifier=message.identifier,
                number=message.identifier,
                country=message.country,
                price=(message.price_microdollars or 0) / MICRO,
            )
        )
