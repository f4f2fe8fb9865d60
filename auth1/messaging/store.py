"""The statements of messages: deliveries, delivery reports, the outbox."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import Batched, NoParams, Postgres, Queries, function, repeat_once
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.idempotency.store import Claim

_QUERIES = Queries("messaging")
Channel = Literal["sms", "email"]


class IdempotencyOutcome(NamedTuple):
    """The outcome for the Idempotency-Key of a request: a response to store, or None to release the key."""

    claim: Claim
    sealed_response: bytes | None


class Delivery(NamedTuple):
    """The outcome of a message. `refunds_send`: every provider definitely rejected it, so the send is not counted."""

    tenant_id: str
    context: EventContext
    message_id: str
    state: str  # sent, failed or unknown
    provider: str
    provider_message_id: str | None
    error: str | None
    refunds_send: bool
    event_id: str
    report_in: int | None  # seconds until the delivery report is overdue; None: the provider sends none
    price: int | None = None  # the provider's own, in millionths of a US dollar
    idempotency: IdempotencyOutcome | None = None
    retry_in: int | None = None  # seconds without a delivery report until a retry
    exclude_providers: tuple[str, ...] = ()  # those that may have sent it
    report: "DeliveryReport | None" = None  # what the sandbox reports at once


class RecordedDelivery(NamedTuple):
    """The result of `record_delivery`: events, and once the message's price and country."""

    events: list[RecordedEvent]
    price: int | None
    country: str | None


class _DeliveryRow(NamedTuple):
    tenant_id: str
    message_id: str
    state: str
    provider: str
    provider_message_id: str | None
    error: str | None
    refunds_send: bool
    report_in: int | None
    price_microdollars: int | None
    retry_in: int | None
    exclude_providers: Sequence[str]
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    route: str | None
    key_digest: bytes | None
    sealed_response: bytes | None


class _DeliveryResult(NamedTuple):
    message_id: str
    price_microdollars: int | None
    country: str | None
    events: str | None


class ClaimedMessage(NamedTuple):
    """A message of the outbox. Without a box its code has expired, and it is not sent."""

    settings: str  # of its tenant, as stored
    tenant_id: str
    message_id: str
    challenge_id: str | None
    identifier: str
    channel: Channel
    locale: str | None
    tenant_name: str
    code_box: bytes | None
    expires_in: int | None
    token_digest: bytes | None  # of its link, if it has one
    with_code: bool
    exclude_providers: list[str]  # of a retry: providers that may have sent the code
    has_arrived: bool  # of a retry: the first message has arrived meanwhile
    purpose: str | None  # of the code
    notice: str | None  # instead of a code
    country: str | None
    price_microdollars: int | None
    challenge_status: str | None  # as stored: that of an expired challenge is open
    canonical_host: str | None  # of its tenant


class DeliveryReport(NamedTuple):
    """A provider's report on a message."""

    tenant_id: str
    message_id: str
    provider: str
    provider_message_id: str | None
    state: str  # sent, delivered or failed
    error: str | None


class _ReportRow(NamedTuple):
    tenant_id: str
    message_id: str
    provider: str
    provider_message_id: str | None
    state: str
    error: str | None
    event_id: str
    is_retryable: bool
    actor: str
    request_id: str | None
    network: str | None


class _ClaimMessages(NamedTuple):
    providers: list[str]
    channel: str
    is_sandbox: bool
    max_rows: int


class _RetryMessages(NamedTuple):
    message_ids: list[str]
    event_ids: list[str]
    providers: list[str]


class _DeferMessage(NamedTuple):
    tenant_id: str
    message_id: str
    delay_s: int


class _EventIds(NamedTuple):
    event_ids: list[str]


class _EventKey(NamedTuple):
    tenant_id: str
    event_id: str


class ChargeNotice(NamedTuple):
    """The cost of a notice."""

    tenant_id: str
    message_id: str
    country: str | None
    segments: int | None
    microdollars: int


class _SettledRow(NamedTuple):
    settled: int
    events: str | None


class SettledMessages(NamedTuple):
    """The number of rows that a statement of the outbox settled, and their events."""

    rows: int
    events: list[RecordedEvent]


class _MaxRows(NamedTuple):
    max_rows: int


def _is_sent(row: _DeliveryRow) -> bool:
    """Return whether a delivery can share a batch. A message that was not sent also locks its identifier."""
    return row.state == "sent"


_RECORD = Batched(
    function("record_deliveries", _DeliveryRow, _DeliveryResult),
    id_fields=("message_id",),
    lock_fields=("tenant_id", "message_id"),
    can_share=_is_sent,
)
_RECORD_REPORT = _QUERIES.statement("record_report", _ReportRow, RecordedEvents)
_FIND_EVENT = _QUERIES.statement("find_event", _EventKey, RecordedEvents)
_CLAIM_MESSAGES = _QUERIES.statement("claim_messages", _ClaimMessages, ClaimedMessage)
_SCHEDULE_MESSAGES = _QUERIES.statement("schedule_messages", _MaxRows, _SettledRow)
_RETRY_MESSAGES = _QUERIES.statement("retry_messages", _RetryMessages, _SettledRow)
_DEFER_MESSAGE = _QUERIES.statement("defer_message", _DeferMessage, NoParams)
_CHARGE_NOTICE = _QUERIES.statement("charge_notice", ChargeNotice, NoParams)
_MARK_LOST_UNKNOWN = _QUERIES.statement("mark_lost_unknown", _EventIds, _SettledRow)
_EXPIRE_UNREPORTED = _QUERIES.statement("expire_unreported", _EventIds, _SettledRow)


async def record_delivery(postgres: Postgres, delivery: Delivery) -> RecordedDelivery:
    """Record the outcome of a message; the first record counts, so it is repeated after a lost connection."""
    key = delivery.idempotency
    row = _DeliveryRow(
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        state=delivery.state,
        provider=delivery.provider,
        provider_message_id=delivery.provider_message_id,
        error=delivery.error,
        refunds_send=delivery.refunds_send,
        report_in=delivery.report_in,
        price_microdollars=delivery.price,
        retry_in=delivery.retry_in,
        exclude_providers=list(delivery.exclude_providers),
        event_id=delivery.event_id,
        **delivery.context._asdict(),
        route=key.claim.route if key else None,
        key_digest=key.claim.digest if key else None,
        sealed_response=key.sealed_response if key else None,
    )
    result = await _RECORD.call(postgres, row)
    return RecordedDelivery(read_events(result.events), result.price_microdollars, result.country)


async def defer_message(postgres: Postgres, tenant_id: str, message_id: str, delay_s: int) -> bool:
    """Return a message to the outbox, which sends it after a delay; False if it is too old."""
    return await postgres.row(_DEFER_MESSAGE, _DeferMessage(tenant_id, message_id, delay_s)) is not None


async def record_delivery_report(
    postgres: Postgres, report: DeliveryReport, context: EventContext, *, is_retryable: bool = False
) -> list[RecordedEvent]:
    """Record a delivery report; return the event of a new state.

    `is_retryable`: another provider may deliver the failed message. A lost connection is retried once, because the
    provider sends a report only once.
    """
    row = _ReportRow(*report, event_id=new_id("evt"), is_retryable=is_retryable, **context._asdict())

    async def run() -> RecordedEvents:
        return await postgres.row(_RECORD_REPORT, row) or RecordedEvents(None)

    async def find() -> RecordedEvents | None:
        return await postgres.row(_FIND_EVENT, _EventKey(row.tenant_id, row.event_id))

    return read_events((await repeat_once(run, find)).events)


async def claim_messages(
    postgres: Postgres, providers: list[str], channel: str, sandbox: bool, limit: int
) -> list[ClaimedMessage]:
    """Claim messages that were provably not handed to any provider."""
    return await postgres.rows(_CLAIM_MESSAGES, _ClaimMessages(providers, channel, sandbox, limit))


async def schedule_messages(postgres: Postgres, limit: int) -> int:
    """Set the next time of attention of messages with nothing due; return their number."""
    return _settled(await postgres.row(_SCHEDULE_MESSAGES, _MaxRows(limit))).rows


async def retry_messages(postgres: Postgres, providers: list[str], limit: int) -> SettledMessages:
    """Queue a retry of each message that is due."""
    message_ids, event_ids = ([new_id(prefix) for _ in range(limit)] for prefix in ("msg", "evt"))
    return _settled(await postgres.row(_RETRY_MESSAGES, _RetryMessages(message_ids, event_ids, providers)))


async def charge_notice(postgres: Postgres, charge: ChargeNotice) -> None:
    """Count the cost of a notice, once."""
    await postgres.row(_CHARGE_NOTICE, charge)


async def mark_lost_unknown(postgres: Postgres, limit: int) -> SettledMessages:
    """Mark messages of crashed processes as unknown."""
    return _settled(await postgres.row(_MARK_LOST_UNKNOWN, _event_ids(limit)))


async def expire_unreported(postgres: Postgres, limit: int) -> SettledMessages:
    """Mark messages as unknown when their code expired without a delivery report."""
    return _settled(await postgres.row(_EXPIRE_UNREPORTED, _event_ids(limit)))


def _event_ids(limit: int) -> _EventIds:
    return _EventIds([new_id("evt") for _ in range(limit)])


def _settled(row: _SettledRow | None) -> SettledMessages:
    return SettledMessages(row.settled, read_events(row.events)) if row else SettledMessages(0, [])
