"""The statements of deliveries, with their parameters and rows."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import NoParams, Queries
from auth1.webhooks.delivery.body import Content
from auth1.webhooks.delivery_ids import delivery_id
from auth1.webhooks.schemas import DeliveryCall, DeliveryOut, LastDeliveryCall, State
from auth1.webhooks.store import WebhookKey

_QUERIES = Queries("deliveries")


class ListDeliveries(NamedTuple):
    """The filters of a page of deliveries."""

    tenant_id: str
    webhook_id: str
    before: str
    state: str | None
    type: str | None
    since: datetime | None
    until: datetime | None
    max_scanned: int
    max_rows: int


class LastScanned(NamedTuple):
    """The range that a page scans."""

    tenant_id: str
    webhook_id: str
    before: str
    since: datetime | None
    until: datetime | None
    max_scanned: int


class DeliveryKey(NamedTuple):
    """The key of a delivery."""

    tenant_id: str
    webhook_id: str
    event_id: str


class DeliveryRow(NamedTuple):
    """A delivery with its last call, if there is one."""

    event_id: str
    type: str
    state: State
    attempts: int
    next_attempt_at: datetime | None
    attempt: int | None
    status: int | None
    error: str | None
    ms: int | None
    answer: str | None

    def out(self, webhook_id: str) -> DeliveryOut:
        """Return the delivery as callers see it."""
        last = None if self.ms is None else LastDeliveryCall(self.status, self.error, self.ms, self.answer)
        return DeliveryOut(
            delivery_id(webhook_id, self.event_id),
            self.event_id,
            self.type,
            self.state,
            self.attempts,
            self.next_attempt_at,
            last,
        )


class EventId(NamedTuple):
    """The event of a delivery."""

    event_id: str


class Candidates(NamedTuple):
    """Deliveries of events of one millisecond."""

    tenant_id: str
    webhook_id: str
    prefix: str
    max_rows: int


class Calls(NamedTuple):
    """The newest calls of a delivery."""

    tenant_id: str
    webhook_id: str
    event_id: str
    max_rows: int


class IsEnabled(NamedTuple):
    """The state of a webhook."""

    is_enabled: bool


class ReplayRange(NamedTuple):
    """The next deliveries to replay."""

    tenant_id: str
    webhook_id: str
    state: str
    since: datetime | None
    until: datetime | None
    after: str
    interval_ms: int
    max_rows: int


class Replayed(NamedTuple):
    """The number of replayed and of chosen deliveries, and the event of the last one."""

    deliveries: int
    chosen: int
    last: str | None


class CancelRange(NamedTuple):
    """The next pending deliveries to cancel."""

    tenant_id: str
    webhook_id: str
    since: datetime | None
    until: datetime | None
    max_rows: int


class Cancelled(NamedTuple):
    """The number of cancelled deliveries."""

    deliveries: int


class OneCancelled(NamedTuple):
    """The result of a cancellation: whether it was done, and the state before."""

    is_cancelled: bool
    state: State


class NewTest(NamedTuple):
    """A test to send."""

    tenant_id: str
    webhook_id: str
    event_id: str
    type: str
    body: str


LIST = _QUERIES.statement("list_deliveries", ListDeliveries, DeliveryRow)
LAST_SCANNED = _QUERIES.statement("last_scanned_delivery", LastScanned, EventId)
CANDIDATES = _QUERIES.statement("list_candidates", Candidates, EventId)
FIND = _QUERIES.statement("find_delivery", DeliveryKey, DeliveryRow)
CONTENT = _QUERIES.statement("find_content", DeliveryKey, Content)
CALLS = _QUERIES.statement("list_attempts", Calls, DeliveryCall)
LOCK = _QUERIES.statement("lock_webhook", WebhookKey, IsEnabled)
WAKE = _QUERIES.statement("wake_webhook", WebhookKey, NoParams)
REPLAY = _QUERIES.statement("replay_delivery", DeliveryKey, EventId)
REPLAY_RANGE = _QUERIES.statement("replay_deliveries", ReplayRange, Replayed)
CANCEL = _QUERIES.statement("cancel_delivery", DeliveryKey, OneCancelled)
CANCEL_RANGE = _QUERIES.statement("cancel_deliveries", CancelRange, Cancelled)
INSERT_TEST = _QUERIES.statement("insert_test", NewTest, EventId)
