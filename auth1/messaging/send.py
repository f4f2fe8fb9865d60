"""Hand a message to the providers of its channel, in the operator's order, and write down what became of it.

The row is committed before this begins. At most one message per provider for one request, the same code with each. A
number that is impossible, or whose owner has opted out, is not tried elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

from auth1 import metrics
from auth1.core.ids import new_id
from auth1.core.log import Log
from auth1.core.postgres import Postgres
from auth1.errors import ChannelUnavailable, DeliveryFailed, InvalidEmail, InvalidPhone, RecipientOptedOut, Unavailable
from auth1.events.types import Event, EventType, tell
from auth1.messaging import sandbox, store
from auth1.messaging.provider import Failure, Outgoing, Provider, SendError
from auth1.messaging.store import Delivery

MAX_IN_FLIGHT = 100  # per worker; what comes beyond waits in the outbox instead of in memory
_FINAL = (Failure.IMPOSSIBLE, Failure.OPTED_OUT)


class Messenger:
    """The providers by channel, in order of trial."""

    def __init__(self, postgres: Postgres, log: Log, providers: Mapping[str, Sequence[Provider]]) -> None:
        self._postgres = postgres
        self._log = log
        self._providers = providers
        self._sandbox = sandbox.providers()
        self._in_flight = 0
        self._unrecorded: list[Delivery] = []

    @property
    def channels(self) -> list[str]:
        return [channel for channel, providers in self._providers.items() if providers]

    def first(self, channel: str, *, sandbox: bool) -> str:
        """Name the provider that is tried first. Raises ChannelUnavailable when there is none."""
        providers = self._of(channel, sandbox)
        if not providers:
            raise ChannelUnavailable(f"No provider is configured for {channel}.")
        return providers[0].name

    @contextmanager
    def reserve(self, channel: str, *, sandbox: bool) -> Iterator[str | None]:
        """Hold room for one message; gives its first provider, or None when the outbox is to send it later."""
        provider = self.first(channel, sandbox=sandbox)
        room = self._in_flight < MAX_IN_FLIGHT
        self._in_flight += room
        try:
            yield provider if room else None
        finally:
            self._in_flight -= room

    async def send(self, channel: str, message: Outgoing, *, actor: str, request_id: str | None = None) -> Delivery:
        """Try the providers one after another; record and return the outcome."""
        provider, provider_message_id, receipt_in, failures = "", None, None, list[SendError]()
        for candidate in self._of(channel, message.tenant_id.endswith(":test")):
            provider = candidate.name
            try:
                provider_message_id = await self._hand_over(candidate, message)
            except SendError as error:
                failures.append(error)
                self._log.warn(
                    "provider failed",
                    provider=provider,
                    failure=error.failure,
                    error_code=error.code,
                    message_id=message.message_id,
                    request_id=request_id,
                )
                if error.failure in _FINAL:
                    break
            else:
                failures.clear()
                receipt_in = message.expires_in if candidate.reports else None
                break
        delivery = Delivery(
            tenant_id=message.tenant_id,
            actor=actor,
            message_id=message.message_id,
            state=_state(failures),
            provider=provider,
            provider_message_id=provider_message_id,
            error=f"{failures[-1].failure}:{failures[-1].code}" if failures else None,
            give_back=bool(failures) and all(error.failure.definite for error in failures),
            event_id=new_id("evt"),
            receipt_in=receipt_in,
        )
        await self._record(delivery, request_id)
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

    async def _hand_over(self, provider: Provider, message: Outgoing) -> str | None:
        started = perf_counter()
        outcome = "sent"
        try:
            return await provider.send(message)
        except SendError as error:
            outcome = error.failure.value
            raise
        finally:
            metrics.MESSAGES_SENT.labels(provider.name, outcome).inc()
            metrics.MESSAGE_DURATION.labels(provider.name).observe(perf_counter() - started)

    async def _record(self, delivery: Delivery, request_id: str | None) -> None:
        try:
            told = await store.record_delivery(self._postgres, delivery)
        except Unavailable:
            self._unrecorded.append(delivery)
            return
        if told:
            event_type = EventType.MESSAGE_FAILED if delivery.state == "failed" else EventType.MESSAGE_UNKNOWN
            event = Event(delivery.event_id, event_type, delivery.tenant_id, delivery.actor, delivery.message_id)
            tell(self._log, event, request_id, provider=delivery.provider, error=delivery.error)


def refuse_failed(delivery: Delivery, channel: str) -> None:
    """Tell the caller of a message that did not leave.

    Raises InvalidPhone, InvalidEmail, RecipientOptedOut or DeliveryFailed.
    """
    if delivery.state == "sent":
        return
    failure = (delivery.error or "").partition(":")[0]
    if failure == Failure.IMPOSSIBLE:
        raise InvalidEmail if channel == "email" else InvalidPhone
    if failure == Failure.OPTED_OUT:
        raise RecipientOptedOut
    raise DeliveryFailed(retry_after=5)


def _state(failures: list[SendError]) -> str:
    if not failures:
        return "sent"
    return "failed" if all(error.failure.definite for error in failures) else "unknown"
