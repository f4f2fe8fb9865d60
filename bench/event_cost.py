"""Measure what following events costs: CPU of a flow with sealing and fan-out, and without.

    python -m bench.event_cost [--flows 800] [--rounds 8]

A flow is a code, its verification and a check of the session, in this process. Events are followed after every 40
flows: a worker follows them twice a second, so this is the cost at 80 flows a second. The tenant has no webhook. A
round is a batch with and a batch without; the order alternates. Events of a batch without are sealed after it, and not
counted. CPU is that of this process, of PostgreSQL and of Valkey. Goal: a ratio of at most 1.05.
"""

import argparse
import asyncio
import statistics
import time

import uvloop

from auth1.audit.sealing.seals import seal_once
from auth1.services import Services
from auth1.webhooks.delivery.fan_out import fan_out
from bench.accounts import cpu_s
from bench.request_cpu import Api, settle, started_api
from bench.stage import Stage, set_up

FLOWS_BETWEEN = 40
MAX_RATIO = 1.05


async def follow(services: Services) -> None:
    """Run one round of each reader. It takes all events of a batch."""
    await seal_once(services)
    await fan_out(services)


async def flow(api: Api) -> None:
    await api.request(0)
    await api.verify(0)
    await api.me_cold(0)


async def batch(stage: Stage, api: Api, services: Services, flows: int, *, following: bool) -> float:
    """Return the CPU of one flow in milliseconds."""

    def used_s() -> float:
        return time.process_time() + cpu_s(stage.postgres.pid) + cpu_s(stage.redis.pid)

    before = used_s()
    for _ in range(flows // FLOWS_BETWEEN):
        await asyncio.gather(*(flow(api) for _ in range(FLOWS_BETWEEN)))
        await settle(services)
        if following:
            await follow(services)
    cpu_ms = (used_s() - before) / flows * 1000
    await follow(services)
    return cpu_ms


async def measure(stage: Stage, flows: int, rounds: int) -> dict[bool, list[float]]:
    """Return the CPU of a flow of each round, with and without following events."""
    found: dict[bool, list[float]] = {True: [], False: []}
    async with started_api(stage) as (api, services):
        await batch(stage, api, services, flows, following=True)  # warm
        for number in range(rounds):
            for following in (True, False) if number % 2 else (False, True):
                found[following].append(await batch(stage, api, services, flows, following=following))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.event_cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flows", type=int, default=800, help="of a batch")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    with set_up() as stage:
        found = uvloop.run(measure(stage, options.flows, options.rounds))
    for following, name in ((True, "with"), (False, "without")):
        ms = found[following]
        print(f"{name:8} {statistics.median(ms):.2f} ms of CPU a flow ({min(ms):.2f} to {max(ms):.2f})")
    ratios = [one / other for one, other in zip(found[True], found[False], strict=True)]
    print(f"ratio    {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}); goal {MAX_RATIO}")


if __name__ == "__main__":
    main()
