"""Make deliveries from events: a reader of the table of events, in its order.

A round is one statement, in one transaction with the new place of the reader. So a crash at any point repeats and skips
nothing. The events stay in PostgreSQL; only their number comes back.
"""

from typing import NamedTuple

from auth1 import metrics
from auth1.core.postgres import Queries, Transaction
from auth1.events import reader
from auth1.events.reader import Place, Progress
from auth1.services import Services

READER = "webhooks"
MAX_EVENTS = 250  # of a round: up to 2,500 deliveries, far within the deadline of a statement
MAX_ROUNDS = 80  # at once

_QUERIES = Queries("webhooks")


class _Next(NamedTuple):
    tx: str
    id: str
    max_rows: int


class _FannedOut(NamedTuple):
    tx: str
    id: str
    events: int
    deliveries: int


_FAN_OUT = _QUERIES.statement("fan_out", _Next, _FannedOut)


async def run(app: Services) -> None:
    """Make deliveries until cancelled."""
    await reader.run_rounds(app.log, lambda: fan_out(app))


async def fan_out(app: Services, max_events: int = MAX_EVENTS) -> int:
    """Make deliveries of the next events until none is left; return the number of events. Raises Unavailable."""
    total = 0
    for _ in range(MAX_ROUNDS):
        events = await _round(app, max_events)
        total += events
        if events < max_events:
            break
    if total:
        app.deliveries.wake()
    return total


async def _round(app: Services, max_events: int) -> int:
    deliveries = 0

    async def step(transaction: Transaction, place: Place) -> Progress | None:
        nonlocal deliveries
        # Events of versions without transactions are older than every webhook.
        tx, event_id = ("1", "") if place.tx == reader.WITHOUT_TX else (place.tx, place.id)
        done = await transaction.row(_FAN_OUT, _Next(tx, event_id, max_events))
        if done is None:
            return None
        deliveries = done.deliveries
        return Progress(done.events, done.tx, done.id)

    events = await reader.run_round(app.postgres, READER, step)
    metrics.WEBHOOK_DELIVERIES_CREATED.inc(deliveries)
    return events
