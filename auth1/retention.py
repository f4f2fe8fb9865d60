"""Purge expired rows: events and decisions as whole partitions, other tables in small steps that do not delay logins.

Each step stays far below the deadline of a statement: it follows an index, or reads a few pages of a table. One round
reads a random sample of a large table, so that all expired rows are purged within hours.
"""

import random
from contextlib import suppress
from typing import NamedTuple, TypeVar

from auth1.audit import purge
from auth1.core.postgres import NO_PARAMS, NoParams, Queries, Statement
from auth1.errors import Unavailable
from auth1.services import Services

INTERVAL_S = 600.0
BATCH = 1000
MAX_BATCHES = 50  # per table and round
RANGE_PAGES = 1024  # pages (8 MiB) of one step
MAX_RANGES = 16  # per table and round
DECISIONS_DAYS = 30
ATTEMPTS_DAYS = 31  # of calls of webhooks, by whole months: their deliveries are purged before

_QUERIES = Queries("retention")
# By table, in the order of execution.
TABLE_SCANS = {
    "purge_challenges": "challenges",
    "purge_messages": "messages",
    "purge_message_hours": "message_hours",
    "purge_exposures": "exposures",
    "purge_links": "links",
    "purge_sessions": "sessions",
    "purge_logins": "logins",
    "purge_grants": "grants",
    "purge_consents": "consents",
    "purge_identifiers": "identifiers",
    "purge_line_types": "line_types",
    "purge_deliveries": "deliveries",
}
INDEXED_PURGES = (
    "purge_idempotency",
    "purge_spending",
    "purge_fraud_lists",
    "purge_revoked_tokens",
    "end_webhooks_of_deleted_tenants",
    "purge_deliveries_of_deleted_webhooks",
    "purge_webhooks",
    "purge_deleted_logins",
    "purge_deleted_grants",
    "purge_deleted_consents",
    "purge_deleted_sessions",
    "purge_deleted_identifiers",
    "purge_deleted_users",
    "purge_deleted_challenges",
    "purge_deleted_messages",
    "purge_deleted_spending",
    "purge_deleted_budgets",
    "purge_deleted_message_hours",
    "purge_deleted_fraud_lists",
    "purge_deleted_fraud_settings",
    "purge_deleted_hooks",
    "purge_deleted_hosts",
    "purge_deleted_applications",
    "purge_deleted_signing_keys",
    "purge_deleted_exposures",
    "purge_deleted_tenants",
)


class _Days(NamedTuple):
    days: int


class _Table(NamedTuple):
    table_name: str


class _Pages(NamedTuple):
    pages: int


class _MaxRows(NamedTuple):
    max_rows: int


class _PageRange(NamedTuple):
    max_rows: int
    first_page: int
    end_page: int


class _Purged(NamedTuple):
    purged: int


Params = TypeVar("Params")
_MAKE_PARTITIONS = _QUERIES.statement("make_partitions", NoParams, NoParams)
_MAKE_DECISIONS = _QUERIES.statement("make_decisions_partitions", NoParams, NoParams)
_DROP_DECISIONS = _QUERIES.statement("drop_decisions_partitions", _Days, NoParams)
_MAKE_ATTEMPTS = _QUERIES.statement("make_delivery_attempts_partitions", NoParams, NoParams)
_DROP_ATTEMPTS = _QUERIES.statement("drop_delivery_attempts_partitions", _Days, NoParams)
_PAGES = _QUERIES.statement("pages", _Table, _Pages)


async def run_once(app: Services) -> None:
    """Run one round. Any number of workers may run it: each step skips rows that another one has locked.

    A failure in one table is logged where it happens and does not stop the others.
    """
    with suppress(Unavailable):
        await app.postgres.rows(_MAKE_PARTITIONS, NO_PARAMS)
        await purge.drop_months(app)
    with suppress(Unavailable):
        await purge.purge_tenants(app)
    with suppress(Unavailable):
        await app.postgres.rows(_MAKE_DECISIONS, NO_PARAMS)
        await app.postgres.rows(_DROP_DECISIONS, _Days(DECISIONS_DAYS))
    with suppress(Unavailable):
        await app.postgres.rows(_MAKE_ATTEMPTS, NO_PARAMS)
        await app.postgres.rows(_DROP_ATTEMPTS, _Days(ATTEMPTS_DAYS))
    for name, table in TABLE_SCANS.items():
        with suppress(Unavailable):
            await _scan(app, _QUERIES.statement(name, _PageRange, _Purged), table)
    for name in INDEXED_PURGES:
        with suppress(Unavailable):
            await _purge(app, _QUERIES.statement(name, _MaxRows, _Purged), _MaxRows(BATCH), MAX_BATCHES)


async def _scan(app: Services, statement: Statement[_PageRange, _Purged], table: str) -> None:
    """Scan a table, or parts of a large one."""
    size = await app.postgres.row(_PAGES, _Table(table))
    batches = MAX_BATCHES
    for first in sample_page_ranges(size.pages if size is not None else 0):
        batches -= await _purge(app, statement, _PageRange(BATCH, first, first + RANGE_PAGES), batches)


def sample_page_ranges(pages: int) -> list[int]:
    """Return the first pages of the ranges that this round reads: all of them, or a random sample."""
    firsts = range(0, pages, RANGE_PAGES)
    return random.sample(firsts, min(len(firsts), MAX_RANGES))


async def _purge(app: Services, statement: Statement[Params, _Purged], params: Params, most: int) -> int:
    """Delete batch after batch until one is not full, or `most` batches ran; return the number of full batches."""
    for full in range(most):
        row = await app.postgres.row(statement, params)
        if row is None or row.purged < BATCH:
            return full
    return most
