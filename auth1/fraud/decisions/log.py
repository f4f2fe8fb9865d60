"""Store decisions of the fraud rules, and their outcomes.

The decision and the event of a rejected request are stored in one statement, shared by concurrent requests. Other
decisions are buffered and stored within a second or two, so that no request waits for them.
"""

from collections import deque
from typing import Any, NamedTuple

import msgspec

from auth1 import metrics
from auth1.core.ids import new_id
from auth1.core.postgres import Batched, Postgres, Queries, function
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable
from auth1.events.log import EventContext, log_events, read_events
from auth1.events.types import EventType
from auth1.fraud.decisions.statements import DecisionResult, DecisionRow, MaxRows, SettledCount
from auth1.fraud.rules import Decision
from auth1.services import Services

BUFFERED_DECISIONS = 5_000
INTERVAL_S = 60.0  # of settle_outcomes
BATCH = 200  # rows of a statement
MAX_BATCHES = 50  # of outcomes in a round

_QUERIES = Queries("decisions")
_RECORD = Batched(function("record_decisions", DecisionRow, DecisionResult), id_fields=("decision_id",))
_SETTLE = _QUERIES.statement("settle_outcomes", MaxRows, SettledCount)


class DecisionRecord(NamedTuple):
    """A decision to store. `reasons` have their figures. `challenge_id`: that of the code, if one was sent."""

    tenant_id: str
    decision: Decision
    is_enforced: bool
    score: float
    reasons: tuple[str, ...]
    features: dict[str, Any]
    scopes: dict[str, float]
    rule_version: int
    context: EventContext
    challenge_id: str | None = None
    message_id: str | None = None


class DecisionLog:
    """Stores the decisions of a worker. `flush` stores what is buffered."""

    def __init__(self, postgres: Postgres, log: Log) -> None:
        self._postgres = postgres
        self._log = log
        self._buffer: deque[DecisionRow] = deque()

    async def record_rejected(self, record: DecisionRecord, data: dict[str, Any]) -> str:
        """Store a decision with the event of its rejection; return the id of the decision."""
        event_type = (
            EventType.REQUEST_PROOF_REQUIRED if record.decision == "proof_required" else EventType.REQUEST_BLOCKED
        )
        row = _row(record, outcome="unknown", event_type=event_type, data=data)
        result = await _RECORD.call(self._postgres, row)
        log_events(self._log, read_events(result.events))
        return row.decision_id

    def record_later(self, record: DecisionRecord) -> None:
        """Buffer a decision. When the buffer is full, the decision is dropped and counted."""
        if len(self._buffer) >= BUFFERED_DECISIONS:
            metrics.FRAUD_DECISIONS_DROPPED.inc()
            return
        self._buffer.append(_row(record, outcome=None if record.challenge_id is not None else "unknown"))

    async def flush(self) -> None:
        """Store buffered decisions. What cannot be stored is kept."""
        while self._buffer:
            rows = [self._buffer.popleft() for _ in range(min(BATCH, len(self._buffer)))]
            try:
                await self._postgres.call(_RECORD.function, *rows)
            except Unavailable:
                self._buffer.extendleft(reversed(rows[: BUFFERED_DECISIONS - len(self._buffer)]))
                raise


async def settle_outcomes(app: Services) -> None:
    """Set the outcome of decisions whose code has expired. Any number of workers may run it."""
    for _ in range(MAX_BATCHES):
        settled = await app.postgres.row(_SETTLE, MaxRows(BATCH))
        if settled is None or settled.settled < BATCH:
            break


def _row(
    record: DecisionRecord,
    *,
    outcome: str | None,
    event_type: EventType | None = None,
    data: dict[str, Any] | None = None,
) -> DecisionRow:
    return DecisionRow(
        tenant_id=record.tenant_id,
        decision_id=new_id("fd"),
        decision=record.decision,
        is_enforced=record.is_enforced,
        score=record.score,
        reasons=list(record.reasons),
        features=msgspec.json.encode(record.features).decode(),
        scopes=msgspec.json.encode(record.scopes).decode(),
        rule_version=record.rule_version,
        challenge_id=record.challenge_id,
        message_id=record.message_id,
        outcome=outcome,
        event_id=new_id("evt") if event_type is not None else None,
        event_type=event_type.value if event_type is not None else None,
        data=msgspec.json.encode(data).decode() if data is not None else None,
        **record.context._asdict(),
    )
