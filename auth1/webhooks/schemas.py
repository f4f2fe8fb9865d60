"""Request and response bodies of webhooks and their deliveries."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from auth1.core.http.pagination import PageQuery
from auth1.core.schemas import GraceIn, In, Out
from auth1.core.timestamps import Timestamp
from auth1.errors import FieldError, ValidationFailed
from auth1.events.types import EventType

ALL_EVENTS = "*"
TEST = "webhook.test"  # is no event

State = Literal["pending", "delivered", "failed", "cancelled"]
DisabledReason = Literal["caller", "gone", "failing"]
_TYPES = frozenset(event.value for event in EventType)

_Url = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=2048,
        description="Called by POST: https, with a public host.",
        examples=["https://example.com/webhooks/auth1"],
    ),
]
_Events = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=64)]],
    msgspec.Meta(
        min_length=1,
        max_length=100,
        description="Types of events, or `*` alone for all of them.",
        examples=[["challenge.answered", "user.created"]],
    ),
]
_WebhookId = Annotated[str, msgspec.Meta(examples=["whk_01kf0fv2qd8x7r3n5w1mzt9c4h"])]
_DeliveryId = Annotated[str, msgspec.Meta(examples=["dlv_01kf0fv3bz7w2m9q4x6c8v1n3t"])]
_EventId = Annotated[str, msgspec.Meta(examples=["evt_01kf0fv3bznk9jayq84cstkf4c"])]
_Status = Annotated[int | None, msgspec.Meta(description="The HTTP status; null without a response.", examples=[204])]
_Error = Annotated[str | None, msgspec.Meta(examples=[None])]
_Answer = Annotated[str | None, msgspec.Meta(examples=[""])]
_Ms = Annotated[int, msgspec.Meta(examples=[84])]
_State = Annotated[State, msgspec.Meta(examples=["delivered"])]
_Enabled = Annotated[bool, msgspec.Meta(examples=[True])]
_Headers = Annotated[
    dict[str, str],
    msgspec.Meta(examples=[{"content-type": "application/json", "webhook-id": "evt_01kf0fv3bznk9jayq84cstkf4c"}]),
]
_RequestBody = Annotated[
    str, msgspec.Meta(examples=['{"type":"challenge.answered","timestamp":"2026-01-15T09:30:00Z", …}'])
]
_Secret = Annotated[
    str,
    msgspec.Meta(
        description="Signs the calls. It is shown only in this response.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDh1MWXDJ7Xxs="],
    ),
]


class WebhookIn(In):
    """A new webhook. With `sandbox` it receives the events of test keys, instead of those of real users."""

    url: _Url
    events: _Events
    sandbox: bool = False


class WebhookPatch(In):
    """Changes of a webhook. Enabled again, it continues with its pending deliveries."""

    url: _Url | msgspec.UnsetType = msgspec.UNSET
    events: _Events | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class WebhookOut(Out):
    """A webhook. `disabled_reason`: `caller`, `gone` (it answered 410) or `failing` (five days without a success)."""

    webhook_id: _WebhookId
    url: _Url
    events: _Events
    sandbox: bool
    enabled: _Enabled
    disabled_reason: DisabledReason | None
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime


class WebhookCreated(WebhookOut):
    """A new webhook with its secret."""

    secret: _Secret


class WebhookPage(Out):
    """All webhooks of the tenant, oldest first: at most 10, so `next_cursor` is null."""

    data: list[WebhookOut]
    next_cursor: str | None


class SecretRotation(In):
    """The overlap of a rotation: `grace_in` seconds in which both secrets sign."""

    grace_in: GraceIn = 24 * 3600


class RotatedSecret(Out):
    """The new secret. Both secrets sign until `previous_secret_until`."""

    secret: _Secret
    previous_secret_until: datetime | None


class LastDeliveryCall(Out):
    """The last call. `error`: why it failed. `answer`: the first 1 KiB of the response. `ms`: its duration."""

    status: _Status
    error: _Error
    ms: _Ms
    answer: _Answer


class DeliveryCall(Out):
    """One call. `started_at` is its `webhook-timestamp`. The other fields are those of `last`."""

    attempt: int
    started_at: datetime
    url: _Url
    status: _Status
    error: _Error
    ms: _Ms
    answer: _Answer


class DeliveryOut(Out):
    """An event on its way to a webhook. `attempts` is the number of calls so far."""

    delivery_id: _DeliveryId
    event_id: _EventId
    type: str
    state: _State
    attempts: int
    next_attempt_at: datetime | None
    last: LastDeliveryCall | None


class DeliveryRequest(Out):
    """The request of each call, without `webhook-timestamp` and `webhook-signature`."""

    method: Literal["POST"]
    headers: _Headers
    body: _RequestBody


class DeliveryDetail(DeliveryOut):
    """A delivery with its request and its newest 50 calls. `request` is null once its event is purged."""

    request: DeliveryRequest | None
    calls: list[DeliveryCall]


class DeliveryPage(Out):
    """Deliveries, newest event first. A page may be empty although `next_cursor` has a value."""

    data: list[DeliveryOut]
    next_cursor: str | None


def check_types(field: str, types: list[str]) -> None:
    """Check the names of event types. Raises ValidationFailed."""
    if types == [ALL_EVENTS]:
        return
    if not _TYPES.issuperset(types) or len(set(types)) != len(types):
        message = 'Must be different types of events, such as challenge.answered, or ["*"] for all.'
        raise ValidationFailed(errors=[FieldError(field, message)])


class ReplayIn(In):
    """The deliveries to replay: by state, and by the time of their events."""

    state: Literal["failed", "cancelled", "delivered"] = "failed"
    since: Timestamp | None = None
    until: Timestamp | None = None


class CancelIn(In):
    """The pending deliveries to cancel, by the time of their events."""

    since: Timestamp | None = None
    until: Timestamp | None = None


class DeliveriesOut(Out):
    """The number of deliveries that were changed. `has_more`: repeat the request to continue."""

    deliveries: int
    has_more: bool


class DeliveryQuery(PageQuery):
    """Filters of a list of deliveries."""

    state: State | None = None
    type: Annotated[str, msgspec.Meta(max_length=64, description="The exact type of the event.")] | None = None
    since: Annotated[Timestamp | None, msgspec.Meta(description="Of events created at or after this time.")] = None
    until: Annotated[Timestamp | None, msgspec.Meta(description="Of events created before this time.")] = None
