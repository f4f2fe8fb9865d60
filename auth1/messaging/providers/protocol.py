"""The interface of providers: a message is accepted, or SendError has the reason and the cause."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from auth1.templates.email import EmailContent
from auth1.tenants.settings import Senders


class Failure(StrEnum):
    """The kind of a failed send, which decides what follows."""

    IMPOSSIBLE = "impossible"  # the recipient cannot receive messages: no other provider is tried
    OPTED_OUT = "opted_out"  # the recipient rejects messages: no other provider is tried
    THROTTLED = "throttled"  # not processed: the next provider is tried
    TRANSIENT = "transient"  # not processed: the next provider is tried
    DEFERRED = "deferred"  # not processed, and accepted if repeated later (greylisting): the next provider is tried
    CONFIGURATION = "configuration"  # not processed until an operator acts: the next provider is tried
    UNKNOWN = "unknown"  # possibly sent: the next provider is tried, but the send counts

    @property
    def definite(self) -> bool:
        """Return whether it is certain that nothing was sent."""
        return self is not Failure.UNKNOWN


class Cause(StrEnum):
    """The party that caused a failure. Only failures of the account and of the provider open its circuit breaker."""

    RECIPIENT = "recipient"
    COUNTRY = "country"
    SENDER = "sender"
    ACCOUNT = "account"
    PROVIDER = "provider"


_DEFAULT_CAUSES = {
    Failure.IMPOSSIBLE: Cause.RECIPIENT,
    Failure.OPTED_OUT: Cause.RECIPIENT,
    Failure.DEFERRED: Cause.RECIPIENT,
    Failure.CONFIGURATION: Cause.ACCOUNT,
}


NO_SENDERS = Senders()


class OutgoingMessage(NamedTuple):
    """A message as providers get it. `expires_in` is the life of the code in seconds.

    `retry_in`: seconds without a delivery report after which another provider retries. `exclude_providers`: of a
    retry, the providers that possibly sent this code already.
    """

    tenant_id: str
    message_id: str
    to: str
    text: str
    expires_in: int
    email: EmailContent | None = None  # only of an email
    email_from: str | None = None  # sender address of an email; None: the operator's
    senders: Senders = NO_SENDERS  # the tenant's; None: the operator's default
    retry_in: int | None = None
    exclude_providers: tuple[str, ...] = ()
    segments: int | None = None  # of an SMS


class SendResult(NamedTuple):
    """An accepted message: the provider's id of it, and its price in millionths of a US dollar where known."""

    provider_message_id: str | None = None
    price: int | None = None


class SendError(Exception):
    """A failed send. `code` is the provider's error code, or one of Auth1; it never contains the message."""

    def __init__(self, failure: Failure, code: str, cause: Cause | None = None) -> None:
        super().__init__(f"{failure} ({code})")
        self.failure = failure
        self.code = code
        self.cause = cause or _DEFAULT_CAUSES.get(failure, Cause.PROVIDER)


class Provider(Protocol):
    """A carrier of messages."""

    name: str
    reports: bool  # whether delivery reports follow

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Send a message. Raises SendError, within the provider's deadline."""

    async def close(self) -> None:
        """Close connections."""
