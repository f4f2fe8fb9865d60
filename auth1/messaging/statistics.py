"""The statements of a tenant's message lists and statistics."""

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from auth1.config.sms_rates import MICRO
from auth1.core.postgres import Postgres, Queries
from auth1.identifiers import TYPES, stored_identifier
from auth1.messaging.schemas import GroupBy, MessageGroup, MessageListed, MessageQuery, State

_QUERIES = Queries("reports")


class _ListMessages(NamedTuple):
    tenant_id: str
    before: str
    max_rows: int
    since: datetime | None
    until: datetime | None
    state: str | None
    provider: str | None
    channel: str | None
    country: str | None
    challenge_id: str | None


class _MessageRow(NamedTuple):
    id: str
    challenge_id: str | None
    notice: str | None
    channel: Literal["sms", "email"]
    identifier: str
    country: str | None
    state: State
    provider: str | None
    error: str | None
    retry_of: str | None
    segments: int | None
    price_microdollars: int | None
    price_source: str | None
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None


class _Statistics(NamedTuple):
    tenant_id: str
    since: datetime
    until: datetime
    group_by: str
    first_hour: datetime
    end_hour: datetime


class _StatisticsRow(NamedTuple):
    name: str | None
    sent: int
    delivered: int
    failed: int
    unknown: int
    verified: int
    delivery_in: int | None
    microdollars: int


class _OverFor(NamedTuple):
    over_for_s: int


class _NextHour(NamedTuple):
    hour: datetime
    is_final: bool


class _Hour(NamedTuple):
    hour: datetime


_LIST_MESSAGES = _QUERIES.statement("list_messages", _ListMessages, _MessageRow)
_LIST_MESSAGES_OF_CHALLENGE = _QUERIES.statement("list_messages_of_challenge", _ListMessages, _MessageRow)
_MESSAGE_STATISTICS = _QUERIES.statement("message_statistics", _Statistics, _StatisticsRow)
_NEXT_HOUR = _QUERIES.statement("next_hour", _OverFor, _NextHour)
_AGGREGATE_HOUR = _QUERIES.statement("aggregate_hour", _Hour, _Hour)
HOUR = timedelta(hours=1)
_NEWEST = "msg_~"  # above every id
MESSAGE_FILTERS = ("since", "until", "state", "provider", "channel", "country", "challenge_id")


async def list_messages(postgres: Postgres, tenant_id: str, query: MessageQuery) -> list[MessageListed]:
    """Return a page of a tenant's messages, newest first, and one more message if there is one."""
    statement = _LIST_MESSAGES if query.challenge_id is None else _LIST_MESSAGES_OF_CHALLENGE
    filters = {name: getattr(query, name) for name in MESSAGE_FILTERS}
    rows = await postgres.report(statement, _ListMessages(tenant_id, query.cursor or _NEWEST, query.rows, **filters))
    return [
        MessageListed(
            message_id=row.id,
            challenge_id=row.challenge_id,
            notice=row.notice,
            channel=row.channel,
            destination=stored_identifier(TYPES[row.channel], row.identifier).masked,
            country=row.country,
            state=row.state,
            provider=row.provider,
            error=row.error,
            retry_of=row.retry_of,
            segments=row.segments,
            price=_dollars(row.price_microdollars) if row.price_microdollars is not None else None,
            price_source=row.price_source,
            created_at=row.created_at,
            updated_at=row.updated_at,
            delivered_at=row.delivered_at,
        )
        for row in rows
    ]


async def message_statistics(
    postgres: Postgres, tenant_id: str, since: datetime, until: datetime, group_by: GroupBy
) -> list[MessageGroup]:
    """Return statistics of the messages of a time range."""
    # The aggregated hours between since and until; without any, all messages are read.
    row = await postgres.row(_NEXT_HOUR, _OverFor(0))
    assert row is not None, "the migration made it"
    first, end = _hour(since + HOUR - timedelta(microseconds=1)), min(_hour(until), row.hour)
    if first >= end:
        first = end = until
    rows = await postgres.report(_MESSAGE_STATISTICS, _Statistics(tenant_id, since, until, group_by, first, end))
    return [
        MessageGroup(
            group=row.name,
            sent=row.sent,
            delivered=row.delivered,
            failed=row.failed,
            unknown=row.unknown,
            verified=row.verified,
            conversion=round(row.verified / row.sent, 4),
            median_delivery_in=row.delivery_in,
            cost=_dollars(row.microdollars),
        )
        for row in rows
    ]


async def aggregate_hour(postgres: Postgres, over_for_s: int) -> datetime | None:
    """Aggregate the next final hour; return it, None if there is none or another worker aggregates it."""
    row = await postgres.row(_NEXT_HOUR, _OverFor(over_for_s))
    if row is None or not row.is_final:
        return None
    done = await postgres.report(_AGGREGATE_HOUR, _Hour(row.hour), readonly=False)
    return row.hour if done else None


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _dollars(microdollars: int) -> str:
    """Format an amount without the rounding of floats: 7900 is 0.007900."""
    sign, amount = ("-", -microdollars) if microdollars < 0 else ("", microdollars)
    return f"{sign}{amount // MICRO}.{amount % MICRO:06d}"
