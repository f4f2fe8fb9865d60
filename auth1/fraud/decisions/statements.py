"""The types of the statements of decisions: parameters and rows, by the names that SQL gives them."""

from datetime import datetime
from typing import Literal, NamedTuple

from auth1.fraud.rules import Decision


class DecisionRow(NamedTuple):
    """The type `record_decision` of the function."""

    tenant_id: str
    decision_id: str
    decision: str
    is_enforced: bool
    score: float
    reasons: list[str]
    features: str
    scopes: str
    rule_version: int
    request_id: str | None
    challenge_id: str | None
    message_id: str | None
    outcome: str | None
    event_id: str | None
    event_type: str | None
    actor: str
    network: str | None
    data: str | None
    deadline: datetime | None = None  # set by Postgres.call


class DecisionResult(NamedTuple):
    """A row of `record_decisions`."""

    decision_id: str
    events: str | None


class ReportRow(NamedTuple):
    """The type `report_attack` of the function."""

    tenant_id: str
    scope: str
    subject: str
    rejected: int
    microdollars: int
    load: float
    threshold: int
    has_ended: bool
    event_id: str
    deadline: datetime | None = None  # set by Postgres.call


class EndAttacks(NamedTuple):
    """The largest number of attacks to end, and an id for the event of each."""

    max_rows: int
    event_ids: list[str]


class MaxRows(NamedTuple):
    """The largest number of rows to change."""

    max_rows: int


class SettledCount(NamedTuple):
    """The number of rows that were changed."""

    settled: int


class ListDecisions(NamedTuple):
    """The filters of a list, and the id before which its page begins."""

    tenant_id: str
    before: str
    since: datetime | None
    until: datetime | None
    decision: str | None
    reason: str | None
    max_rows: int


class ListedDecision(NamedTuple):
    """A row of a list of decisions."""

    decision_id: str
    decision: Decision
    score: float
    reasons: list[str]
    features: str
    scopes: str
    outcome: Literal["verified", "unverified", "unknown"]
    created_at: datetime
    request_id: str | None


class IdentifierCounts(NamedTuple):
    """The history of an identifier: codes that it answered, sends that it did not answer, and results of look-ups."""

    answered: int
    unanswered: int
