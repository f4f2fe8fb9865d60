"""What a provider is: it takes a message, or says in which of six ways it did not."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from auth1.templates.email import EmailContent
from auth1.tenants.settings import Senders


class Failure(StrEnum):
    """Why a provider did not take a message, and what follows from it."""

    IMPOSSIBLE = "impossible"  # the number cannot get messages: tried nowhere else
    OPTED_OUT = "opted_out"  # its owner does not want them: tried nowhere else
    THROTTLED = "throttled"  # not processed: the next provider is tried
    TRANSIENT = "transient"  # not processed: the next provider is tried
    CONFIGURATION = "configuration"  # not processed until an operator acts: the next provider is tried
    UNKNOWN = "unknown"  # it may have been sent: the next provider is tried, but the send is spent

    @property
    def definite(self) -> bool:
        """Whether it is sure that nothing was sent."""
        return self is not Failure.UNKNOWN


class OutgoingMessage(NamedTuple):
    """A message as providers get it. `expires_in` is the life of the code in seconds.

    `retry_in`: after so many seconds without a receipt another provider tries, too. `avoid`: of a second try, the
    providers that may have sent this code already.
    """

    tenant_id: str
    message_id: str
    to: str
    text: str
    expires_in: int
    email: EmailContent | None = None  # only of an email
    senders: Senders = Senders()
    retry_in: int | None = None
    avoid: tuple[str, ...] = ()

    def sender_of(self, provider: str) -> str | None:
        """Whom the message is from where this provider sends it; None: whom the operator says."""
        return {"twilio": self.senders.twilio, "sns": self.senders.sns}.get(provider)


class SendResult(NamedTuple):
    """A provider took a message: its own id of it, and its price in millionths of a US dollar where it says one."""

    provider_message_id: str | None = None
    price: int | None = None


class SendError(Exception):
    """A provider did not take a message. `code` is the provider's own, or a word of ours; never the message."""

    def __init__(self, failure: Failure, code: str) -> None:
        super().__init__(f"{failure} ({code})")
        self.failure = failure
        self.code = code


class Provider(Protocol):
    """Somebody who carries messages."""

    name: str
    reports: bool  # whether it will tell, by a receipt, what became of a message that it took

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Hand a message over. Raises SendError, within the provider's deadline."""

    async def close(self) -> None:
        """Close connections."""
