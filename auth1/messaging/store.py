"""SQL of messages, by name."""

from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries

_QUERIES = Queries("messaging")


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


class Claimed(NamedTuple):
    """A message of the outbox. Without a box its code has ended, and it is not worth sending."""

    tenant_id: str
    message_id: str
    challenge_id: str
    identifier: str
    channel: str
    tenant_name: str
    sms_branding: str | None
    code_box: bytes | None
    expires_in: int | None


class Lost(NamedTuple):
    """A message that a dead process was handing over."""

    tenant_id: str
    message_id: str
    provider: str


async def record_delivery(postgres: Postgres, delivery: Delivery) -> None:
    """Write down what became of a message; the first report counts."""
    await postgres.row(
        _QUERIES["record_delivery"],
        *(delivery.tenant_id, delivery.message_id, delivery.state, delivery.provider),
        *(delivery.provider_message_id, delivery.error, delivery.give_back, delivery.event_id, delivery.actor),
    )


async def claim_messages(postgres: Postgres, provider: str, channel: str, sandbox: bool, limit: int) -> list[Claimed]:
    """Take messages that were provably not handed to any provider."""
    rows = await postgres.rows(_QUERIES["claim_messages"], provider, limit, channel, sandbox)
    return [Claimed(*row) for row in rows]


async def settle_lost_messages(postgres: Postgres, limit: int) -> list[tuple[Lost, str]]:
    """Mark what dead processes were handing over as unknown; returns each with the id of its event."""
    event_ids = [new_id("evt") for _ in range(limit)]
    rows = await postgres.rows(_QUERIES["settle_lost_messages"], event_ids)
    return [(Lost(*list(row)[:3]), row["event_id"]) for row in rows]
