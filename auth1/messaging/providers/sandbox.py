"""Providers of test keys: they send nothing, fail for certain magic numbers, and report at once."""

from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError, SendResult
from auth1.messaging.store import DeliveryReport

FAILS_EVERYWHERE = "+15005550002"
FAILS_FIRST = "+15005550004"
UNDELIVERED = "+15005550005"
OPTED_OUT = "+15005550007"


class Sandbox:
    """Accepts every message, except those to the numbers it fails for."""

    reports = True

    def __init__(self, name: str, fails_for: frozenset[str]) -> None:
        self.name = name
        self._fails_for = fails_for

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Accept the message and send nothing. Raises SendError for a magic number."""
        if message.to == OPTED_OUT:
            raise SendError(Failure.OPTED_OUT, "magic_number")
        if message.to in self._fails_for:
            raise SendError(Failure.TRANSIENT, "magic_number")
        return SendResult()

    def report(self, message: OutgoingMessage) -> DeliveryReport:
        """Return the delivery report of an accepted message: delivered, or failed for one magic number."""
        lost = message.to == UNDELIVERED
        return DeliveryReport(
            tenant_id=message.tenant_id,
            message_id=message.message_id,
            provider=self.name,
            provider_message_id=None,
            state="failed" if lost else "delivered",
            error="undelivered:magic_number" if lost else None,
        )

    async def close(self) -> None:
        """Do nothing: there are no connections."""


def providers() -> list[Sandbox]:
    """Return two providers, so that an app's tests can cause a failover."""
    return [
        Sandbox("sandbox", frozenset({FAILS_EVERYWHERE, FAILS_FIRST})),
        Sandbox("sandbox_failover", frozenset({FAILS_EVERYWHERE})),
    ]
