"""Load two instances behind nginx, on PgBouncer and a Redis Cluster, and compute what a fleet needs.

    just fleet [--seconds 40] [--users 30] [--pace 2] [--rate 20] [--svg FILE] [--json FILE]

First the cost: ten idle seconds, logins at a constant rate for `--seconds`, then refreshes of their sessions. The CPU
of each engine is from /proc, the WAL from PostgreSQL; what the engines use without requests is subtracted. Then locust
in distributed mode (a master and two workers) with three shapes of `--seconds` each: steady, morning and launch
(`bench/shapes.py`). `--users` is the highest number of users, each with `--pace` requests a second.

The last table multiplies the measured cost by the assumptions in `plan.py`. It takes some four minutes.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import asyncpg
import msgspec
import uvloop

from auth1.dev.processes import free_port
from bench import svg
from bench.accounts import cpu_s
from bench.fleet import plan
from bench.fleet.distributed import Run, run_locust
from bench.fleet.instances import Instances
from bench.fleet.logins import Logins
from bench.nginx import nginx
from bench.stage import DATABASE, Stage, set_up
from tests.support.pgbouncer import PgBouncer
from tests.support.redis_fleet import ClusterFleet

SHAPES = ("steady", "morning", "launch")
WARM_UP_S = 5.0
IDLE_S = 10
MAX_REFRESHES = 300  # one address may refresh 600 times a minute
SETTLE_S = 2.0  # messages are recorded as sent
CONNECTIONS = 20  # of PgBouncer to PostgreSQL


class Cost(msgspec.Struct):
    """The cost of one operation: CPU in ms by engine, and bytes of WAL, beyond those of an idle second."""

    operation: str
    count: int
    cpu_ms: dict[str, float]
    wal_bytes: float
    failed: dict[str, int]


class Report(msgspec.Struct):
    """The costs, and the run of each shape."""

    costs: list[Cost]
    runs: list[Run]


class Meter:
    """Measures the engines around a load."""

    def __init__(self, stage: Stage, processes: dict[str, list[int]]) -> None:
        self._stage = stage
        self._processes = processes
        self._idle_ms: dict[str, float] = dict.fromkeys(processes, 0.0)  # in a second
        self._idle_wal = 0.0

    async def measure_idle(self) -> Cost:
        """Measure what a second without requests costs."""
        count = IDLE_S
        cost = await self._measure("idle second", lambda: asyncio.sleep(IDLE_S, count))
        self._idle_ms, self._idle_wal = cost.cpu_ms, cost.wal_bytes
        return cost

    async def measure(self, operation: str, load: Logins, work: Callable[[], Awaitable[int]]) -> Cost:
        """Run `work`, which returns how many operations it did."""

        async def settled() -> int:
            count = await work()
            await asyncio.sleep(SETTLE_S)
            return count

        cost = await self._measure(operation, settled)
        cost.failed = dict(load.failed)
        return cost

    async def _measure(self, operation: str, work: Callable[[], Awaitable[int]]) -> Cost:
        before, wal, started = self._cpu(), await self._wal(), perf_counter()
        count = await work()
        elapsed_s = perf_counter() - started
        used = {
            name: ((cpu - before[name]) * 1000 - self._idle_ms[name] * elapsed_s) / count
            for name, cpu in self._cpu().items()
        }
        return Cost(operation, count, used, (await self._wal() - wal - self._idle_wal * elapsed_s) / count, {})

    def _cpu(self) -> dict[str, float]:
        return {name: sum(map(cpu_s, pids)) for name, pids in self._processes.items()}

    async def _wal(self) -> int:
        connection = await asyncpg.connect(self._stage.postgres.url(DATABASE))
        try:
            position: int = await connection.fetchval("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
            return int(position)
        finally:
            await connection.close()


async def costs(meter: Meter, load: Logins, seconds: float, rate: float) -> list[Cost]:
    """Measure logins, and refreshes of their sessions."""

    async def log_in() -> int:
        first = len(load.acknowledged)
        async with load:
            await asyncio.sleep(seconds)
        return len(load.acknowledged) - first

    async def refresh() -> int:
        started, tasks = perf_counter(), []
        for number, login in enumerate(load.acknowledged[:MAX_REFRESHES]):
            await asyncio.sleep(max(0.0, started + number / (2 * rate) - perf_counter()))
            tasks.append(asyncio.create_task(load.count(load.refresh(login.session))))
        await asyncio.gather(*tasks)
        return len(tasks)

    async with load:  # connections, caches, statements
        await asyncio.sleep(WARM_UP_S)
    load.acknowledged.clear()
    idle = await meter.measure_idle()
    return [idle, await meter.measure("login", load, log_in), await meter.measure("refresh", load, refresh)]


async def measure(stage: Stage, options: argparse.Namespace) -> Report:
    """Start the engines, measure the costs, and run the shapes."""
    ports = (free_port(), free_port())
    instances = Instances(stage, ports)
    with PgBouncer(stage.directory / "pgbouncer", stage.postgres, connections=CONNECTIONS) as bouncer:
        async with ClusterFleet(stage.directory / "cluster") as fleet:
            variables = bouncer.routed({"DATABASE_URL": stage.postgres.url(DATABASE)}) | {"REDIS_URL": fleet.url}
            try:
                for port in ports:
                    await instances.start(port, **variables)
                with nginx(stage.directory / "nginx", ports) as proxy:
                    assert fleet.replica is not None
                    redis = [server.pid for server in (*fleet.primaries, fleet.replica)]
                    engines = {"nginx": [proxy.pid], "Auth1": instances.pids, "PgBouncer": [bouncer.pid]}
                    engines |= {"PostgreSQL": [stage.postgres.pid], "Redis": redis}
                    tenant = await asyncio.to_thread(instances.first.tenant)
                    load = Logins(proxy.port, stage.twilio.port, tenant["api_key"], options.rate)
                    found = await costs(Meter(stage, engines), load, options.seconds, options.rate)
                    print(cost_table(found), flush=True)
                    variables = {
                        "AUTH1_KEY": tenant["api_key"],
                        "AUTH1_SECRET": tenant["secret_key"],
                        "AUTH1_CODES": f"http://127.0.0.1:{stage.twilio.port}",
                        "AUTH1_USERS": str(options.users),
                        "AUTH1_PACE": str(options.pace),
                        "AUTH1_SECONDS": str(options.seconds),
                    }
                    runs = []
                    for shape in SHAPES:
                        runs.append(await run_locust(shape, proxy.port, stage.directory, variables))
                        print(run_line(runs[-1]), flush=True)
                    return Report(found, runs)
            finally:
                await instances.close()


def cost_table(found: list[Cost]) -> str:
    """Format the costs, and the head of the next table."""
    names = list(found[0].cpu_ms)
    lines = [f"| operation | count | failed | {', ms | '.join(names)}, ms | all, ms | WAL, bytes |"]
    lines.append("|---" * (len(names) + 5) + "|")
    for cost in found:
        cells = " | ".join(f"{cost.cpu_ms[name]:.2f}" for name in names)
        total = sum(cost.cpu_ms.values())
        failed = sum(cost.failed.values())
        lines.append(f"| {cost.operation} | {cost.count} | {failed} | {cells} | {total:.2f} | {cost.wal_bytes:.0f} |")
    lines += ["", "| shape | requests | failed | requests/s, highest | p50 ms | p99 ms |", "|---|---|---|---|---|---|"]
    return "\n".join(lines)


def run_line(run: Run) -> str:
    highest = max(run.requests_per_s)
    return f"| {run.shape} | {run.requests} | {run.failures} | {highest:.0f} | {run.p50_ms:.0f} | {run.p99_ms:.0f} |"


def draw(runs: list[Run], file: Path) -> None:
    """Draw the shapes, one after the other."""
    seconds: list[float] = []
    panels: dict[str, dict[str, list[float]]] = {
        "users": {"users": []},
        "requests per second": {"all": [], "failed": []},
        "latency of a request, ms": {"p50": [], "p99": []},
    }
    for run in runs:
        start = seconds[-1] + 1 if seconds else 0.0
        seconds += [start + second for second in run.seconds]
        panels["users"]["users"] += run.users
        panels["requests per second"]["all"] += run.requests_per_s
        panels["requests per second"]["failed"] += run.failures_per_s
        panels["latency of a request, ms"]["p50"] += run.p50s_ms
        panels["latency of a request, ms"]["p99"] += run.p99s_ms
    svg.write(file, seconds, panels)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=40, help="of the logins, and of each shape")
    parser.add_argument("--users", type=int, default=30, help="the highest number of users")
    parser.add_argument("--pace", type=float, default=2.0, help="requests per second of a user")
    parser.add_argument("--rate", type=float, default=20.0, help="logins per second while the cost is measured")
    parser.add_argument("--svg", type=Path, help="draw the shapes into this file")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    options = parser.parse_args()
    with set_up() as stage:
        report = uvloop.run(measure(stage, options))
    cpu = {cost.operation: cost.cpu_ms for cost in report.costs}
    print(f"\n{plan.table(cpu, {cost.operation: cost.wal_bytes for cost in report.costs})}")
    if options.json:
        options.json.write_bytes(msgspec.json.encode(report))
    if options.svg:
        draw(report.runs, options.svg)


if __name__ == "__main__":
    main()
