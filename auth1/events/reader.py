"""Follow the table of events: each event once, in the order of (tx, id), by one process at a time.

Events are not committed in the order of their ids: clocks of instances differ, and transactions last. So they are read
by transaction: once all older transactions have ended (`pg_snapshot_xmin`), no earlier event can appear. A reader keeps
its place in `event_readers` and advances it in the transaction of its work. So a crash at any point repeats and skips
nothing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

from auth1 import metrics
from auth1.core.postgres import NO_PARAMS, NoParams, Postgres, Queries, Transaction
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable

MAX_ROWS = 5000  # of a round
BUSY_S = 0.5  # seconds between rounds while there is work
IDLE_S = 5.0

_QUERIES = Queries("event_readers")
WITHOUT_TX = "0"  # the transaction of events of earlier versions


class EventRow(NamedTuple):
    """An event with every column of its row; `data` is JSON, `tx` a decimal number."""

    tenant_id: str
    id: str
    type: str
    actor: str
    subject: str
    request_id: str | None
    network: str | None
    data: str
    created_at: datetime
    tx: str


class Position(NamedTuple):
    """A position in the order of events. `tx` is 0 for the events of earlier versions."""

    tx: int
    id: str


def position_of(tx: str, event_id: str) -> Position:
    """Return the position of an event."""
    return Position(int(tx), event_id)


class Place(NamedTuple):
    """The place of a reader: the last event that it has read, and the number of its last round."""

    tx: str
    id: str
    round: int
    started_at: datetime  # of this round
    is_restored: bool


class Progress(NamedTuple):
    """The result of a round: the number of events, and the place of the last one."""

    events: int
    tx: str
    id: str


class _Name(NamedTuple):
    name: str


class _Next(NamedTuple):
    tx: str
    id: str
    max_rows: int


class _NextId(NamedTuple):
    id: str
    max_rows: int


class _Advance(NamedTuple):
    name: str
    tx: str
    id: str
    round: int


class _Lag(NamedTuple):
    lag_s: float


_LOCK = _QUERIES.statement("lock_reader", _Name, Place)
_READ = _QUERIES.statement("read_final_events", _Next, EventRow)
_READ_WITHOUT_TX = _QUERIES.statement("read_events_without_transaction", _NextId, EventRow)
_ADVANCE = _QUERIES.statement("advance_reader", _Advance, NoParams)
_LAG = _QUERIES.statement("measure_lag", _Name, _Lag)
_CONTINUE_CLOCK = _QUERIES.statement("continue_event_clock", NoParams, NoParams)

Work = Callable[[Transaction, Place, list[EventRow]], Awaitable[None]]
Step = Callable[[Transaction, Place], Awaitable[Progress | None]]


async def follow(postgres: Postgres, name: str, work: Work, max_rows: int = MAX_ROWS) -> int:
    """Run one round: call `work` with the next final events, in one transaction with the new place of the reader.

    Return the number of events; 0 also while another process reads. Raises Unavailable, and what `work` raises.
    """

    async def step(transaction: Transaction, place: Place) -> Progress | None:
        rows = await _read(transaction, place, max_rows)
        if not rows:
            return None
        await work(transaction, place, rows)
        return Progress(len(rows), rows[-1].tx, rows[-1].id)

    return await run_round(postgres, name, step)


async def run_round(postgres: Postgres, name: str, step: Step) -> int:
    """Run one round: `step` reads the next final events itself, and returns its progress, None without events.

    Return the number of events; 0 also while another process reads. Raises Unavailable, and what `step` raises.
    """
    is_restored = False

    async def run(transaction: Transaction) -> int:
        nonlocal is_restored
        place = await transaction.row(_LOCK, _Name(name))
        if place is None or place.is_restored:
            is_restored = place is not None
            return 0
        progress = await step(transaction, place)
        if progress is None:
            return 0
        await transaction.row(_ADVANCE, _Advance(name, progress.tx, progress.id, place.round + 1))
        return progress.events

    try:
        found = await postgres.in_transaction(run)
    finally:  # a reader that fails in each round lags too
        lag = await postgres.row(_LAG, _Name(name))
        metrics.EVENT_READER_LAG[name].set(lag.lag_s if lag is not None else 0.0)
    if is_restored:
        await postgres.row(_CONTINUE_CLOCK, NO_PARAMS)
    return found


async def run_rounds(log: Log, step: Callable[[], Awaitable[int]]) -> None:
    """Run rounds until cancelled: `step` returns the number of events. A failure does not stop the next round."""
    pause_s = BUSY_S
    while True:
        # Workers of many instances should not run at the same time.
        await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
        try:
            pause_s = BUSY_S if await step() else min(pause_s * 2, IDLE_S)
        except Unavailable:
            pause_s = IDLE_S  # already logged
        except Exception as error:
            pause_s = IDLE_S
            log.error("background task failed", error=error)


async def _read(transaction: Transaction, place: Place, max_rows: int) -> list[EventRow]:
    """Read events without a transaction first, then by transaction."""
    rows: list[EventRow] = []
    if place.tx == WITHOUT_TX:
        rows = await transaction.rows(_READ_WITHOUT_TX, _NextId(place.id, max_rows))
        if rows:
            return rows
    last_id = place.id if place.tx != WITHOUT_TX else ""
    first_tx = place.tx if place.tx != WITHOUT_TX else "1"
    return await read_final(transaction, first_tx, last_id, max_rows)


async def read_final(transaction: Transaction, tx: str, last_id: str, max_rows: int) -> list[EventRow]:
    """Return the next final events after a place, of those with a transaction."""
    return await transaction.rows(_READ, _Next(tx, last_id, max_rows))
