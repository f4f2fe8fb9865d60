"""The deliveries of one leased endpoint: claim, call, record, until nothing is due.

No connection and no lock is held during a call. Results of calls that end together are recorded together. After a
crash, the claims of this worker lapse, and another worker sends these deliveries again.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from auth1 import metrics
from auth1.core.crypto import Keyring
from auth1.core.outbound.guarded import GuardedClient
from auth1.core.postgres import Postgres
from auth1.core.redis import Redis
from auth1.core.telemetry.log import Log
from auth1.core.telemetry.tracing import TraceContext
from auth1.endpoint_secrets import decrypt_secret
from auth1.errors import Unavailable
from auth1.events.log import log_events
from auth1.webhooks.delivery import leases
from auth1.webhooks.delivery.attempts import Call, judge_endpoint, make_call
from auth1.webhooks.delivery.call_slots import CallSlots
from auth1.webhooks.delivery.leases import CallResult, ClaimDeliveries, ClaimedDelivery, ClaimedRow, Leased
from auth1.webhooks.delivery.schedule import FAILING_FROM
from auth1.webhooks.delivery.traces import find_traces
from auth1.webhooks.delivery.turns import Turn

MAX_AT_ONCE = 10  # calls of an endpoint
FIRST_WINDOW = 2  # calls at once of an endpoint that was just leased; each success allows one more
MAX_AGAIN = 3  # of the calls at once, later attempts while first ones wait
CHECK_EVERY_S = 0.5  # for deliveries that became due while a call is in progress
LINGER_S = 0.01  # results that follow within it are recorded together
RETRY_DATABASE_S = 1.0
SLICE_S = 3.0  # after which an endpoint makes place, if others wait


class Context(NamedTuple):
    """The objects that the endpoints of a worker share. `database` limits the connections that they use at once."""

    postgres: Postgres
    redis: Redis | None
    keyring: Keyring
    log: Log
    client: GuardedClient
    slots: CallSlots
    database: asyncio.Semaphore
    lease_s: float
    call_s: float
    must_yield: Callable[[], bool]  # whether other endpoints wait for a lease


class EndpointQueue:
    """Works through the deliveries of an endpoint."""

    def __init__(self, context: Context, leased: Leased, lease: str) -> None:
        self._context = context
        self._leased = leased
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._calls: dict[asyncio.Task[CallResult], Call] = {}
        self._turns: list[Turn] = []  # of first attempts that have not left
        self._results: list[CallResult] = []  # not recorded yet
        self._unsent: list[ClaimedDelivery] = []  # claimed, but not called to the end
        self._url = ""
        self._failures = leased.failures
        self._window = FIRST_WINDOW
        self._shared = 0  # slots
        self._prefers_again = False
        self._is_due = False
        self._stopping = False
        self._started = self._loop.time()
        self._renewed = self._started

    @property
    def is_failing(self) -> bool:
        """Return whether the endpoint keeps failing."""
        return self._failures >= FAILING_FROM

    def stop(self) -> None:
        """Start no more calls."""
        self._stopping = True

    def abort(self) -> None:
        """Cancel the calls in progress: another worker makes them again."""
        self._stopping = True
        for task in self._calls:
            task.cancel()

    async def run(self) -> None:
        """Send the deliveries that are due, then end the lease."""
        try:
            while await self._step():
                pass
        except Unavailable:
            pass  # already logged; the lease lapses
        finally:
            self._context.slots.release(self._leased.tenant_id, self._shared)
            await self._end()

    async def _step(self) -> bool:
        """Record, claim and start calls, then wait for one; return whether to continue."""
        await self._record()
        await self._renew()
        if not self._stopping and not self._must_yield_lease():
            await self._start_calls()
        if not self._calls:
            return False
        done, _ = await asyncio.wait(self._calls, timeout=CHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        if done:
            if len(self._calls) > len(done):
                await asyncio.sleep(LINGER_S)
            self._collect()
        return True

    def _must_yield_lease(self) -> bool:
        """Return whether the endpoint had its time and others wait. Something may still be due."""
        is_over = self._loop.time() - self._started > SLICE_S and self._context.must_yield()
        self._is_due = self._is_due or is_over
        return is_over

    async def _start_calls(self) -> None:
        """Claim as many deliveries as there are free slots, and start their calls."""
        at_once = 1 if self.is_failing else self._window
        if len(self._calls) >= at_once:
            return
        shared = at_once - 1
        if shared > self._shared:
            self._shared += self._context.slots.acquire(self._leased.tenant_id, shared - self._shared)
        elif shared < self._shared:
            surplus = self._shared - max(shared, len(self._calls) - 1)
            self._context.slots.release(self._leased.tenant_id, surplus)
            self._shared -= surplus
        free = min(at_once, 1 + self._shared) - len(self._calls)
        if free < 1:
            return
        max_again = min(MAX_AGAIN, free - 1) if free > 1 else int(self._prefers_again)
        self._prefers_again = not self._prefers_again
        claim = ClaimDeliveries(
            self._leased.tenant_id,
            self._leased.webhook_id,
            self._lease,
            max(self._context.lease_s, self._context.call_s * 2),
            free,
            max_again,
        )
        async with self._context.database:
            rows = await leases.claim_deliveries(self._context.postgres, claim)
        request_ids = {row.request_id for row in rows if row.request_id is not None}
        traces = await find_traces(self._context.redis, self._leased.tenant_id, request_ids)
        for row in rows:
            if row.event_id is None or row.claimed_until is None:
                continue
            delivery = ClaimedDelivery(row.event_id, row.claimed_until, row.attempts - row.attempts_before + 1)
            if self._stopping:
                self._unsent.append(delivery)
            else:
                self._start(row, delivery, traces.get(row.request_id or ""))

    def _start(self, row: ClaimedRow, delivery: ClaimedDelivery, trace: TraceContext | None) -> None:
        self._url = row.url
        keys = self._open(row.secret), self._open(row.previous_secret)
        call = Call(
            row.url,
            delivery,
            row.encode(),
            # A key that is lost must not leave a message with the signature of the other one alone.
            [] if keys[0] is None else [key for key in keys if key is not None],
            row.created_at,
            trace,
        )
        # Only first attempts are sent in order: later ones do not delay others and do not wait.
        turn = self._next_turn() if row.attempts == 0 else None
        before_send = None if turn is None else turn.wait
        task = asyncio.create_task(make_call(self._context.client, call, self._context.call_s, before_send))
        if turn is not None:
            task.add_done_callback(lambda _: turn.end())
        self._calls[task] = call
        metrics.WEBHOOK_CALLS_IN_FLIGHT.inc()

    def _next_turn(self) -> Turn:
        self._turns = [turn for turn in self._turns if not turn.has_ended]
        turn = Turn(self._turns)
        self._turns.append(turn)
        return turn

    def _open(self, encrypted: bytes | None) -> bytes | None:
        if encrypted is None:
            return None
        return decrypt_secret(self._context.keyring, self._leased.tenant_id, self._leased.webhook_id, encrypted)

    def _collect(self) -> None:
        """Collect the results of the calls that have ended, in their order."""
        for task in [task for task in self._calls if task.done()]:
            call = self._calls.pop(task)
            metrics.WEBHOOK_CALLS_IN_FLIGHT.dec()
            if task.cancelled():
                self._unsent.append(call.delivery)
                continue
            result = task.result()
            self._results.append(result)
            self._window = (
                min(self._window + 1, MAX_AT_ONCE) if result.error is None else max(self._window // 2, FIRST_WINDOW)
            )
            _measure(call, result)

    async def _record(self) -> None:
        """Record results, and try again while the database is unavailable and the lease has not lapsed."""
        while self._results:
            results = list(self._results)
            verdict = judge_endpoint(results, self._failures)
            try:
                async with self._context.database:
                    failures, events = await leases.record_results(
                        self._context.postgres, self._leased, self._url, results, verdict
                    )
            except Unavailable:
                if self._stopping or self._loop.time() - self._renewed > self._context.lease_s:
                    raise
                await asyncio.sleep(RETRY_DATABASE_S)
                continue
            del self._results[: len(results)]
            self._failures = failures if failures is not None else 0
            log_events(self._context.log, events)
            for event in events:
                metrics.WEBHOOKS_DISABLED[event.data["reason"]].inc()

    async def _renew(self) -> None:
        """Extend the lease in its second third. A lease that was lost ends the claims, not the calls in progress."""
        if self._loop.time() - self._renewed < self._context.lease_s / 3:
            return
        async with self._context.database:
            is_ours = await leases.renew_lease(self._context.postgres, self._leased, self._lease, self._context.lease_s)
        self._renewed = self._loop.time()
        self._stopping = self._stopping or not is_ours

    async def _end(self) -> None:
        """Release the claimed deliveries, and end the lease."""
        for task in self._calls:
            task.cancel()
        self._unsent += [call.delivery for call in self._calls.values()]
        metrics.WEBHOOK_CALLS_IN_FLIGHT.dec(len(self._calls))
        self._calls.clear()
        try:
            if self._unsent:
                await leases.release_claims(self._context.postgres, self._leased, self._unsent)
            is_due = self._is_due or self._stopping or bool(self._unsent)
            await leases.release_endpoint(self._context.postgres, self._leased, self._lease, is_due=is_due)
        except Unavailable:
            pass  # already logged; claims and lease lapse


def _measure(call: Call, result: CallResult) -> None:
    outcome = {"delivered": "delivered", "pending": "retried", "failed": "failed"}[result.state]
    metrics.WEBHOOK_ATTEMPTS[outcome].inc()
    metrics.WEBHOOK_CALL_DURATION.observe(result.ms / 1000)
    if result.state == "delivered" and call.created_at is not None:
        metrics.WEBHOOK_DELIVERY_DELAY.observe((datetime.now(UTC) - call.created_at).total_seconds())
