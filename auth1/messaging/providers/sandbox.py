"""The providers of test keys: they send nothing, fail for the magic numbers that stand for that, and report at once."""

from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError, SendResult
from auth1.messaging.store import DeliveryReport

FAILS_EVERYWHERE = "+15005550002"
FAILS_FIRST = "+15005550004"
UNDELIVERED = "+15005550005"


class Sandbox:
    """Takes every message, but those to the numbers it fails for."""

    reports = True

    def __init__(self, name: str, fails_for: frozenset[str]) -> None:
        self.name = name
        self._fails_for = fails_for

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Take the message and send nothing. Raises SendError for a magic number."""
        if message.to in self._fails_for:
            raise SendError(Failure.TRANSIENT, "magic_number")
        return SendResult()

    def receipt(self, message: OutgoingMessage) -> DeliveryReport:
        """What is reported of a message that was taken: delivered, or not where the number stands for that."""
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
        """Nothing to close."""


def providers() -> list[Sandbox]:
    """A first and a second provider, so that an app's tests can see a failover."""
    return [
        Sandbox("sandbox", frozenset({FAILS_EVERYWHERE, FAILS_FIRST})),
        Sandbox("sandbox_failover", frozenset({FAILS_EVERYWHERE})),
    ]
