"""Messages and statistics of a tenant, and the query of a status callback."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from auth1.core.http.pagination import PageQuery
from auth1.core.http.query import QueryParams
from auth1.core.ids import ChallengeId
from auth1.core.schemas import Out
from auth1.core.timestamps import Timestamp

State = Literal["queued", "sent", "delivered", "failed", "unknown"]
GroupBy = Literal["country", "provider", "channel"]


class MessageQuery(PageQuery):
    """Filters of a list of messages."""

    since: Annotated[Timestamp | None, msgspec.Meta(description="Created at or after this time.")] = None
    until: Annotated[Timestamp | None, msgspec.Meta(description="Created before this time.")] = None
    state: State | None = None
    provider: Literal["twilio", "sns", "console", "smtp"] | None = None
    channel: Literal["sms", "email"] | None = None
    country: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^[A-Z]{2}\Z",
                description="ISO 3166-1 alpha-2",
                extra={"message": "Must be an ISO 3166-1 alpha-2 country code, such as US."},
            ),
        ]
        | None
    ) = None
    challenge_id: ChallengeId | None = None


class StatisticsQuery(QueryParams):
    """The messages to aggregate, and the group."""

    since: Annotated[Timestamp | None, msgspec.Meta(description="Start; a day before `until` by default.")] = None
    until: Annotated[Timestamp | None, msgspec.Meta(description="End; now by default.")] = None
    group_by: GroupBy = "country"


class MessageListed(Out):
    """A message without its text. `price` is in US dollars; null if unknown."""

    message_id: str
    challenge_id: str | None  # null for a notice
    notice: str | None  # the subject of a message without a code: phone_changed, email_added, …
    channel: Literal["sms", "email"]
    destination: str  # masked
    country: str | None  # ISO 3166-1 alpha-2; null for an email
    state: State
    provider: str | None
    error: str | None
    retry_of: str | None  # the message that this one retries
    segments: int | None
    price: str | None
    price_source: str | None
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None


class MessagePage(Out):
    """A page of messages, newest first; `next_cursor` is for the next page."""

    data: list[MessageListed]
    next_cursor: str | None


class MessageGroup(Out):
    """Statistics of the messages of one country, provider or channel."""

    group: str | None
    sent: int  # handed to a provider, in any later state
    delivered: int
    failed: int
    unknown: int
    verified: int  # their challenge was completed
    conversion: float  # verified / sent
    median_delivery_in: int | None  # seconds, rounded up; null without delivery reports
    cost: str  # US dollars


class Statistics(Out):
    """Statistics of the messages of a time range, the largest group first."""

    group_by: GroupBy
    since: datetime
    until: datetime
    data: list[MessageGroup]


class StatusCallbackQuery(msgspec.Struct):
    """The query of the URL of a status callback."""

    tenant_id: Annotated[str, msgspec.Meta(description="The tenant of the message.")] = ""
    message_id: Annotated[str, msgspec.Meta(description="The message.")] = ""
