"""The delivery worker of a process: leases endpoints with something due, and works through their deliveries.

Any number of workers may run: an endpoint is leased by one of them. Endpoints do not wait for each other
(`call_slots`), and those that keep failing have leases of their own number.
"""

import asyncio
import random
from contextlib import suppress

from auth1 import metrics
from auth1.core.crypto import Keyring
from auth1.core.ids import new_id
from auth1.core.outbound.guard import Guard
from auth1.core.outbound.guarded import GuardedClient
from auth1.core.postgres import Postgres
from auth1.core.redis import Redis
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable
from auth1.services import Services
from auth1.webhooks.delivery import leases
from auth1.webhooks.delivery.call_slots import MAX_CALLS, MAX_ENDPOINTS, MAX_FAILING, MAX_HEALTHY, CallSlots
from auth1.webhooks.delivery.endpoint_queue import Context, EndpointQueue

LEASE_S = 30.0
CALL_S = 15.0  # of a whole call
BUSY_S = 0.2  # between two looks while endpoints have something due
IDLE_S = 1.0
UNAVAILABLE_S = 2.0
MAX_CONNECTIONS = 2  # to the database, at once
DRAIN_S = 5.0  # for calls in progress when the process stops; others are sent again
ABORT_S = 5.0  # to release what was not sent
MEASURE_EVERY_S = 30.0
MAX_COUNTED = 100_000  # pending deliveries of an endpoint


class DeliveryWorker:
    """Sends deliveries until it is stopped. `redis` has the traces of their requests."""

    def __init__(
        self,
        postgres: Postgres,
        keyring: Keyring,
        log: Log,
        guard: Guard,
        *,
        redis: Redis | None = None,
        lease_s: float = LEASE_S,
        call_s: float = CALL_S,
        drain_s: float = DRAIN_S,
    ) -> None:
        self._postgres = postgres
        self._log = log
        self._lease_s = lease_s
        self._drain_s = drain_s
        self._client = GuardedClient(guard, max_calls=MAX_CALLS)
        self._context = Context(
            postgres=postgres,
            redis=redis,
            keyring=keyring,
            log=log,
            client=self._client,
            slots=CallSlots(),
            database=asyncio.Semaphore(MAX_CONNECTIONS),
            lease_s=lease_s,
            call_s=call_s,
            must_yield=lambda: self._is_full,
        )
        self._queues: dict[asyncio.Task[None], EndpointQueue] = {}
        self._is_full = False  # the last look found as many endpoints as there was place for
        self._stopping = asyncio.Event()
        self._wakes = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._looking = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._wakes.set()

    async def stop(self) -> None:
        """Start no more calls, wait for those in progress, and release the rest."""
        self._stopping.set()
        if self._looking is not None:
            self.wake()
            await self._looking
        for queue in self._queues.values():
            queue.stop()
        if self._queues:
            await asyncio.wait(self._queues, timeout=self._drain_s)
        for queue in self._queues.values():
            queue.abort()
        if self._queues:
            await asyncio.wait(self._queues, timeout=ABORT_S)
        running = list(self._queues)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._client.close()

    async def run_once(self) -> int:
        """Lease endpoints with something due, and start their queues; return how many. Raises Unavailable."""
        free = MAX_ENDPOINTS - len(self._queues)
        failing = sum(queue.is_failing for queue in self._queues.values())
        healthy = len(self._queues) - failing
        if free < 1:
            self._is_full = True
            return 0
        lease = new_id("lse")
        found = await leases.lease_endpoints(
            self._postgres,
            lease,
            self._lease_s,
            max_rows=free,
            max_healthy=max(0, min(free, MAX_HEALTHY - healthy)),
            max_failing=max(0, MAX_FAILING - failing),
        )
        for leased in found:
            queue = EndpointQueue(self._context, leased, lease)
            task = asyncio.create_task(queue.run())
            self._queues[task] = queue
            task.add_done_callback(self._forget)
        self._is_full = len(self._queues) >= MAX_ENDPOINTS
        return len(found)

    async def join(self) -> None:
        """Wait until the endpoints that are leased now have nothing due."""
        await asyncio.gather(*self._queues)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._queues[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("background task failed", error=error)

    async def _run(self) -> None:
        pause_s = BUSY_S
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                # Workers of many instances should not run at the same time.
                async with asyncio.timeout(pause_s * random.uniform(0.8, 1.2)):
                    await self._wakes.wait()
            self._wakes.clear()
            if self._stopping.is_set():
                break
            try:
                pause_s = BUSY_S if await self.run_once() or self._queues else min(pause_s * 1.5, IDLE_S)
            except Unavailable:
                pause_s = UNAVAILABLE_S  # already logged
            except Exception as error:
                pause_s = UNAVAILABLE_S
                self._log.error("background task failed", error=error)


async def measure(app: Services) -> None:
    """Measure the backlog of all endpoints. Raises Unavailable."""
    backlog = await leases.measure_backlog(app.reads, MAX_COUNTED)
    metrics.WEBHOOK_BACKLOG["working"].set(backlog.healthy)
    metrics.WEBHOOK_BACKLOG["failing"].set(backlog.failing)
    metrics.WEBHOOK_OLDEST_PENDING.set(max(0.0, backlog.oldest_s))
