"""SQL of what a tenant reads of its messages, by name."""

from datetime import UTC, datetime, timedelta

from auth1.config.sms_rates import MICRO
from auth1.core.postgres import Postgres, Queries
from auth1.identifiers import mask
from auth1.messaging.schemas import GroupBy, MessageGroup, MessageListed, MessageQuery

_QUERIES = Queries("reports")
HOUR = timedelta(hours=1)
_NEWEST = "msg_~"  # above every id
# In the order of the parameters of both statements.
MESSAGE_FILTERS = ("since", "until", "state", "provider", "channel", "country", "challenge_id")


async def list_messages(postgres: Postgres, tenant_id: str, query: MessageQuery) -> list[MessageListed]:
    """Return a page of a tenant's messages, newest first, and one more message if there is one."""
    statement = _QUERIES["list_messages"] if query.challenge_id is None else _QUERIES["list_messages_of_challenge"]
    filters = (getattr(query, name) for name in MESSAGE_FILTERS)
    rows = await postgres.report(statement, tenant_id, query.cursor or _NEWEST, query.rows, *filters)
    return [
        MessageListed(
            message_id=row["id"],
            challenge_id=row["challenge_id"],
            notice=row["notice"],
            channel=row["channel"],
            destination=mask(row["identifier"]),
            country=row["country"],
            state=row["state"],
            provider=row["provider"],
            error=row["error"],
            retry_of=row["retry_of"],
            segments=row["segments"],
            price=_dollars(row["price_microdollars"]) if row["price_microdollars"] is not None else None,
            price_source=row["price_source"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            delivered_at=row["delivered_at"],
        )
        for row in rows
    ]


async def message_statistics(
    postgres: Postgres, tenant_id: str, since: datetime, until: datetime, group_by: GroupBy
) -> list[MessageGroup]:
    """What became of the messages of a span of time."""
    # Whole hours, between since and until, that have been added up; where there are none, all is read singly.
    row = await postgres.row(_QUERIES["next_hour"], 0)
    assert row is not None, "the migration made it"
    first, end = _hour(since + HOUR - timedelta(microseconds=1)), min(_hour(until), row["hour"])
    if first >= end:
        first = end = until
    rows = await postgres.report(_QUERIES["message_statistics"], tenant_id, since, until, group_by, first, end)
    return [
        MessageGroup(
            group=row["name"],
            sent=row["sent"],
            delivered=row["delivered"],
            failed=row["failed"],
            unknown=row["unknown"],
            verified=row["verified"],
            conversion=round(row["verified"] / row["sent"], 4),
            median_delivery_in=row["delivery_in"],
            cost=_dollars(row["microdollars"]),
        )
        for row in rows
    ]


async def aggregate_hour(postgres: Postgres, over_for_s: int) -> datetime | None:
    """Add up the next hour that has been over for so long; returns it, None where there is none, or another does it."""
    row = await postgres.row(_QUERIES["next_hour"], over_for_s)
    if row is None or not row["is_final"]:
        return None
    done = await postgres.report(_QUERIES["add_up_hour"], row["hour"], readonly=False)
    return row["hour"] if done else None


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _dollars(microdollars: int) -> str:
    """Write an amount without a float's rounding: 7900 is 0.007900."""
    sign, amount = ("-", -microdollars) if microdollars < 0 else ("", microdollars)
    return f"{sign}{amount // MICRO}.{amount % MICRO:06d}"
