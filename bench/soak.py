"""Log in at a constant rate for a long time, and watch memory and latency.

    just soak [MINUTES] [--rate 40 | --flows 100000 --users 16] [--workers 1] [--json FILE] [--svg soak.svg]

Flows of `bench.load` in an open loop for some minutes, or so many flows in a closed loop. Thirty times or more, the
memory of the server's workers, the sizes of the database and of Redis' data, and the latencies since the last sample
are written. After 48,800 flows, the phone numbers repeat, so users return.

The last line compares the second half of the run with the first: a leak shows as memory that goes on growing, a slow
table as latency that does.
"""

import argparse
import asyncio
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import asyncpg
import msgspec
import uvloop

from bench import svg
from bench.accounts import cpu_s, pss_mib
from bench.load import Flow, Pool, open_loop
from bench.measure import percentiles
from bench.stage import Serving, Stage, set_up
from bench.wire import Wire

SAMPLES = 30
FLOWS_SAMPLE_S = 10.0


class Sample(msgspec.Struct, frozen=True):
    """One sample. Memory in MiB (PSS), latencies of flows in ms, CPU in ms per flow since the last sample."""

    seconds: float
    flows: int
    all_flows: int
    failed: int
    workers_mib: float
    redis_mib: float
    database_mib: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


class Plan(NamedTuple):
    """The number of flows: at a constant rate for a time, or `flows` by a number of users if it is not 0."""

    rate: float
    seconds: float
    flows: int
    users: int

    async def run(self, flow: Flow, pool: Pool) -> None:
        if not self.flows:
            await open_loop(flow, pool, "steady", self.rate, self.seconds)
            return
        left = iter(range(self.flows))

        async def user() -> None:
            for _ in left:  # shared: each user takes the next one
                with suppress(ConnectionError):
                    async with pool.connection() as (api, phone):
                        await flow.run(api, phone, perf_counter())

        await asyncio.gather(*(user() for _ in range(self.users)))

    @property
    def sample_s(self) -> float:
        return max(2.0, self.seconds / SAMPLES) if not self.flows else FLOWS_SAMPLE_S


async def soak(stage: Stage, server: Serving, plan: Plan, show: Callable[[str], None]) -> list[Sample]:
    """Run the load and sample it until its end."""
    pool, flow = Pool(server.port, stage.twilio.port), Flow(Wire(server.tenant()["api_key"]))
    database = await asyncpg.connect(stage.environment["DATABASE_URL"])
    roots = (server.pid, stage.postgres.pid, stage.redis.pid)
    idle_mib = pss_mib(server.workers)
    running = asyncio.create_task(plan.run(flow, pool))
    started, samples = perf_counter(), list[Sample]()
    used, all_flows = sum(map(cpu_s, roots)), 0
    show(f"worker before the first flow: {idle_mib:.1f} MiB")
    show(
        f"{'s':>7}{'flows':>7}{'all':>8}{'failed':>8}{'worker MiB':>12}{'database':>10}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>8}"
    )
    while not running.done():
        await asyncio.wait([running], timeout=plan.sample_s)
        flows, flow.flows = flow.flows, []
        if not flows:
            continue
        all_flows += len(flows)
        before, used = used, sum(map(cpu_s, roots))
        p50, p99 = percentiles([took for _, took, _ in flows])
        sample = Sample(
            seconds=perf_counter() - started,
            flows=len(flows),
            all_flows=all_flows,
            failed=sum(not passed for _, _, passed in flows),
            workers_mib=pss_mib(server.workers),
            redis_mib=pss_mib([stage.redis.pid]),
            database_mib=await database.fetchval("select pg_database_size(current_database())") / 2**20,
            p50_ms=p50,
            p99_ms=p99,
            cpu_ms=(used - before) * 1000 / len(flows),
        )
        samples.append(sample)
        show(
            f"{sample.seconds:7.0f}{sample.flows:7}{sample.all_flows:8}{sample.failed:8}{sample.workers_mib:12.1f}"
            f"{sample.database_mib:10.0f}{p50:9.1f}{p99:9.1f}{sample.cpu_ms:8.2f}"
        )
        for times in flow.times.values():
            times.clear()
    running.result()
    await database.close()
    pool.close()
    return samples


def summary(samples: Sequence[Sample]) -> str:
    """Compare the second half of a run with the first, by medians."""
    half = len(samples) // 2
    first, second = samples[:half], samples[half:]

    def change(read: Callable[[Sample], float]) -> str:
        before, after = (statistics.median(read(one) for one in part) for part in (first, second))
        return f"{before:.1f} -> {after:.1f}"

    failed, flows = sum(one.failed for one in samples), sum(one.flows for one in samples)
    return (
        f"{flows} flows, {failed} failed; medians of the halves: worker {change(lambda one: one.workers_mib)} MiB, "
        f"p50 {change(lambda one: one.p50_ms)} ms, p99 {change(lambda one: one.p99_ms)} ms, "
        f"CPU {change(lambda one: one.cpu_ms)} ms per flow"
    )


def draw(samples: Sequence[Sample], file: Path) -> None:
    """Plot memory and latency over time."""
    memory = {"worker": [one.workers_mib for one in samples], "Redis": [one.redis_mib for one in samples]}
    latency = {"p50": [one.p50_ms for one in samples], "p99": [one.p99_ms for one in samples]}
    panels = {"memory (PSS), MiB": memory, "latency of a flow, ms": latency}
    svg.write(file, [one.seconds for one in samples], panels)


def run() -> None:
    """Soak a server and print the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, nargs="?", default=60.0)
    parser.add_argument("--rate", type=float, default=40.0, help="flows per second")
    parser.add_argument("--flows", type=int, default=0, help="so many flows, as fast as the users can, for no set time")
    parser.add_argument("--users", type=int, default=16, help="people who log in at the same time, with --flows")
    parser.add_argument("--workers", type=int, default=1, help="WORKERS of the server")
    parser.add_argument("--json", type=Path, help="write the samples to this file")
    parser.add_argument("--svg", type=Path, help="plot the samples into this file")
    options = parser.parse_args()
    plan = Plan(options.rate, options.minutes * 60, options.flows, options.users)
    with set_up() as stage, stage.serve(WORKERS=str(options.workers), TIMEOUT_SCALE="10") as server:
        samples = uvloop.run(soak(stage, server, plan, lambda line: print(line, flush=True)))
    print(summary(samples))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(samples))
    if options.svg:
        draw(samples, options.svg)


if __name__ == "__main__":
    run()
