"""Hand a message to the providers of its channel, in the operator's order, and write down what became of it.

The row is committed before this begins. At most one message per provider for one request, the same code with each. A
number that is impossible, or whose owner has opted out, is not tried elsewhere. A provider that keeps failing is passed
over while another is there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import NamedTuple

from auth1 import metrics
from auth1.config.sms_rates import MICRO
from auth1.core.circuit_breaker import Breaker
from auth1.core.ids import new_id
from auth1.core.log import Log
from auth1.core.postgres import Postgres
from auth1.errors import (
    ApiError,
    ChannelUnavailable,
    DeliveryFailed,
    InvalidEmail,
    InvalidPhone,
    RecipientOptedOut,
    Unavailable,
)
from auth1.events.types import Event, EventType, tell
from auth1.messaging import delivery_reports, store
from auth1.messaging.providers import sandbox
from auth1.messaging.providers.protocol import Failure, OutgoingMessage, Provider, SendError, SendResult
from auth1.messaging.providers.sandbox import Sandbox
from auth1.messaging.store import Delivery, IdempotencyOutcome

MAX_IN_FLIGHT = 100  # per worker; what comes beyond waits in the outbox instead of in memory
OnDelivered = Callable[[Delivery], IdempotencyOutcome]
_FINAL = (Failure.IMPOSSIBLE, Failure.OPTED_OUT)


class _Outcome(NamedTuple):
    """Who was tried last, the failures of all (none where it was taken), and who failed and may have sent it."""

    provider: Provider
    taken: SendResult
    failures: list[SendError]
    maybe: list[str]


class Messenger:
    """The providers by channel, in order of trial."""

    def __init__(self, postgres: Postgres, log: Log, providers: Mapping[str, Sequence[Provider]]) -> None:
        self._postgres = postgres
        self._log = log
        self._providers = providers
        self._sandbox = sandbox.providers()
        # The sandbox has none: its failures are those that an app's tests ask for.
        self._breakers = {provider.name: Breaker() for ordered in providers.values() for provider in ordered}
        self._in_flight = 0
        self._unrecorded: list[Delivery] = []

    @property
    def channels(self) -> list[str]:
        return [channel for channel, providers in self._providers.items() if providers]

    @property
    def breakers(self) -> dict[str, str]:
        """The state of each provider's breaker: closed (well), open or probing."""
        return {name: breaker.state for name, breaker in self._breakers.items()}

    def first_provider(self, channel: str, *, sandbox: bool) -> str:
        """Name the provider that is tried first. Raises ChannelUnavailable when there is none."""
        names = self.provider_names(channel, sandbox=sandbox)
        if not names:
            raise ChannelUnavailable(f"No provider is configured for {channel}.")
        return names[0]

    def provider_names(self, channel: str, *, sandbox: bool) -> list[str]:
        """Name the providers in order of trial."""
        return [provider.name for provider in self._of(channel, sandbox)]

    @contextmanager
    def reserve_capacity(self, channel: str, *, sandbox: bool) -> Iterator[str | None]:
        """Hold room for one message; gives its first provider, or None when the outbox is to send it later."""
        provider = self.first_provider(channel, sandbox=sandbox)
        room = self._in_flight < MAX_IN_FLIGHT
        self._in_flight += room
        try:
            yield provider if room else None
        finally:
            self._in_flight -= room

    async def send(
        self,
        channel: str,
        message: OutgoingMessage,
        *,
        actor: str,
        request_id: str | None = None,
        keep: OnDelivered | None = None,
    ) -> Delivery:
        """Try the providers one after another; record and return the outcome, with what `keep` makes of it.

        One provider at least must not be in the message's `avoid`.
        """
        providers = self._of(channel, message.tenant_id.endswith(":test"))
        wanted = [provider for provider in providers if provider.name not in message.avoid]
        outcome = await self._send_with_failover(wanted, message, request_id)
        failures = outcome.failures
        awaited = outcome.provider.reports and not failures
        delivery = Delivery(
            tenant_id=message.tenant_id,
            actor=actor,
            message_id=message.message_id,
            state=_state(failures),
            provider=outcome.provider.name,
            provider_message_id=outcome.taken.provider_message_id,
            error=f"{failures[-1].failure}:{failures[-1].code}" if failures else None,
            # A second try was not counted: the first was.
            give_back=bool(failures) and all(error.failure.definite for error in failures) and not message.avoid,
            event_id=new_id("evt"),
            price=outcome.taken.price,
            receipt_in=message.expires_in if awaited else None,
            retry_in=message.retry_in if awaited else None,
            avoid=(*message.avoid, *outcome.maybe),
        )
        if keep is not None:
            delivery = delivery._replace(kept=keep(delivery))
        await self._record(delivery, request_id)
        if isinstance(outcome.provider, Sandbox) and not failures:
            with suppress(Unavailable):  # its fate is then unknown, as that of any message without a receipt
                await delivery_reports.record(self._postgres, self._log, outcome.provider.receipt(message), request_id)
        return delivery

    async def record_rest(self) -> None:
        """Record what could not be recorded while the database was away."""
        deliveries, self._unrecorded = self._unrecorded, []
        for delivery in deliveries:
            await self._record(delivery, None)

    async def close(self) -> None:
        for providers in self._providers.values():
            for provider in providers:
                await provider.close()

    def _of(self, channel: str, sandbox: bool) -> Sequence[Provider]:
        return self._sandbox if sandbox else self._providers.get(channel, ())

    async def _send_with_failover(
        self, providers: Sequence[Provider], message: OutgoingMessage, request_id: str | None
    ) -> _Outcome:
        """Hand the message over until somebody takes it, or it is clear that nobody should."""
        provider, failures, maybe = providers[0], list[SendError](), list[str]()
        for provider in self._available(providers):
            try:
                return _Outcome(provider, await self._send_via(provider, message), [], maybe)
            except SendError as error:
                failures.append(error)
                maybe += [] if error.failure.definite else [provider.name]
                self._log.warn(
                    "provider failed",
                    provider=provider.name,
                    failure=error.failure,
                    error_code=error.code,
                    message_id=message.message_id,
                    request_id=request_id,
                )
                if error.failure in _FINAL:
                    break
        return _Outcome(provider, SendResult(), failures, maybe)

    def _available(self, providers: Sequence[Provider]) -> Iterator[Provider]:
        """Those whose breaker lets a call through; where none does, the first: it is the person's only chance."""
        ready = False
        for provider in providers:
            breaker = self._breakers.get(provider.name)
            if breaker is None or breaker.allows():
                ready = True
                yield provider
        if not ready:
            yield providers[0]

    async def _send_via(self, provider: Provider, message: OutgoingMessage) -> SendResult:
        started = perf_counter()
        outcome = "sent"
        try:
            taken = await provider.send(message)
            self._tell_breaker(provider, well=True)
            return taken
        except SendError as error:
            outcome = error.failure.value
            if error.failure is not Failure.CONFIGURATION or not message.sender_of(provider.name):
                # A number that cannot be reached says nothing of who was asked to reach it. A tenant's own sender that
                # is not to be had (the last case) is no reason to keep the others from their provider.
                self._tell_breaker(provider, well=error.failure in _FINAL)
            raise
        finally:
            metrics.MESSAGES_SENT.labels(provider.name, outcome).inc()
            metrics.MESSAGE_DURATION.labels(provider.name).observe(perf_counter() - started)

    def _tell_breaker(self, provider: Provider, *, well: bool) -> None:
        breaker = self._breakers.get(provider.name)
        if breaker is not None:
            breaker.succeeded() if well else breaker.failed()
            metrics.BREAKER_OPEN.labels(provider.name).set(breaker.state != "closed")

    async def _record(self, delivery: Delivery, request_id: str | None) -> None:
        try:
            told, price, country = await store.record_delivery(self._postgres, delivery)
        except Unavailable:
            self._unrecorded.append(delivery)
            return
        if price:
            metrics.MESSAGE_COST.labels(delivery.provider, country or "none").inc(price / MICRO)
        if told:
            event_type = EventType.MESSAGE_FAILED if delivery.state == "failed" else EventType.MESSAGE_UNKNOWN
            event = Event(delivery.event_id, event_type, delivery.tenant_id, delivery.actor, delivery.message_id)
            tell(self._log, event, request_id, provider=delivery.provider, error=delivery.error)


def refusal_of(delivery: Delivery, channel: str) -> ApiError | None:
    """What the caller is told of a message that did not leave; None where it did."""
    if delivery.state == "sent":
        return None
    failure = (delivery.error or "").partition(":")[0]
    if failure == Failure.IMPOSSIBLE:
        return InvalidEmail() if channel == "email" else InvalidPhone()
    if failure == Failure.OPTED_OUT:
        return RecipientOptedOut()
    return DeliveryFailed(retry_after=5)


def _state(failures: list[SendError]) -> str:
    if not failures:
        return "sent"
    return "failed" if all(error.failure.definite for error in failures) else "unknown"
