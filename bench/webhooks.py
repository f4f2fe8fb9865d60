"""Measure webhooks: a backlog of endpoints that hang beside one that answers, logins meanwhile, and CPU of a delivery.

    python -m bench.webhooks [--backlog 100000] [--logins 200] [--rounds 6] [--deliveries 5000] [--workers 1]

Rounds of logins alternate in one run: with the backlog, whose three endpoints never answer, and without it. The fourth
endpoint receives an event of each login; its delay is from the event to the call. Rounds begin with endpoints that
have not failed yet: the worst case. CPU is that of Auth1 and of PostgreSQL, and of a delivery whose endpoint answers
at once. Bounds: the median of logins within 1.2 times, the delay below 5 s.
"""

import argparse
import asyncio
import statistics
import time
from datetime import datetime
from itertools import count, islice
from typing import Any, NamedTuple

import asyncpg
import httpx
import uvloop

from bench.accounts import cpu_s
from bench.client import Person
from bench.phones import phones
from bench.stage import DATABASE, Serving, Stage, set_up
from tests.support.receiver import Received, Receiver

HANGING = 3
BACKLOG_TYPE, CPU_TYPE, LOGIN_TYPE = "user.updated", "user.erased", "challenge.answered"
MAX_RATIO, MAX_DELAY_S = 1.2, 5.0
WAIT_S = 3600.0
INSERT = """
insert into events (tenant_id, id, type, actor, subject, data)
select $1, left(id_floor('evt', now()), 14) || lpad(($3 + n)::text, 16, '0'), $2, 'key_1', 'usr_1',
  '{"changed": ["email"]}' from generate_series(1, $4::int) as n
"""
SWITCH = """
update webhooks set is_enabled = $2, failures = 0, failing_since = null, paused_until = '-infinity', due_at = now()
where url = $1
"""


class Result(NamedTuple):
    """The measurements. Times of logins are medians in milliseconds."""

    with_backlog_ms: float
    without_ms: float
    max_delay_s: float
    received: int
    backlog: int
    cpu_ms: float
    postgres_cpu_ms: float
    per_s: float


class Bench:
    """A server with its tenant and database."""

    def __init__(self, stage: Stage, server: Serving, database: asyncpg.Connection) -> None:
        self.stage, self.server, self.database = stage, server, database
        self.tenant: dict[str, Any] = server.tenant()
        self._numbers = count(step=1_000_000)
        self._phones = phones()

    async def subscribe(self, url: str, event_type: str) -> None:
        async with httpx.AsyncClient(base_url=self.server.url) as client:
            body = {"url": url, "events": [event_type]}
            headers = {"x-api-key": self.tenant["secret_key"]}
            (await client.post("/api/tenant/webhooks", json=body, headers=headers, timeout=60)).raise_for_status()

    async def add(self, event_type: str, events: int) -> None:
        await self.database.execute(INSERT, self.tenant["tenant_id"], event_type, next(self._numbers), events)

    async def wait_for(self, query: str, value: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self.database.fetchval(query) < value:  # noqa: ASYNC110  # the state of a database
                await asyncio.sleep(0.2)

    async def log_in(self, logins: int) -> list[float]:
        """Log in one after another; return the times of both requests together."""
        person = await Person.arrive(self.server.port, self.stage.twilio.port, self.tenant["api_key"])
        times = [sum(await person.log_in(number)) for number in islice(self._phones, logins)]
        person.leave()
        return times


async def measure_logins(bench: Bench, backlog: int, rounds: int, logins: int) -> tuple[list[float], list[float], Any]:
    """Alternate rounds of logins with and without the backlog; return both times, and the delays of the fourth."""
    delays: list[float] = []

    async def hang(call: Received) -> int:
        await asyncio.Event().wait()
        return 204

    def answer(call: Received) -> int:
        delays.append(time.time() - datetime.fromisoformat(call.json["timestamp"]).timestamp())
        return 204

    times: dict[bool, list[float]] = {True: [], False: []}
    async with Receiver(hang) as hanging, Receiver(answer) as answering:
        for _ in range(HANGING):
            await bench.subscribe(hanging.url, BACKLOG_TYPE)
        await bench.subscribe(answering.url, LOGIN_TYPE)
        for _ in range(0, backlog // HANGING, 1000):
            await bench.add(BACKLOG_TYPE, min(1000, backlog // HANGING))
        await bench.wait_for("select count(*) from deliveries", backlog // HANGING // 1000 * 1000 * HANGING)
        await bench.log_in(20)  # warm up
        for number in range(2 * rounds):
            has_backlog = number % 2 == 0
            await bench.database.execute(SWITCH, hanging.url, has_backlog)
            await asyncio.sleep(1)
            times[has_backlog] += await bench.log_in(logins)
            await asyncio.sleep(MAX_DELAY_S)  # the last deliveries
        await bench.database.execute(SWITCH, hanging.url, False)
        await answering.wait_for(20 + 2 * rounds * logins, WAIT_S)
    return times[True], times[False], delays


async def measure_cpu(bench: Bench, deliveries: int) -> tuple[float, float, float]:
    """Return the CPU of a delivery in Auth1 and in PostgreSQL in milliseconds, and deliveries a second."""
    async with Receiver() as receiver:
        await bench.subscribe(receiver.url, CPU_TYPE)
        roots = (bench.server.pid, bench.stage.postgres.pid)
        before, started = [cpu_s(pid) for pid in roots], time.perf_counter()
        await bench.add(CPU_TYPE, deliveries)
        await receiver.wait_for(deliveries, WAIT_S)
        elapsed_s = time.perf_counter() - started
        auth1, postgres = (cpu_s(pid) - start for pid, start in zip(roots, before, strict=True))
    return auth1 * 1000 / deliveries, postgres * 1000 / deliveries, deliveries / elapsed_s


async def measure(stage: Stage, server: Serving, options: argparse.Namespace) -> Result:
    """Measure everything on a running server."""
    database = await asyncpg.connect(stage.postgres.url(DATABASE))
    bench = Bench(stage, server, database)
    cpu_ms, postgres_cpu_ms, per_s = await measure_cpu(bench, options.deliveries)
    slow, fast, delays = await measure_logins(bench, options.backlog, options.rounds, options.logins)
    pending = await database.fetchval("select count(*) from deliveries where state = 'pending'")
    await database.close()
    return Result(
        statistics.median(slow) * 1000,
        statistics.median(fast) * 1000,
        max(delays),
        len(delays),
        pending,
        cpu_ms,
        postgres_cpu_ms,
        per_s,
    )


def table(result: Result) -> str:
    """Return the results as a table."""
    ratio = result.with_backlog_ms / result.without_ms
    return "\n".join(
        [
            "| measured | value | bound | holds |",
            "|---|---|---|---|",
            f"| pending deliveries of endpoints that hang | {result.backlog} | | |",
            f"| median login with the backlog, ms | {result.with_backlog_ms:.1f} | | |",
            f"| median login without it, ms | {result.without_ms:.1f} | | |",
            f"| with / without | {ratio:.2f} | {MAX_RATIO} | {'yes' if ratio <= MAX_RATIO else '**no**'} |",
            f"| longest delay of {result.received} events to the endpoint that answers, s | {result.max_delay_s:.2f} "
            f"| {MAX_DELAY_S:.0f} | {'yes' if result.max_delay_s <= MAX_DELAY_S else '**no**'} |",
            f"| CPU of a delivery in Auth1, ms | {result.cpu_ms:.2f} | | |",
            f"| CPU of a delivery in PostgreSQL, ms | {result.postgres_cpu_ms:.2f} | | |",
            f"| deliveries a second to one endpoint that answers at once | {result.per_s:.0f} | | |",
        ]
    )


def run() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhooks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backlog", type=int, default=100_000, help="pending deliveries of endpoints that hang")
    parser.add_argument("--logins", type=int, default=200, help="of a round")
    parser.add_argument("--rounds", type=int, default=6, help="with and without the backlog, each")
    parser.add_argument("--deliveries", type=int, default=5000, help="to measure the CPU of one")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    workers = str(options.workers)
    with (
        set_up() as stage,
        stage.serve(WORKERS=workers, WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8", TIMEOUT_SCALE="10") as server,
    ):
        print(table(uvloop.run(measure(stage, server, options))))


if __name__ == "__main__":
    run()
