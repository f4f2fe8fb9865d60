"""SQL of messages, by name."""

from typing import Literal, NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import ConnectionLost, Postgres, Queries
from auth1.idempotency.store import Claim
from auth1.tenants.settings import TenantSettings, read_settings

_QUERIES = Queries("messaging")


class IdempotencyOutcome(NamedTuple):
    """What becomes of the Idempotency-Key that a message was asked for with: an answer to keep, or None to free it."""

    claim: Claim
    sealed_response: bytes | None


class Delivery(NamedTuple):
    """What became of a message. `give_back`: every provider definitely refused it, so the send is not counted."""

    tenant_id: str
    actor: str
    message_id: str
    state: str  # sent, failed or unknown
    provider: str
    provider_message_id: str | None
    error: str | None
    give_back: bool
    event_id: str
    receipt_in: int | None  # seconds for which a receipt will be waited for; None: none will come
    price: int | None = None  # the provider's own, in millionths of a US dollar
    kept: IdempotencyOutcome | None = None
    retry_in: int | None = None  # seconds after which another provider tries, if no receipt has come
    avoid: tuple[str, ...] = ()  # providers that may have sent it


class Recorded(NamedTuple):
    """What `record_delivery` wrote: whether there is an event of it, and the message's price and country, once."""

    told: bool
    price: int | None
    country: str | None


class Claimed(NamedTuple):
    """A message of the outbox. Without a box its code has ended, and it is not worth sending."""

    settings: TenantSettings
    tenant_id: str
    message_id: str
    challenge_id: str | None
    identifier: str
    channel: Literal["sms", "email"]
    locale: str | None
    tenant_name: str
    code_box: bytes | None
    expires_in: int | None
    token_digest: bytes | None  # of its link, if it has one
    with_code: bool
    avoid: list[str]  # of a second try: providers that may have sent the code
    arrived: bool  # of a second try: the first has arrived meanwhile
    purpose: str | None  # of the code
    notice: str | None  # what it tells of, instead of bringing a code


class Retried(NamedTuple):
    """A message whose time for a second try had come. Without a message_id there was none."""

    tenant_id: str
    first_id: str
    provider: str
    event_id: str
    reason: str | None
    message_id: str | None


class DeliveryReport(NamedTuple):
    """What a provider reports of a message that it was handed."""

    tenant_id: str
    message_id: str
    provider: str
    provider_message_id: str | None
    state: str  # sent, delivered or failed
    error: str | None


class Unknown(NamedTuple):
    """A message of which nobody can say whether it arrived, and the id of the event that says so."""

    tenant_id: str
    message_id: str
    provider: str
    event_id: str


async def record_delivery(postgres: Postgres, delivery: Delivery) -> Recorded:
    """Write down what became of a message; the first report counts."""
    claim, box = delivery.kept or (None, None)
    row = await postgres.row(
        _QUERIES["record_delivery"],
        *(delivery.tenant_id, delivery.message_id, delivery.state, delivery.provider),
        *(delivery.provider_message_id, delivery.error, delivery.give_back, delivery.event_id, delivery.actor),
        *(delivery.receipt_in, delivery.price),
        *((claim.route, claim.digest) if claim else (None, None)),
        box,
        *(delivery.retry_in, list(delivery.avoid)),
    )
    assert row is not None, "the statement returns its row whatever it finds"
    return Recorded(row["event_id"] is not None, row["price_microdollars"], row["country"])


async def defer_message(postgres: Postgres, tenant_id: str, message_id: str, delay_s: int) -> bool:
    """Return a message to the outbox, which sends it after a delay; False where it is too old to wait."""
    return await postgres.row(_QUERIES["defer_message"], tenant_id, message_id, delay_s) is not None


async def record_delivery_report(
    postgres: Postgres, receipt: DeliveryReport, event_id: str, *, is_retryable: bool = False
) -> str | None:
    """Write down what a provider reports; returns the state of the message where that is new.

    `is_retryable`: another provider might deliver what failed. A lost connection is tried again once, which is safe:
    the provider would not call a second time.
    """
    try:
        row = await postgres.row(_QUERIES["record_receipt"], *receipt, event_id, is_retryable)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["record_receipt"], *receipt, event_id, is_retryable)
    return row["next_state"] if row else None


async def claim_messages(
    postgres: Postgres, providers: list[str], channel: str, sandbox: bool, limit: int
) -> list[Claimed]:
    """Take messages that were provably not handed to any provider."""
    rows = await postgres.rows(_QUERIES["claim_messages"], providers, limit, channel, sandbox)
    return [Claimed(read_settings(row["settings"]), *list(row)[1:]) for row in rows]


async def retry_messages(postgres: Postgres, providers: list[str], limit: int) -> list[Retried]:
    """Queue a second message for each whose time for that has come."""
    ids = ([new_id(prefix) for _ in range(limit)] for prefix in ("msg", "evt"))
    rows = await postgres.rows(_QUERIES["retry_messages"], *ids, providers)
    return [Retried(*row) for row in rows]


async def charge_notice(
    postgres: Postgres, tenant_id: str, message_id: str, country: str | None, segments: int | None, microdollars: int
) -> None:
    """Count what a notice costs, once."""
    await postgres.row(_QUERIES["charge_notice"], tenant_id, message_id, country, segments, microdollars)


async def mark_lost_unknown(postgres: Postgres, limit: int) -> list[Unknown]:
    """Mark what dead processes were handing over as unknown."""
    rows = await postgres.rows(_QUERIES["settle_lost_messages"], [new_id("evt") for _ in range(limit)])
    return [Unknown(*row) for row in rows]


async def expire_unreported(postgres: Postgres, limit: int) -> list[Unknown]:
    """Mark those as unknown whose code has ended before a receipt came."""
    rows = await postgres.rows(_QUERIES["settle_unreported_messages"], [new_id("evt") for _ in range(limit)])
    return [Unknown(*row) for row in rows]
