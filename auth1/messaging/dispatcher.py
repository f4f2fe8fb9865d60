"""Send a message through the providers of its channel, in the operator's order, and record the outcome.

The row is committed before the dispatch begins. Each provider gets a message at most once per request, with the same
code. Impossible and opted-out recipients are not tried elsewhere. A provider whose circuit breaker is open is skipped
while another provider is available.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import NamedTuple

from auth1 import metrics
from auth1.config.sms_rates import MICRO
from auth1.core.circuit_breaker import CircuitBreaker
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres
from auth1.core.telemetry import tracing
from auth1.core.telemetry.log import Log
from auth1.errors import (
    ApiError,
    ChannelUnavailable,
    DeliveryFailed,
    InvalidEmail,
    InvalidPhone,
    RecipientOptedOut,
    Unavailable,
)
from auth1.events.log import EventContext, log_events
from auth1.idempotency.store import store_response
from auth1.messaging import delivery_reports, store
from auth1.messaging.providers import sandbox
from auth1.messaging.providers.protocol import Cause, Failure, OutgoingMessage, Provider, SendError, SendResult
from auth1.messaging.providers.sandbox import Sandbox
from auth1.messaging.store import Delivery
from auth1.messaging.uncertain import UncertainMessages

MAX_IN_FLIGHT = 100  # per worker; further messages wait in the outbox instead of in memory
DEFER_S = 60  # before a deferred message is tried again; greylisting servers accept after one to five minutes
_FINAL = (Failure.IMPOSSIBLE, Failure.OPTED_OUT)


class _Outcome(NamedTuple):
    """The last provider tried, all failures (none after a success), and failed providers that possibly sent it."""

    provider: Provider
    result: SendResult
    failures: list[SendError]
    possibly_sent_by: list[str]


class Messenger:
    """The providers by channel, in order of trial."""

    def __init__(self, postgres: Postgres, log: Log, providers: Mapping[str, Sequence[Provider]]) -> None:
        self._postgres = postgres
        self._log = log
        self._providers = providers
        self._sandbox = sandbox.providers()
        # The sandbox has none: its failures are wanted by an app's tests.
        self._breakers = {provider.name: CircuitBreaker() for ordered in providers.values() for provider in ordered}
        for name in self._breakers:
            metrics.BREAKER_OPEN[name].set(0)
        self._in_flight = 0
        self._pending: list[Delivery] = []
        self.uncertain = UncertainMessages(postgres, log)

    @property
    def channels(self) -> list[str]:
        return [channel for channel, providers in self._providers.items() if providers]

    @property
    def breakers(self) -> dict[str, str]:
        """Return the state of each provider's circuit breaker: closed, open or probing."""
        return {name: breaker.state for name, breaker in self._breakers.items()}

    def first_provider(self, channel: str, *, sandbox: bool) -> str:
        """Return the name of the first provider. Raises ChannelUnavailable when there is none."""
        providers = self._of(channel, sandbox)
        if not providers:
            raise ChannelUnavailable(f"No provider is configured for {channel}.")
        return providers[0].name

    def provider_names(self, channel: str, *, sandbox: bool) -> list[str]:
        """Return the names of the providers in order."""
        return [provider.name for provider in self._of(channel, sandbox)]

    @contextmanager
    def reserve_capacity(self) -> Iterator[bool]:
        """Reserve capacity for one message; yield False when there is none, and the outbox must send it."""
        has_capacity = self._in_flight < MAX_IN_FLIGHT
        self._in_flight += has_capacity
        try:
            yield has_capacity
        finally:
            self._in_flight -= has_capacity

    async def send(self, channel: str, message: OutgoingMessage, *, context: EventContext) -> Delivery:
        """Try the providers in order, and return the outcome. The caller records it with `record`.

        At least one provider must not be in `exclude_providers`. A deferred message goes back to the outbox: its state
        is `queued`.
        """
        providers = self._of(channel, message.tenant_id.endswith(":test"))
        candidates = [provider for provider in providers if provider.name not in message.exclude_providers]
        outcome = await self._send_with_failover(candidates, message, context.request_id)
        failures = outcome.failures
        awaited = outcome.provider.reports and not failures
        delivery = Delivery(
            tenant_id=message.tenant_id,
            context=context,
            message_id=message.message_id,
            state=_state(failures, message),
            provider=outcome.provider.name,
            provider_message_id=outcome.result.provider_message_id,
            error=f"{failures[-1].failure}:{failures[-1].code}" if failures else None,
            # A retry did not count as a send, so there is nothing to refund.
            refunds_send=_is_rejected_by_all(failures) and not message.exclude_providers,
            event_id=new_id("evt"),
            price=outcome.result.price,
            report_in=message.expires_in if awaited else None,
            retry_in=message.retry_in if awaited else None,
            exclude_providers=(*message.exclude_providers, *outcome.possibly_sent_by),
        )
        if isinstance(outcome.provider, Sandbox) and not failures:
            delivery = delivery._replace(report=outcome.provider.report(message))
        if delivery.state == "queued" and not await self._defer(delivery):
            delivery = delivery._replace(state="failed")
        return delivery

    async def record(self, delivery: Delivery) -> None:
        """Record an outcome; later, when the database is unavailable."""
        if delivery.state == "queued":  # the outbox has it again
            claim, sealed_response = delivery.idempotency or (None, None)
            if claim is not None and sealed_response is not None:
                await store_response(self._postgres, claim, delivery.message_id, sealed_response)
            return
        await self._record(delivery)
        if delivery.report is not None:
            with suppress(Unavailable):  # the message is then unknown, as any without a delivery report
                await delivery_reports.record(self._postgres, self._log, delivery.report, delivery.context.request_id)

    async def flush_pending(self) -> None:
        """Record outcomes that were kept while the database was unavailable, and return messages to the outbox.

        An outcome that cannot be recorded is logged and dropped, and its message becomes `unknown`.
        """
        deliveries, self._pending = self._pending, []
        try:
            while deliveries:
                try:
                    await self._record(deliveries[0])
                except Exception as error:
                    self._log.error("delivery not recorded", error=error, message_id=deliveries[0].message_id)
                del deliveries[0]
        finally:
            self._pending[:0] = deliveries
        await self.uncertain.flush()

    async def close(self) -> None:
        for providers in self._providers.values():
            for provider in providers:
                await provider.close()

    def _of(self, channel: str, sandbox: bool) -> Sequence[Provider]:
        return self._sandbox if sandbox else self._providers.get(channel, ())

    async def _send_with_failover(
        self, providers: Sequence[Provider], message: OutgoingMessage, request_id: str | None
    ) -> _Outcome:
        """Try providers until one accepts the message or no other may be tried."""
        provider, failures, possibly_sent_by = providers[0], list[SendError](), list[str]()
        for provider in self._available(providers):
            try:
                return _Outcome(provider, await self._send_via(provider, message), [], possibly_sent_by)
            except SendError as error:
                failures.append(error)
                possibly_sent_by += [] if error.failure.definite else [provider.name]
                self._log.warn(
                    "provider failed",
                    provider=provider.name,
                    failure=error.failure,
                    cause=error.cause,
                    error_code=error.code,
                    message_id=message.message_id,
                    request_id=request_id,
                )
                if error.failure in _FINAL:
                    break
        return _Outcome(provider, SendResult(), failures, possibly_sent_by)

    def _available(self, providers: Sequence[Provider]) -> Iterator[Provider]:
        """Yield providers whose breaker allows a call; the first where none does, because a try may still succeed."""
        found = False
        for provider in providers:
            breaker = self._breakers.get(provider.name)
            if breaker is None or breaker.is_idle or breaker.allows():
                found = True
                yield provider
        if not found:
            yield providers[0]

    async def _send_via(self, provider: Provider, message: OutgoingMessage) -> SendResult:
        started = perf_counter()
        outcome = "sent"
        try:
            with tracing.span(f"send {provider.name}", "client", {"auth1.message_id": message.message_id}):
                result = await provider.send(message)
            self._update_breaker(provider, succeeded=True)
            return result
        except SendError as error:
            outcome = error.failure.value
            # A recipient, a country or a tenant's own sender must not stop the messages of others. The operator's
            # default sender is part of the account.
            own_sender = getattr(message.senders, provider.name, None) is not None
            if error.cause in (Cause.PROVIDER, Cause.ACCOUNT) or (error.cause is Cause.SENDER and not own_sender):
                self._update_breaker(provider, succeeded=False)
            elif error.cause is not Cause.SENDER:
                self._update_breaker(provider, succeeded=True)  # the provider works
            raise
        finally:
            metrics.MESSAGES_SENT[provider.name, outcome].inc()
            metrics.MESSAGE_DURATION[provider.name].observe(perf_counter() - started)

    def _update_breaker(self, provider: Provider, *, succeeded: bool) -> None:
        breaker = self._breakers.get(provider.name)
        if breaker is not None and not (succeeded and breaker.is_idle):
            breaker.succeeded() if succeeded else breaker.failed()
            metrics.BREAKER_OPEN[provider.name].set(breaker.state != "closed")

    async def _defer(self, delivery: Delivery) -> bool:
        """Return a message to the outbox for a later try; False where it is too old or the database is unavailable."""
        try:
            deferred = await store.defer_message(self._postgres, delivery.tenant_id, delivery.message_id, DEFER_S)
        except Unavailable:
            return False
        if deferred:
            request_id = delivery.context.request_id
            self._log.info("message deferred", message_id=delivery.message_id, request_id=request_id, retry_in=DEFER_S)
        return deferred

    async def _record(self, delivery: Delivery) -> None:
        try:
            events, price, country = await store.record_delivery(self._postgres, delivery)
        except Unavailable:
            self._pending.append(delivery)
            return
        if price:
            metrics.MESSAGE_COST[delivery.provider, country or "none"].inc(price / MICRO)
        log_events(self._log, events)


def error_for_delivery(delivery: Delivery, channel: str) -> ApiError | None:
    """Return the error for a message that was not sent; None where it was sent or queued."""
    if delivery.state in ("sent", "queued"):
        return None
    failure = (delivery.error or "").partition(":")[0]
    if failure == Failure.IMPOSSIBLE:
        return InvalidEmail() if channel == "email" else InvalidPhone()
    if failure == Failure.OPTED_OUT:
        return RecipientOptedOut()
    return DeliveryFailed(retry_after=5)


def _state(failures: list[SendError], message: OutgoingMessage) -> str:
    if not failures:
        return "sent"
    if not _is_rejected_by_all(failures):
        return "unknown"
    is_deferred = failures[-1].failure is Failure.DEFERRED and message.expires_in > DEFER_S
    return "queued" if is_deferred else "failed"


def _is_rejected_by_all(failures: list[SendError]) -> bool:
    return bool(failures) and all(error.failure.definite for error in failures)
