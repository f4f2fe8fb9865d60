"""Measure `auth1 serve`: the cost of a login and the memory of the server.

    python -m bench.measure [--logins 10000] [--concurrency 32] [--rounds 5] [--workers 1] [--rate 40] [--json]

A login is POST /api/auth/request, the code from the fake Twilio, and POST /api/auth/verify, for a new number. So every
login creates a user and a session. Each round has its own tenant. The output is the median of the rounds, with minimum
and maximum. With --concurrency, that many users log in as fast as they can: this shows the maximum throughput, and
latencies of a queue. With --rate, that many logins begin each second: this shows latencies without a queue.

The client is `client.py` (raw keep-alive connections on uvloop) in this process. The CPU of a login includes neither
the client nor the fake Twilio; the line "not counted" shows them, because they use the same cores.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from time import perf_counter

import msgspec
import uvloop

from bench.accounts import cpu_s, pss_mib
from bench.client import Person
from bench.inside import Inside, inside
from bench.machine import machine_line
from bench.phones import phones
from bench.stage import Serving, Stage, set_up

COLD_STARTS = 5
WARM_UP = 100


class Plan(msgspec.Struct, frozen=True):
    """Options. `rate` is in logins/s; 0 is as fast as possible."""

    logins: int
    concurrency: int
    rounds: int
    workers: int
    rate: float


class Round(msgspec.Struct, frozen=True):
    """The measurements of one round: CPU in ms per login, latencies in ms."""

    logins_per_s: float
    auth1_cpu_ms: float
    postgres_cpu_ms: float
    valkey_cpu_ms: float
    uncounted_cpu_ms: float
    request_p50_ms: float
    request_p99_ms: float
    verify_p50_ms: float
    verify_p99_ms: float


class Memory(msgspec.Struct, frozen=True):
    """PSS in MiB: of the workers, and of all processes of the server."""

    workers: float
    tree: float


class Trips(msgspec.Struct, frozen=True):
    """Calls of one request. `later` are to Redis, after the response."""

    redis: int
    postgres: int
    later: int


class Report(msgspec.Struct, frozen=True):
    """All results."""

    plan: Plan
    cold_starts_s: list[float]
    idle: Memory
    loaded: Memory
    rounds: list[Round]
    request: Trips
    verify: Trips


def measure(stage: Stage, plan: Plan) -> Report:
    """Measure everything on a prepared stage."""
    workers = str(plan.workers)
    cold_starts = []
    for _ in range(COLD_STARTS):
        with stage.serve(WORKERS=workers, TIMEOUT_SCALE="10") as server:
            cold_starts.append(server.cold_start_s)
    with stage.serve(WORKERS=workers, TIMEOUT_SCALE="10") as server:
        idle = _memory(server)
        uvloop.run(run_round(stage, server, plan, WARM_UP))
        rounds = [uvloop.run(run_round(stage, server, plan, plan.logins // plan.rounds)) for _ in range(plan.rounds)]
        loaded = _memory(server)
    request, verify = uvloop.run(_count_trips(stage))
    return Report(plan, cold_starts, idle, loaded, rounds, request, verify)


async def run_round(stage: Stage, server: Serving, plan: Plan, logins: int) -> Round:
    """Let users log in, each one login after another, until `logins` are done."""
    api_key = server.tenant()["api_key"]
    arrivals = (Person.arrive(server.port, stage.twilio.port, api_key) for _ in range(plan.concurrency))
    people = await asyncio.gather(*arrivals)
    times: list[tuple[float, float]] = []
    roots = (server.pid, stage.postgres.pid, stage.redis.pid, stage.twilio.pid)
    before = [cpu_s(pid) for pid in roots]
    ours, started = time.process_time(), perf_counter()
    logins_to_do = enumerate(islice(phones(), logins))
    due = (((started + n / plan.rate if plan.rate else 0.0), number) for n, number in logins_to_do)
    await asyncio.gather(*(_log_in(person, due, times) for person in people))
    elapsed_s, ours = perf_counter() - started, time.process_time() - ours
    auth1, postgres, valkey, twilio = (cpu_s(pid) - start for pid, start in zip(roots, before, strict=True))
    for person in people:
        person.leave()
    (request_p50, request_p99), (verify_p50, verify_p99) = (percentiles(part) for part in zip(*times, strict=True))
    ms = 1000 / logins
    return Round(
        logins_per_s=logins / elapsed_s,
        auth1_cpu_ms=auth1 * ms,
        postgres_cpu_ms=postgres * ms,
        valkey_cpu_ms=valkey * ms,
        uncounted_cpu_ms=(twilio + ours) * ms,
        request_p50_ms=request_p50,
        request_p99_ms=request_p99,
        verify_p50_ms=verify_p50,
        verify_p99_ms=verify_p99,
    )


async def _log_in(person: Person, due: Iterator[tuple[float, str]], times: list[tuple[float, float]]) -> None:
    for moment, number in due:  # shared: each user takes the next one
        if (wait_s := moment - perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        took = await person.log_in(number)
        times.append(took)


async def _count_trips(stage: Stage) -> tuple[Trips, Trips]:
    """Count the calls of a request and of a verification, by a tenant in the cache, on Auth1 in this process."""
    async with inside(stage) as auth1:
        met, number = islice(phones(), 2)
        await auth1.log_in(met)
        request = await _trips(auth1, auth1.ask(number))
        code = await auth1.phone.read(number)
        return request, await _trips(auth1, auth1.answer(number, code))


async def _trips(auth1: Inside, call: Awaitable[object]) -> Trips:
    services = auth1.services
    await services.limiter.flush_releases()
    redis, postgres = services.redis.round_trips, services.postgres.round_trips
    await call
    during = services.redis.round_trips
    await services.limiter.flush_releases()
    return Trips(during - redis, services.postgres.round_trips - postgres, services.redis.round_trips - during)


def _memory(server: Serving) -> Memory:
    return Memory(pss_mib(server.workers), pss_mib([server.pid, *server.workers]))


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the 50th and 99th percentile, in ms."""
    ordered = sorted(seconds)
    return statistics.median(ordered) * 1000, ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000


def table(report: Report) -> str:
    """Format the results as text."""

    def spread(values: Sequence[float], form: str) -> str:
        low, middle, high = min(values), statistics.median(values), max(values)
        return f"{middle:>10{form}}   {low:{form}} – {high:{form}}"

    def over(read: Callable[[Round], float], form: str = ".2f") -> str:
        return spread([read(one) for one in report.rounds], form)

    def trips(made: Trips) -> str:
        later = f", then {made.later} Redis after the answer" if made.later else ""
        return f"{made.redis} Redis, {made.postgres} Postgres{later}"

    lines = [
        ("", f"{'median':>10}   least – most"),
        ("cold start, s", spread(report.cold_starts_s, ".2f")),
        ("logins/s", over(lambda one: one.logins_per_s, ".0f")),
        ("CPU per login, ms", over(lambda one: one.auth1_cpu_ms + one.postgres_cpu_ms + one.valkey_cpu_ms)),
        ("  Auth1", over(lambda one: one.auth1_cpu_ms)),
        ("  PostgreSQL", over(lambda one: one.postgres_cpu_ms)),
        ("  Valkey", over(lambda one: one.valkey_cpu_ms)),
        ("  not counted: client, stand-in", over(lambda one: one.uncounted_cpu_ms)),
        ("request p50, ms", over(lambda one: one.request_p50_ms)),
        ("request p99, ms", over(lambda one: one.request_p99_ms)),
        ("verify p50, ms", over(lambda one: one.verify_p50_ms)),
        ("verify p99, ms", over(lambda one: one.verify_p99_ms)),
        ("memory (PSS) idle, MiB", f"{report.idle.workers:10.1f}   all processes {report.idle.tree:.1f}"),
        ("memory after the logins, MiB", f"{report.loaded.workers:10.1f}   all processes {report.loaded.tree:.1f}"),
        ("round trips of request", f"   {trips(report.request)}, 1 Twilio"),
        ("round trips of verify", f"   {trips(report.verify)}"),
    ]
    plan = report.plan
    pace = f"{plan.rate:g} begun a second" if plan.rate else "as fast as they go"
    head = (
        f"{plan.logins} logins in {plan.rounds} rounds, {plan.concurrency} at a time, {pace}; {plan.workers} worker(s)"
    )
    return "\n".join([head, *(f"{name:32}{value}".rstrip() for name, value in lines)])


def run() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.measure", description="Measure a whole server.")
    parser.add_argument("--logins", type=int, default=10_000, help="in all, shared out over the rounds")
    parser.add_argument("--concurrency", type=int, default=32, help="people who log in at the same time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="WORKERS of the server")
    parser.add_argument("--rate", type=float, default=0, help="logins begun a second (default: as many as go)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    plan = Plan(options.logins, options.concurrency, options.rounds, options.workers, options.rate)
    with set_up() as stage:
        report = measure(stage, plan)
    print(msgspec.json.encode(report).decode() if options.json else f"{machine_line()}\n{table(report)}")


if __name__ == "__main__":
    run()
