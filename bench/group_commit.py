"""Measure group commit: the CPU of a flow with shared statements against one statement for each request.

    python -m bench.group_commit [--concurrency 1 8 32] [--flows 480] [--rounds 5] [--in-flight 2]

A flow is POST /api/auth/request, POST /api/auth/verify and GET /api/auth/me of a new number. Auth1 runs in this
process, so that both variants alternate in one run; the provider is the console, which prints to nowhere here. Output:
CPU of Auth1 with the client, CPU of PostgreSQL, and the median time of a flow, in milliseconds; and the ratios.
"""

import argparse
import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

import uvloop

from auth1.core.postgres import Batched, Postgres, batches, repeat_once
from auth1.core.postgres.batches import find_nothing
from auth1.messaging.providers.protocol import OutgoingMessage
from bench.accounts import cpu_s
from bench.inside import Inside, inside
from bench.phones import phones
from bench.stage import Stage, set_up

WARM_UP = 200
SHARED = Batched.call


class Round(NamedTuple):
    """The measurements of one round, in milliseconds per flow."""

    auth1_cpu: float
    postgres_cpu: float
    flow_p50: float

    @property
    def cpu(self) -> float:
        return self.auth1_cpu + self.postgres_cpu


async def call_singly(
    batched: Batched[Any, Any],
    postgres: Postgres,
    request: Any,
    find: Callable[[], Awaitable[Any]] = find_nothing,
) -> Any:
    """Execute a request as one statement, without group commit."""

    async def run() -> Any:
        [result] = await postgres.call(batched.function, request)
        return result

    return await repeat_once(run, find)


VARIANTS = {"single": call_singly, "shared": SHARED}


async def flow(auth1: Inside, number: str, codes: dict[str, str]) -> float:
    """Log a number in and check its session; return the time in seconds."""
    started = time.perf_counter()
    await auth1.ask(number)
    tokens = json.loads(await auth1.answer(number, codes.pop(number)))
    headers = [
        (b"host", b"localhost"),
        (b"x-api-key", auth1.tenant.api_key.encode()),
        (b"authorization", b"Bearer " + tokens["token"].encode()),
    ]
    await auth1.call("GET", "/api/auth/me", headers)
    return time.perf_counter() - started


async def run_flows(
    auth1: Inside, codes: dict[str, str], postgres_pid: int, numbers: Iterator[str], concurrency: int, flows: int
) -> Round:
    """Run flows, some at a time."""
    todo, times = islice(numbers, flows), list[float]()

    async def work() -> None:
        for number in todo:  # shared: each worker takes the next one
            elapsed_s = await flow(auth1, number, codes)
            times.append(elapsed_s)

    before = time.process_time(), cpu_s(postgres_pid)
    await asyncio.gather(*(work() for _ in range(concurrency)))
    ms = 1000 / flows
    return Round((time.process_time() - before[0]) * ms, (cpu_s(postgres_pid) - before[1]) * ms, median(times) * 1000)


async def measure(stage: Stage, concurrencies: Sequence[int], flows: int, rounds: int) -> None:
    """Measure both variants in alternation, and print the table."""
    codes = dict[str, str]()

    async def read(message: OutgoingMessage) -> None:
        codes[message.to] = message.text.partition("code is: ")[2].partition(".")[0]

    environment = {**stage.environment, "SMS_PROVIDERS": "console", "TIMEOUT_SCALE": "10"}
    measured: defaultdict[tuple[int, str], list[Round]] = defaultdict(list)
    numbers = phones()
    async with inside(replace(stage, environment=environment), read) as auth1:
        for call in VARIANTS.values():
            Batched.call = call  # type: ignore[method-assign,assignment]
            await run_flows(auth1, codes, stage.postgres.pid, numbers, 8, WARM_UP)
        for _ in range(rounds):
            for concurrency in concurrencies:
                for variant, call in VARIANTS.items():
                    Batched.call = call  # type: ignore[method-assign,assignment]
                    one = await run_flows(auth1, codes, stage.postgres.pid, numbers, concurrency, flows)
                    measured[concurrency, variant].append(one)
    print_table(concurrencies, measured)


def print_table(concurrencies: Sequence[int], measured: dict[tuple[int, str], list[Round]]) -> None:
    print(f"{'at a time':>9} {'':8}{'Auth1 CPU':>11}{'PostgreSQL CPU':>16}{'both':>8}{'flow p50':>10}   ms: medians")
    for concurrency in concurrencies:
        medians = {
            name: [
                median(column) for column in zip(*((*one, one.cpu) for one in measured[concurrency, name]), strict=True)
            ]
            for name in VARIANTS
        }
        ratios = [shared / single for shared, single in zip(medians["shared"], medians["single"], strict=True)]
        for name, (auth1, postgres, p50, both) in {**medians, "ratio": ratios}.items():
            print(f"{concurrency:9} {name:8}{auth1:11.2f}{postgres:16.2f}{both:8.2f}{p50:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--flows", type=int, default=480, help="per round, variant and concurrency")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=batches.MAX_IN_FLIGHT, help="statements of a kind")
    options = parser.parse_args()
    batches.MAX_IN_FLIGHT = options.in_flight
    with set_up() as stage:
        uvloop.run(measure(stage, options.concurrency, options.flows, options.rounds))


if __name__ == "__main__":
    main()
