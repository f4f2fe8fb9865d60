"""Count the rejections of each scope, and record when they become an attack and when it ends.

Each worker counts in memory, and adds its counts to the table `attacks` within a second or two. So a flood of rejected
requests writes each row once a second, and the events are recorded once in the whole installation.
"""

from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, function
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable
from auth1.events.log import RecordedEvents, log_events, read_events
from auth1.fraud.decisions.statements import EndAttacks, ReportRow

COUNTED_SCOPES = 5_000
BATCH = 200  # rows of a statement
ATTACK_REJECTIONS = 5  # of a scope, without an hour between two, make an attack
GUESSING = "guessing"  # the scope of a tenant's wrong codes: loaded means attacked

_REPORT = function("report_attacks", ReportRow, RecordedEvents)
_QUERIES = Queries("decisions")
_END_ATTACKS = _QUERIES.statement("end_attacks", EndAttacks, RecordedEvents)


class Rejection(NamedTuple):
    """A scope that rejected a request. `subject`: its block of numbers, network or country."""

    scope: str
    subject: str
    load: float


class _Key(NamedTuple):
    tenant_id: str
    scope: str
    subject: str


class _Counted(NamedTuple):
    """The counts of an attack. `microdollars`: the price of messages that were not sent."""

    rejected: int = 0
    microdollars: int = 0
    load: float = 0.0
    has_ended: bool = False

    def plus(self, other: "_Counted") -> "_Counted":
        return _Counted(
            self.rejected + other.rejected,
            self.microdollars + other.microdollars,
            max(self.load, other.load),
            other.has_ended,
        )


class AttackLog:
    """Counts the rejections of a worker. `flush` stores them."""

    def __init__(self, postgres: Postgres, log: Log) -> None:
        self._postgres = postgres
        self._log = log
        self._counted: dict[_Key, _Counted] = {}

    def count(self, tenant_id: str, rejections: list[Rejection], microdollars: int) -> None:
        """Count a rejected request for each scope that rejected it."""
        for scope, subject, load in rejections:
            self._add(_Key(tenant_id, scope, subject), _Counted(1, microdollars, load))

    def count_guessing(self, tenant_id: str, *, has_ended: bool = False) -> None:
        """Count a request of a tenant whose codes are being guessed, or no longer are."""
        self._add(_Key(tenant_id, GUESSING, ""), _Counted(0 if has_ended else 1, 0, 0.0, has_ended))

    async def flush(self) -> None:
        """Store the counts. Counts that cannot be stored are kept."""
        while self._counted:
            counted = {key: self._counted.pop(key) for key in list(self._counted)[:BATCH]}
            try:
                results = await self._postgres.call(_REPORT, *(_row(key, one) for key, one in counted.items()))
            except Unavailable:
                for key, one in counted.items():
                    self._counted[key] = one.plus(self._counted.get(key, _Counted(has_ended=one.has_ended)))
                raise
            log_events(self._log, [event for result in results for event in read_events(result.events)])

    async def end_attacks(self) -> None:
        """Record the end of attacks: an hour without a rejection. Any number of workers may run it."""
        row = await self._postgres.row(_END_ATTACKS, EndAttacks(BATCH, [new_id("evt") for _ in range(BATCH)]))
        log_events(self._log, read_events(row.events if row is not None else None))

    def _add(self, key: _Key, one: _Counted) -> None:
        before = self._counted.get(key)
        if before is not None or len(self._counted) < COUNTED_SCOPES:
            self._counted[key] = before.plus(one) if before is not None else one


def _row(key: _Key, counted: _Counted) -> ReportRow:
    threshold = 1 if key.scope == GUESSING else ATTACK_REJECTIONS
    return ReportRow(
        **key._asdict(),
        rejected=counted.rejected,
        microdollars=counted.microdollars,
        load=counted.load,
        threshold=threshold,
        has_ended=counted.has_ended,
        event_id=new_id("evt"),
    )
