"""One call of an endpoint, and what its result means for the delivery and for the endpoint."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from auth1.core.outbound.guarded import Answer, GuardedClient
from auth1.core.standard_webhooks import sign
from auth1.core.telemetry import tracing
from auth1.core.telemetry.tracing import TraceContext
from auth1.webhooks.delivery.leases import CallResult, ClaimedDelivery, Verdict
from auth1.webhooks.delivery.schedule import OVERLOADED, pause_in, read_retry_after, retry_in

GONE = 410
BAD_STATUS = "bad_status"  # an answer other than 2xx
EVENT_PURGED = "event_purged"  # the event is older than the retention of events
NO_SECRET = "no_secret"  # noqa: S105  # JWT_SECRET was replaced without JWT_SECRET_PREVIOUS
_CONTENT_TYPE = "application/json"


class Call(NamedTuple):
    """A call to make; without `keys` none is sent."""

    url: str
    delivery: ClaimedDelivery
    body: bytes | None
    keys: Sequence[bytes]
    created_at: datetime | None  # of the event; null: a test
    trace: TraceContext | None = None  # of the request that caused the event


async def make_call(
    client: GuardedClient, call: Call, timeout_s: float, before_send: Callable[[], Awaitable[None]] | None = None
) -> CallResult:
    """Send a delivery once, after `before_send`, and return the result.

    It raises nothing but the cancellation of its task.
    """
    now = time.time()
    started_at = datetime.fromtimestamp(now, UTC)
    if call.body is None:
        return CallResult(call.delivery, "failed", 0.0, started_at, None, EVENT_PURGED, 0, None, is_counted=False)
    if not call.keys:
        return _judge(call, started_at, Answer(None, 0), NO_SECRET)
    headers = {"content-type": _CONTENT_TYPE, **sign(call.keys, call.delivery.event_id, int(now), call.body)}
    with tracing.resumed(call.trace):
        answer = await client.post(call.url, call.body, headers, timeout_s=timeout_s, before_send=before_send)
    return _judge(call, started_at, answer, None if answer.is_success else answer.error or BAD_STATUS)


def judge_endpoint(results: Sequence[CallResult], failures: int) -> Verdict:
    """Return the state of an endpoint after results, in the order of their ends. `failures` in a row came before."""
    counted = [result for result in results if result.is_counted]
    successes = [index for index, result in enumerate(counted) if result.error is None]
    failed = counted[successes[-1] + 1 :] if successes else counted
    in_a_row = len(failed) + (0 if successes else failures) if failed else 0
    overloaded = [result.retry_after_s for result in counted if result.status in OVERLOADED]
    if overloaded:  # also where another call succeeded meanwhile
        pause_s = pause_in(max(in_a_row, 1), is_overloaded=True, retry_after_s=max(overloaded))
    else:
        pause_s = pause_in(in_a_row, is_overloaded=False, retry_after_s=0.0)
    return Verdict(
        has_success=bool(successes),
        failures=len(failed),
        first_failure=min((result.started_at for result in failed), default=None),
        pause_s=pause_s,
        is_gone=any(result.status == GONE for result in counted),
    )


def _judge(call: Call, started_at: datetime, answer: Answer, error: str | None) -> CallResult:
    retry_after_s = read_retry_after(answer.retry_after, datetime.now(UTC)) if error is not None else 0.0
    delay_s = retry_in(call.delivery.attempt, retry_after_s) if error is not None else None
    return CallResult(
        delivery=call.delivery,
        state="delivered" if error is None else "failed" if delay_s is None else "pending",
        retry_s=delay_s or 0.0,
        started_at=started_at,
        status=answer.status,
        error=error,
        ms=answer.ms,
        answer=_as_text(answer.body) if answer.status is not None else None,
        retry_after_s=retry_after_s,
    )


def _as_text(body: bytes) -> str:
    return body.decode("utf-8", "replace").replace("\0", "\ufffd")
