"""What is old goes: months of events as whole partitions, all else in small steps that no login has to wait for."""

from auth1.core.postgres import Queries
from auth1.services import Services

ROUND_S = 600.0
BATCH = 1000
MAX_BATCHES = 50  # per table and round
EVENTS_MONTHS = 13  # a year of audit log, and the month that is under way

_QUERIES = Queries("retention")
PURGES = (
    "purge_challenges",
    "purge_messages",
    "purge_message_hours",
    "purge_links",
    "purge_sessions",
    "purge_identifiers",
    "purge_idempotency",
    "purge_spending",
    "purge_deleted_sessions",
    "purge_deleted_identifiers",
    "purge_deleted_users",
    "purge_deleted_challenges",
    "purge_deleted_messages",
    "purge_deleted_spending",
    "purge_deleted_budgets",
    "purge_deleted_message_hours",
    "purge_deleted_tenants",
)


async def tidy(app: Services) -> None:
    """One round. Any number of workers may run it: each step takes rows that nobody else is taking."""
    await app.postgres.rows(_QUERIES["make_partitions"])
    await app.postgres.rows(_QUERIES["drop_partitions"], EVENTS_MONTHS)
    for name in PURGES:
        for _ in range(MAX_BATCHES):
            row = await app.postgres.row(_QUERIES[name], BATCH)
            if row is None or row["purged"] < BATCH:
                break
