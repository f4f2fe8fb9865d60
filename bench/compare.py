"""Measure Auth1 beside other login services, in interleaved rounds of one run.

    just bench-peers [--flows 300] [--rounds 5] [--concurrency 32] [--rate 40] [--only NAME …] [--json FILE]

A flow requests a code for a new phone number, verifies it, which creates a user and a session, and checks the session
once. Each round of a service runs the three requests of its flows in three phases, as fast as the connections go, and
then `--rate` flows per second for 5 s; there, a latency counts from the time at which the request was due.

CPU per flow is that of the server, of PostgreSQL and of Redis during the three phases, without this client. All
services run all the time, but only one has requests. Those in Python run on the interpreter of Auth1.
"""

import argparse
import asyncio
import statistics
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import asyncpg
import msgspec
import uvloop

from bench.accounts import cpu_s, family, pss_mib
from bench.client import Connection, UnexpectedResponse
from bench.machine import is_same_python, machine_line
from bench.peers import DATABASES, PYTHON, Auth1, Peer, auth1, others
from bench.peers.running import CodeReader, Running, start
from bench.phones import phones
from bench.stage import Serving, Stage, StageError, set_up

RATE_S = 5.0
WARM_UP = 50
T = TypeVar("T")
R = TypeVar("R")


class Round(msgspec.Struct, frozen=True):
    """One round: CPU in ms per flow, requests per second, latencies at `--rate` in ms."""

    server_ms: float
    postgres_ms: float
    redis_ms: float
    request_per_s: float
    verify_per_s: float
    check_per_s: float
    request_p99_ms: float
    verify_p99_ms: float

    @property
    def cpu_ms(self) -> float:
        return self.server_ms + self.postgres_ms + self.redis_ms


class Result(msgspec.Struct):
    """All rounds of a service. `memory_mib` is the PSS of its processes after them."""

    name: str
    includes: str
    omits: str
    cold_start_s: float
    memory_mib: float
    rounds: list[Round]


async def run_round(stage: Stage, running: Running, numbers: Iterator[str], options: argparse.Namespace) -> Round:
    """Run one round of a service."""
    connections = [await Connection.open(running.port) for _ in range(options.concurrency)]
    codes = await running.codes()
    roots = (running.pid, stage.postgres.pid, stage.redis.pid)
    flows = list(islice(numbers, options.flows))
    before = [cpu_s(pid) for pid in roots]

    async def verify(connection: Connection, flow: tuple[str, str]) -> str:
        number, requested = flow
        return await running.verify(connection, number, await codes.read(number), requested)

    requested, request_per_s = await _share(connections, flows, running.request)
    verified, verify_per_s = await _share(connections, list(zip(flows, requested, strict=True)), verify)
    _, check_per_s = await _share(connections, verified, running.check)
    server, postgres, redis = (cpu_s(pid) - start for pid, start in zip(roots, before, strict=True))
    ms = 1000 / len(flows)
    due = list(islice(numbers, round(options.rate * RATE_S)))
    request_p99_ms, verify_p99_ms = await _at_rate(running, connections, codes, due, options.rate)
    for connection in connections:
        connection.close()
    return Round(
        server * ms,
        postgres * ms,
        redis * ms,
        request_per_s,
        verify_per_s,
        check_per_s,
        request_p99_ms,
        verify_p99_ms,
    )


async def _share(
    connections: Sequence[Connection], work: Sequence[T], call: Callable[[Connection, T], Awaitable[R]]
) -> tuple[list[R], float]:
    """Share work among connections; return the results in order, and the calls per second."""
    results: dict[int, R] = {}
    left = iter(enumerate(work))

    async def one(connection: Connection) -> None:
        for index, item in left:
            results[index] = await call(connection, item)

    began = perf_counter()
    await asyncio.gather(*map(one, connections))
    elapsed_s = perf_counter() - began
    return [results[index] for index in range(len(work))], len(work) / elapsed_s


async def _at_rate(
    running: Running, connections: Sequence[Connection], codes: CodeReader, numbers: Sequence[str], rate: float
) -> tuple[float, float]:
    """Begin `rate` flows per second; return the 99th percentiles of request and verification in ms."""
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for connection in connections:
        free.put_nowait(connection)
    times: list[tuple[float, float]] = []
    start = perf_counter() + 0.1

    async def flow(number: str, due: float) -> None:
        await asyncio.sleep(due - perf_counter())
        connection = await free.get()
        if connection.is_closed:  # some servers close connections that are idle for a few seconds
            connection = await Connection.open(running.port)
        requested = await running.request(connection, number)
        request_s = perf_counter() - due
        code = await codes.read(number)
        began = perf_counter()
        await running.verify(connection, number, code, requested)
        times.append((request_s, perf_counter() - began))
        free.put_nowait(connection)

    await asyncio.gather(*(flow(number, start + index / rate) for index, number in enumerate(numbers)))
    requests, verifications = (sorted(part) for part in zip(*times, strict=True))
    place = min(len(times) - 1, len(times) * 99 // 100)
    return requests[place] * 1000, verifications[place] * 1000


def compare(stage: Stage, options: argparse.Namespace) -> list[Result]:
    """Start the services, run their rounds in alternation, and return the results."""
    numbers = phones()
    with ExitStack() as stack:
        services = [
            stack.enter_context(start(stage, peer, twilio_port))
            for peer, twilio_port in _services(stage)
            if not options.only or peer.name in options.only
        ]
        for running in services:
            if isinstance(running.peer, Auth1):
                server = Serving(running.port, running.pid, running.cold_start_s, stage.environment["ADMIN_TOKEN"])
                running.peer.api_key = server.tenant()["api_key"]
            warm_up = argparse.Namespace(**vars(options) | {"flows": WARM_UP})
            _run(stage, running, numbers, warm_up)
        rounds: defaultdict[str, list[Round]] = defaultdict(list)
        for number in range(options.rounds):
            for running in services:
                one = _run(stage, running, numbers, options)
                rounds[running.peer.name].append(one)
                print(f"round {number + 1}: {running.peer.name} {one.cpu_ms:.2f} ms", file=sys.stderr)
        return [
            Result(
                running.peer.name,
                running.peer.includes,
                running.peer.omits,
                running.cold_start_s,
                pss_mib(family(running.pid)),
                rounds[running.peer.name],
            )
            for running in services
        ]


def _run(stage: Stage, running: Running, numbers: Iterator[str], options: argparse.Namespace) -> Round:
    """Run one round. Raises StageError with the end of the service's output."""
    try:
        return uvloop.run(run_round(stage, running, numbers, options))
    except UnexpectedResponse as error:
        raise StageError(f"{running.peer.name}: {error}\n{running.log.read_text()[-2000:]}") from error


def _services(stage: Stage) -> list[tuple[Peer, int | None]]:
    """Return all services, each with the port of the fake Twilio unless it prints its codes."""
    asyncio.run(_create_databases(stage))
    twilio = {name: value for name, value in stage.environment.items() if name.startswith("TWILIO_")}
    rest = {name: value for name, value in stage.environment.items() if name not in twilio}
    console = {**rest, "SMS_PROVIDERS": "console"}
    return [
        (auth1(console, "Auth1", "console"), None),
        (auth1({**rest, **twilio}, "Auth1, fake Twilio", "the fake Twilio, over TLS"), stage.twilio.port),
        *((peer, None) for peer in others(stage.postgres.url(), stage.redis.url())),
    ]


def needs_venv(only: Sequence[str]) -> bool:
    """Return whether a service runs in `.bench/venv`: one of those with these names, or of all without names."""
    peers = others("postgresql://localhost/", "redis://localhost/0")
    return any(str(PYTHON) in peer.command[0] for peer in peers if not only or peer.name in only)


async def _create_databases(stage: Stage) -> None:
    connection = await asyncpg.connect(stage.postgres.url())
    for name in DATABASES:
        await connection.execute(f"create database {name}")
    await connection.close()


def table(results: Sequence[Result]) -> str:
    """Format the results as a Markdown table: medians of the rounds."""
    lines = [
        "| | CPU per flow, ms (least – most) | server + PostgreSQL + Redis | × Auth1 | request/s | verify/s | check/s "
        "| p99 of request, verify at rate, ms | memory, MiB | cold start, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    first = _median(results[0], lambda one: one.cpu_ms)
    for result in results:
        rounds = result.rounds
        cpu = _median(result, lambda one: one.cpu_ms)
        parts = [
            f"{cpu:.2f} ({min(one.cpu_ms for one in rounds):.2f} – {max(one.cpu_ms for one in rounds):.2f})",
            " + ".join(
                f"{_median(result, read):.2f}"
                for read in (lambda one: one.server_ms, lambda one: one.postgres_ms, lambda one: one.redis_ms)
            ),
            f"{cpu / first:.1f}",
            f"{_median(result, lambda one: one.request_per_s):.0f}",
            f"{_median(result, lambda one: one.verify_per_s):.0f}",
            f"{_median(result, lambda one: one.check_per_s):.0f}",
            f"{_median(result, lambda one: one.request_p99_ms):.0f}, "
            f"{_median(result, lambda one: one.verify_p99_ms):.0f}",
            f"{result.memory_mib:.0f}",
            f"{result.cold_start_s:.2f}",
        ]
        lines.append(f"| {result.name} | {' | '.join(parts)} |")
    return "\n".join(lines)


def _median(result: Result, read: Callable[[Round], float]) -> float:
    return statistics.median(map(read, result.rounds))


def run() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description="Measure Auth1 beside others.")
    parser.add_argument("--flows", type=int, default=300, help="per round and service")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=32, help="connections")
    parser.add_argument("--rate", type=float, default=40, help="flows per second of the second part of a round")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names of services")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds here")
    options = parser.parse_args()
    if needs_venv(options.only) and not is_same_python(PYTHON / "python"):
        parser.error(
            ".bench/venv is missing or is not of the Python of Auth1: "
            "run `just bench-peers`, which installs the services"
        )
    with set_up({"max_connections": "300"}) as stage:  # each service opens up to 20
        results = compare(stage, options)
    machine = machine_line()
    if options.json:
        options.json.write_bytes(msgspec.json.encode({"machine": machine, "results": results}))
    print(f"{machine}\n{table(results)}")


if __name__ == "__main__":
    run()
