"""The queue of deliveries in PostgreSQL: leases of endpoints, claims of deliveries, results of calls."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import NoParams, Postgres, Queries
from auth1.events.log import RecordedEvent, read_events
from auth1.webhooks.delivery.body import Content
from auth1.webhooks.delivery.schedule import DISABLED_AFTER_S, DISABLED_FROM, FAILING_FROM
from auth1.webhooks.schemas import State

_QUERIES = Queries("delivery_queue")


class _Lease(NamedTuple):
    lease: str
    lease_s: float
    failing_from: int
    max_rows: int
    max_healthy: int
    max_failing: int


class Leased(NamedTuple):
    """An endpoint that this worker has leased."""

    tenant_id: str
    webhook_id: str
    failures: int


class _Renew(NamedTuple):
    tenant_id: str
    webhook_id: str
    lease: str
    lease_s: float


class _Failures(NamedTuple):
    failures: int


class ClaimDeliveries(NamedTuple):
    """A request for deliveries. `max_again` of `max_rows` are for later attempts while first ones wait."""

    tenant_id: str
    webhook_id: str
    lease: str
    claim_s: float
    max_rows: int
    max_again: int


class ClaimedRow(Content, frozen=True):
    """The endpoint with a claimed delivery, or without one."""

    url: str
    failures: int
    secret: bytes
    previous_secret: bytes | None
    attempts: int
    attempts_before: int
    claimed_until: datetime | None


class ClaimedDelivery(NamedTuple):
    """A claimed delivery. `until` identifies the claim; `attempt` counts from 1 since it was made or replayed."""

    event_id: str
    until: datetime
    attempt: int


class CallResult(NamedTuple):
    """The result of a call: the next state of the delivery, and what the caller of the API sees."""

    delivery: ClaimedDelivery
    state: State
    retry_s: float  # until the next attempt, where the state is pending
    started_at: datetime
    status: int | None
    error: str | None
    ms: int
    answer: str | None
    retry_after_s: float = 0.0
    is_counted: bool = True  # false: the endpoint was not called


class Verdict(NamedTuple):
    """The state of an endpoint after results: `failures` since the last success, the first of these, and a pause."""

    has_success: bool
    failures: int
    first_failure: datetime | None
    pause_s: float
    is_gone: bool


class _Record(NamedTuple):
    tenant_id: str
    webhook_id: str
    url: str
    event_ids: Sequence[str]
    claims: Sequence[datetime]
    attempts: Sequence[int]
    states: Sequence[str]
    retry_s: Sequence[float]
    started_at: Sequence[datetime]
    statuses: Sequence[int | None]
    errors: Sequence[str | None]
    ms: Sequence[int]
    answers: Sequence[str | None]
    has_success: bool
    failures: int
    first_failure: datetime | None
    pause_s: float
    is_gone: bool
    failing_attempts: int
    failing_s: float
    disabled_event_id: str


class _Judged(NamedTuple):
    failures: int
    events: str | None


class _ReleaseClaims(NamedTuple):
    tenant_id: str
    webhook_id: str
    event_ids: Sequence[str]
    claims: Sequence[datetime]


class _Release(NamedTuple):
    tenant_id: str
    webhook_id: str
    lease: str
    is_due: bool


class _Measure(NamedTuple):
    failing_from: int
    max_rows: int


class Backlog(NamedTuple):
    """The pending deliveries by the state of their endpoint, and how long the oldest is overdue."""

    healthy: int
    failing: int
    oldest_s: float


_LEASE = _QUERIES.statement("lease_endpoints", _Lease, Leased)
_RENEW = _QUERIES.statement("renew_lease", _Renew, _Failures)
_CLAIM = _QUERIES.statement("claim_deliveries", ClaimDeliveries, ClaimedRow)
_RECORD = _QUERIES.statement("record_attempts", _Record, _Judged)
_RELEASE_CLAIMS = _QUERIES.statement("release_claims", _ReleaseClaims, NoParams)
_RELEASE = _QUERIES.statement("release_endpoint", _Release, NoParams)
_MEASURE = _QUERIES.statement("measure_deliveries", _Measure, Backlog)


async def lease_endpoints(
    postgres: Postgres, lease: str, lease_s: float, *, max_rows: int, max_healthy: int, max_failing: int
) -> list[Leased]:
    """Lease up to `max_rows` endpoints with something due, so many of each kind. Raises Unavailable."""
    return await postgres.rows(_LEASE, _Lease(lease, lease_s, FAILING_FROM, max_rows, max_healthy, max_failing))


async def renew_lease(postgres: Postgres, leased: Leased, lease: str, lease_s: float) -> bool:
    """Extend a lease; False once it is another worker's. Raises Unavailable."""
    wanted = _Renew(leased.tenant_id, leased.webhook_id, lease, lease_s)
    return await postgres.row(_RENEW, wanted) is not None


async def claim_deliveries(postgres: Postgres, claim: ClaimDeliveries) -> list[ClaimedRow]:
    """Claim deliveries that are due. No row: the endpoint gets no calls now. Raises Unavailable."""
    return await postgres.rows(_CLAIM, claim)


async def record_results(
    postgres: Postgres, leased: Leased, url: str, results: Sequence[CallResult], verdict: Verdict
) -> tuple[int | None, list[RecordedEvent]]:
    """Record calls; return the failures in a row, None once the endpoint has changed, and events.

    Raises Unavailable.
    """
    row = await postgres.row(
        _RECORD,
        _Record(
            leased.tenant_id,
            leased.webhook_id,
            url,
            [result.delivery.event_id for result in results],
            [result.delivery.until for result in results],
            [result.delivery.attempt for result in results],
            [result.state for result in results],
            [result.retry_s for result in results],
            [result.started_at for result in results],
            [result.status for result in results],
            [result.error for result in results],
            [result.ms for result in results],
            [result.answer for result in results],
            *verdict,
            DISABLED_FROM,
            DISABLED_AFTER_S,
            new_id("evt"),
        ),
    )
    return (None, []) if row is None else (row.failures, read_events(row.events))


async def release_claims(postgres: Postgres, leased: Leased, unsent: Sequence[ClaimedDelivery]) -> None:
    """Release deliveries whose calls were cancelled. Raises Unavailable."""
    event_ids, claims = [one.event_id for one in unsent], [one.until for one in unsent]
    await postgres.row(_RELEASE_CLAIMS, _ReleaseClaims(leased.tenant_id, leased.webhook_id, event_ids, claims))


async def release_endpoint(postgres: Postgres, leased: Leased, lease: str, *, is_due: bool) -> None:
    """End a lease. `is_due`: something is due now. Raises Unavailable."""
    await postgres.row(_RELEASE, _Release(leased.tenant_id, leased.webhook_id, lease, is_due))


async def measure_backlog(postgres: Postgres, max_rows: int) -> Backlog:
    """Count pending deliveries, up to a bound for each endpoint. Raises Unavailable."""
    row = await postgres.row(_MEASURE, _Measure(FAILING_FROM, max_rows))
    assert row is not None, "an aggregate always returns a row"
    return row
