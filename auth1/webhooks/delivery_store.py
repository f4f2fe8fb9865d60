"""Read deliveries, and replay or cancel them."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import Postgres, Transaction
from auth1.errors import Conflict, NotFound
from auth1.webhooks import statements
from auth1.webhooks.delivery_ids import delivery_id, event_prefix
from auth1.webhooks.schemas import TEST, DeliveryCall, DeliveryOut, DeliveryQuery, State
from auth1.webhooks.statements import DeliveryKey
from auth1.webhooks.store import WebhookKey

MAX_SCANNED = 20_000  # deliveries that a page scans
MAX_CALLS = 50  # shown of a delivery
MAX_SAME_MILLISECOND = 5000
STEP = 500  # deliveries of a statement
MAX_STEPS = 20  # of a request
REPLAY_INTERVAL_MS = 50  # between two replayed deliveries: 20 a second

_NEWEST = "evt_~"  # above every id


class Range(NamedTuple):
    """Deliveries of events of a time range; null: without an end."""

    since: datetime | None
    until: datetime | None


class ChangedDeliveries(NamedTuple):
    """The number of changed deliveries, and whether there are more."""

    deliveries: int
    has_more: bool


async def list_deliveries(
    postgres: Postgres, key: WebhookKey, query: DeliveryQuery
) -> tuple[list[DeliveryOut], str | None]:
    """Return a page of deliveries, newest event first, and the cursor of the next page. Raises Unavailable."""
    before = query.cursor or _NEWEST
    wanted = statements.ListDeliveries(
        *key, before, query.state, query.type, query.since, query.until, MAX_SCANNED, query.rows
    )
    rows = await postgres.report(statements.LIST, wanted, in_order=True)
    shown, cursor = query.split(rows, lambda row: row.event_id)
    if cursor is None:
        scanned = statements.LastScanned(*key, before, query.since, query.until, MAX_SCANNED)
        last = await postgres.report(statements.LAST_SCANNED, scanned, in_order=True)
        cursor = last[0].event_id if last else None
    return [row.out(key.webhook_id) for row in shown], cursor


async def find_key(postgres: Postgres, key: WebhookKey, delivery: str) -> DeliveryKey:
    """Return the key of a delivery from its id. Raises NotFound."""
    wanted = statements.Candidates(*key, event_prefix(delivery), MAX_SAME_MILLISECOND)
    for row in await postgres.rows(statements.CANDIDATES, wanted):
        if delivery_id(key.webhook_id, row.event_id) == delivery:
            return DeliveryKey(*key, row.event_id)
    raise NotFound


async def find_delivery(postgres: Postgres, key: DeliveryKey) -> DeliveryOut:
    """Return a delivery. Raises NotFound."""
    row = await postgres.row(statements.FIND, key)
    if row is None:
        raise NotFound
    return row.out(key.webhook_id)


async def find_body(postgres: Postgres, key: DeliveryKey) -> bytes | None:
    """Return the body of a delivery; None when its event was purged."""
    row = await postgres.row(statements.CONTENT, key)
    return row.encode() if row is not None else None


async def list_calls(postgres: Postgres, key: DeliveryKey) -> list[DeliveryCall]:
    """Return the newest calls of a delivery, newest first."""
    return await postgres.rows(statements.CALLS, statements.Calls(*key, MAX_CALLS))


async def replay_delivery(postgres: Postgres, key: DeliveryKey) -> None:
    """Make a delivery due now, with a new back-off. Raises NotFound."""

    async def work(transaction: Transaction) -> None:
        await _lock(transaction, WebhookKey(key.tenant_id, key.webhook_id))
        if await transaction.row(statements.REPLAY, key) is None:
            raise NotFound
        await transaction.row(statements.WAKE, WebhookKey(key.tenant_id, key.webhook_id))

    await postgres.in_transaction(work)


async def replay_deliveries(postgres: Postgres, key: WebhookKey, state: State, within: Range) -> ChangedDeliveries:
    """Replay ended deliveries of a state, oldest first, at a limited rate. Raises NotFound.

    Each step commits. A request that is repeated after a failure continues, because replayed deliveries are pending.
    """
    total, after = 0, ""

    async def step(transaction: Transaction) -> statements.Replayed | None:
        await _lock(transaction, key)
        wanted = statements.ReplayRange(*key, state, *within, after, REPLAY_INTERVAL_MS, STEP)
        return await transaction.row(statements.REPLAY_RANGE, wanted)

    for _ in range(MAX_STEPS):
        done = await postgres.in_transaction(step)
        if done is None or done.last is None:
            return ChangedDeliveries(total, has_more=False)
        total, after = total + done.deliveries, done.last
        if done.chosen < STEP:
            return ChangedDeliveries(total, has_more=False)
    return ChangedDeliveries(total, has_more=True)


async def cancel_delivery(postgres: Postgres, key: DeliveryKey) -> None:
    """Cancel a pending delivery. Raises NotFound, and Conflict when it has ended or a call is under way."""

    async def work(transaction: Transaction) -> None:
        await _lock(transaction, WebhookKey(key.tenant_id, key.webhook_id))
        row = await transaction.row(statements.CANCEL, key)
        if row is None:
            raise NotFound
        if row.is_cancelled or row.state == "cancelled":
            return
        if row.state == "pending":
            raise Conflict("A call of this delivery is under way; retry.", retry_after=1)
        raise Conflict("This delivery is not pending.")

    await postgres.in_transaction(work)


async def cancel_deliveries(postgres: Postgres, key: WebhookKey, within: Range) -> ChangedDeliveries:
    """Cancel pending deliveries, except those with a call under way. Raises NotFound."""
    total = 0

    async def step(transaction: Transaction) -> int:
        await _lock(transaction, key)
        cancelled = await transaction.row(statements.CANCEL_RANGE, statements.CancelRange(*key, *within, STEP))
        return cancelled.deliveries if cancelled is not None else 0

    for _ in range(MAX_STEPS):
        count = await postgres.in_transaction(step)
        total += count
        if count < STEP:
            return ChangedDeliveries(total, has_more=False)
    return ChangedDeliveries(total, has_more=True)


async def insert_test(postgres: Postgres, key: WebhookKey, event_id: str, body: str) -> None:
    """Add a delivery that is no event. Raises NotFound, and Conflict when the webhook is disabled."""

    async def work(transaction: Transaction) -> None:
        if not await _lock(transaction, key):
            raise Conflict("The webhook is disabled; enable it first.")
        await transaction.row(statements.INSERT_TEST, statements.NewTest(*key, event_id, TEST, body))
        await transaction.row(statements.WAKE, key)

    await postgres.in_transaction(work)


async def _lock(transaction: Transaction, key: WebhookKey) -> bool:
    """Lock a webhook before its deliveries; return whether it is enabled. Raises NotFound."""
    row = await transaction.row(statements.LOCK, key)
    if row is None:
        raise NotFound
    return row.is_enabled
