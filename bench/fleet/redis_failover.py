"""Log in through nginx and two instances while Redis fails over: behind Sentinel, and in a cluster.

    just redis-failover [--rate 20] [--only sentinel | --only cluster] [--json FILE]

    sentinel: kill the primary      SIGKILL; three sentinels promote the replica
    sentinel: planned failover      SENTINEL FAILOVER
    cluster: kill a primary         SIGKILL; the cluster promotes its replica
    cluster: move a slot            key by key to another primary, as redis-cli does

The counters of the tenant that logs in are on the primary that is killed, and in the slot that is moved. The client
retries nothing. `budgets refilled` counts rate limits with more requests left than they should have, of 60 on the
affected primary. Five requests of each are used before the fault, and replicated. `counted locally` are decisions that
the instances made without Redis.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import uvloop

from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Redis, Timeouts, open_redis
from auth1.core.redis.address import DEFAULT_TIMEOUTS
from auth1.core.redis.slots import SLOTS, key_slot
from auth1.core.telemetry.log import Log
from auth1.dev.processes import HOST, free_port
from bench.fleet.instances import TIMEOUT_SCALE, Instances
from bench.fleet.logins import Logins, listed
from bench.measure import percentiles
from bench.nginx import nginx
from bench.stage import Stage, set_up
from tests.support.process import until
from tests.support.redis_fleet import (
    SERVICE,
    ClusterFleet,
    SentinelFleet,
    is_primary,
    is_replicated,
    migrate_slot,
    send,
)

TIMEOUTS = Timeouts(*(seconds * int(TIMEOUT_SCALE) for seconds in DEFAULT_TIMEOUTS))  # those of the instances
STEADY_S = 3.0
PATIENCE_S = 60.0
BUDGETS = 60
BUDGET = 1000
ACQUIRED = 5
HOUR_MS = 3_600_000
LOCALLY = "auth1_rate_limit_fallbacks_total"


class Outcome(msgspec.Struct):
    """A fault. Latencies of successful requests in ms."""

    fault: str
    seconds: float
    logins: int
    requests: int
    failed: dict[str, int]
    budgets_refilled: int
    counted_locally: int
    p50_ms: float
    p99_ms: float


class Budgets:
    """Rate limits of one slot or server, and how much of them is left."""

    def __init__(self, redis: Redis, tags: Sequence[str]) -> None:
        self._limiter = RateLimiter(redis)
        self._limits = [
            RateLimit("any", f"ratelimit:{{{tag}}}:budget{n}", BUDGET, HOUR_MS) for n, tag in enumerate(tags)
        ]
        self._left = dict.fromkeys((limit.key for limit in self._limits), BUDGET)

    async def acquire(self, count: int) -> int:
        """Acquire so many requests of each; return how many rate limits had more requests left than they should."""
        refilled = set()
        for _ in range(count):
            for limit in self._limits:
                [remaining] = (await self._limiter.acquire(limit)).remaining
                self._left[limit.key] -= 1
                if remaining.remaining > self._left[limit.key]:
                    refilled.add(limit.key)
        return len(refilled)


Fault = Callable[[], Awaitable[None]]


class Experiment:
    """Two instances behind nginx on a Redis URL, and their logins."""

    def __init__(self, stage: Stage, instances: Instances, proxy_port: int, redis: Redis, rate: float) -> None:
        self._stage = stage
        self._instances = instances
        self._proxy_port = proxy_port
        self._redis = redis
        self._rate = rate

    async def tenant(self, is_suitable: Callable[[int], bool]) -> tuple[str, str]:
        """Create a tenant whose slot is suitable; return its id and key."""
        for _ in range(100):
            made = await asyncio.to_thread(self._instances.first.tenant)
            if is_suitable(key_slot(made["tenant_id"])):
                return made["tenant_id"], made["api_key"]
        raise RuntimeError("no tenant has a suitable slot")

    async def run(self, name: str, key: str, tags: Sequence[str], replicated: Fault, fault: Fault) -> Outcome:
        """Run a fault under logins. `replicated` waits until the counts so far are on a replica."""
        budgets = Budgets(self._redis, tags)
        load = Logins(self._proxy_port, self._stage.twilio.port, key, self._rate)
        locally = await self._locally()
        started = perf_counter()
        async with load:
            await asyncio.sleep(STEADY_S)
            refilled = await budgets.acquire(ACQUIRED)
            await replicated()
            await fault()
            await until(lambda: self._redis.connected, PATIENCE_S)
            await asyncio.sleep(STEADY_S)
            refilled += await budgets.acquire(1)
        p50, p99 = percentiles(load.times_s)
        return Outcome(
            fault=name,
            seconds=perf_counter() - started,
            logins=load.begun,
            requests=load.requests,
            failed=dict(load.failed),
            budgets_refilled=refilled,
            counted_locally=await self._locally() - locally,
            p50_ms=p50,
            p99_ms=p99,
        )

    async def _locally(self) -> int:
        counts = [await asyncio.to_thread(self._instances.metric, port, LOCALLY) for port in self._instances.ports]
        return round(sum(counts))


async def behind_sentinel(experiment: Experiment, fleet: SentinelFleet) -> list[Outcome]:
    """Kill the primary, then fail over as planned."""
    _, key = await experiment.tenant(lambda _: True)
    tags = [f"tag{number}" for number in range(BUDGETS)]

    async def replicated() -> None:
        await until(lambda: is_replicated(fleet.primary), PATIENCE_S)

    async def kill() -> None:
        await asyncio.to_thread(fleet.primary.kill)
        await until(lambda: is_primary(fleet.replica), PATIENCE_S)

    async def back_replicated() -> None:
        await asyncio.to_thread(fleet.primary.start)
        await send(fleet.primary, "REPLICAOF", HOST, fleet.replica.port)  # Sentinel would wait 10 s
        assert await fleet.roles() == (fleet.replica, fleet.primary)

    async def plan() -> None:
        assert await send(fleet.sentinels[0], "SENTINEL", "FAILOVER", SERVICE) == b"OK"
        await until(lambda: is_primary(fleet.primary), PATIENCE_S)

    outcomes = [await experiment.run("Sentinel: kill the primary", key, tags, replicated, kill)]
    print(line(outcomes[-1]), flush=True)
    outcomes.append(
        await experiment.run("Sentinel: planned failover", key, [f"p{tag}" for tag in tags], back_replicated, plan)
    )
    print(line(outcomes[-1]), flush=True)
    return outcomes


async def in_cluster(experiment: Experiment, fleet: ClusterFleet) -> list[Outcome]:
    """Move a slot between two primaries, then kill the one that has a replica."""
    replica, last = fleet.replica, fleet.primaries[-1]
    assert replica is not None
    first_of_last = SLOTS * (len(fleet.primaries) - 1) // len(fleet.primaries)

    async def nothing() -> None:
        """Nothing is lost when a slot moves."""

    tenant, key = await experiment.tenant(lambda slot: slot < SLOTS // len(fleet.primaries))

    async def move() -> None:
        await migrate_slot(key_slot(tenant), fleet.primaries[0], fleet.primaries[1], nothing)

    outcomes = [await experiment.run("Cluster: move a slot", key, [tenant] * BUDGETS, nothing, move)]
    print(line(outcomes[-1]), flush=True)
    _, key = await experiment.tenant(lambda slot: slot >= first_of_last)
    tags = [tag for number in range(10_000) if key_slot(tag := f"tag{number}") >= first_of_last][:BUDGETS]

    async def replicated() -> None:
        await until(lambda: is_replicated(last), PATIENCE_S)

    async def kill() -> None:
        await asyncio.to_thread(last.kill)
        await until(lambda: is_primary(replica), PATIENCE_S)

    outcomes.append(await experiment.run("Cluster: kill a primary", key, tags, replicated, kill))
    print(line(outcomes[-1]), flush=True)
    return outcomes


Faults = Callable[[Experiment, Any], Awaitable[list[Outcome]]]
FORMS: dict[str, tuple[type[SentinelFleet] | type[ClusterFleet], Faults]] = {
    "sentinel": (SentinelFleet, behind_sentinel),
    "cluster": (ClusterFleet, in_cluster),
}


async def measure(stage: Stage, form: str, rate: float) -> list[Outcome]:
    """Run the faults of a form of Redis."""
    make, faults = FORMS[form]
    ports = (free_port(), free_port())
    async with make(stage.directory / form) as fleet:
        url = fleet.url
        redis = open_redis(url, Log("error"), timeouts=TIMEOUTS)
        assert await redis.start(), redis.failure
        instances = Instances(stage, ports)
        try:
            for port in ports:
                await instances.start(port, REDIS_URL=url)
            with nginx(stage.directory / f"nginx-{form}", ports) as proxy:
                return await faults(Experiment(stage, instances, proxy.port, redis, rate), fleet)
        finally:
            await instances.close()
            await redis.stop()


def line(one: Outcome) -> str:
    """Format a row of the table."""
    failed = listed(Counter(one.failed))
    counts = f"{failed} | {one.budgets_refilled} | {one.counted_locally}"
    return f"| {one.fault} | {one.logins} in {one.seconds:.0f} s | {counts} | {one.p50_ms:.1f} | {one.p99_ms:.1f} |"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=20.0, help="logins that begin each second (default: 20)")
    parser.add_argument("--only", choices=list(FORMS), help="one form of Redis (default: both)")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with set_up() as stage:
        print(
            "| fault | logins | failed | budgets refilled | counted locally | p50 ms | p99 ms |\n"
            "|---|---|---|---|---|---|---|",
            flush=True,
        )
        for form in [options.only] if options.only else FORMS:
            outcomes += uvloop.run(measure(stage, form, options.rate))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(outcomes))
    if any(one.failed or one.budgets_refilled for one in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
