"""Measure how much one noisy tenant slows down the others.

    python -m bench.noisy [--rate 2] [--seconds 20] [--rounds 3] [--workers 1] [--json]

Ten tenants log users in on one server. In the quiet half of a round each begins `--rate` logins a second; in the noisy
half one of them begins ten times as many. Logins begin at fixed times, whether or not earlier ones have ended. The
figure is the 99th percentile of the requests of the nine others, and the ratio of both halves. The halves alternate,
because the load of the machine changes; the ratio is the median of the rounds. The goal is 1.5; beyond it the exit code
is 1. Client and server share the machine, so a ratio is only meaningful below the throughput of `bench.measure`.
"""

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from statistics import median, quantiles

import msgspec
import uvloop

from bench.client import Person
from bench.machine import machine_line
from bench.phones import COUNT, phones
from bench.stage import Serving, Stage, set_up

TENANTS = 10
NOISY_TIMES = 10
BOUND = 1.5
WARM_UP_S = 3.0


class Round(msgspec.Struct, frozen=True):
    """The 99th percentiles of the nine others in ms, and their ratio."""

    quiet_p99_ms: float
    noisy_p99_ms: float

    @property
    def ratio(self) -> float:
        return self.noisy_p99_ms / self.quiet_p99_ms


class Load:
    """Logins of several tenants. Each connection serves one login at a time."""

    def __init__(self, stage: Stage, server: Serving) -> None:
        self._codes_port = stage.twilio.port
        self._port = server.port
        self._keys = [str(server.tenant()["api_key"]) for _ in range(TENANTS)]
        self._idle: list[deque[Person]] = [deque() for _ in range(TENANTS)]
        self._numbers: list[Iterator[str]] = [phones(tenant * COUNT // TENANTS) for tenant in range(TENANTS)]

    async def run(self, rate: float, seconds: float, noisy_times: int) -> list[float]:
        """Return the times of the requests of all tenants but the first, in ms. The first is the noisy one."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        rates = [rate * noisy_times, *[rate] * (TENANTS - 1)]
        begins = sorted(
            ((number + tenant / TENANTS) / own_rate, tenant)
            for tenant, own_rate in enumerate(rates)
            for number in range(int(own_rate * seconds))
        )
        logins = []
        for at_s, tenant in begins:
            await asyncio.sleep(started + at_s - loop.time())
            logins.append((tenant, asyncio.create_task(self._log_in(tenant))))
        times = [(tenant, await login) for tenant, login in logins]
        return [elapsed_s * 1000 for tenant, pair in times if tenant for elapsed_s in pair]

    async def _log_in(self, tenant: int) -> tuple[float, float]:
        idle = self._idle[tenant]
        while idle and idle[-1].is_gone:  # the server closes idle connections
            idle.pop().leave()
        person = idle.pop() if idle else await Person.arrive(self._port, self._codes_port, self._keys[tenant])
        times = await person.log_in(next(self._numbers[tenant]))
        idle.append(person)
        return times

    def end(self) -> None:
        for idle in self._idle:
            for person in idle:
                person.leave()


async def measure(stage: Stage, server: Serving, rate: float, seconds: float, rounds: int) -> list[Round]:
    """Alternate quiet and noisy halves."""
    load = Load(stage, server)
    await load.run(rate, WARM_UP_S, NOISY_TIMES)
    measured = []
    for _ in range(rounds):
        quiet, noisy = [quantiles(await load.run(rate, seconds, times), n=100)[98] for times in (1, NOISY_TIMES)]
        measured.append(Round(quiet, noisy))
    load.end()
    return measured


def run() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.noisy", description="Does one tenant slow down the others?")
    parser.add_argument("--rate", type=float, default=2.0, help="logins per second of a quiet tenant")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each half of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if int(options.rate * options.seconds) * (TENANTS - 1) < 50 or options.rounds < 1:
        parser.error("a percentile needs at least a hundred requests: raise --rate or --seconds")
    with set_up() as stage, stage.serve(WORKERS=str(options.workers)) as server:
        rounds = uvloop.run(measure(stage, server, options.rate, options.seconds, options.rounds))
    ratio = median(one.ratio for one in rounds)
    if options.json:
        print(msgspec.json.encode({"rounds": rounds, "ratio": ratio}).decode())
    else:
        print(machine_line())
        for one in rounds:
            print(f"p99 of the nine: quiet {one.quiet_p99_ms:.1f} ms, noisy {one.noisy_p99_ms:.1f} ms: {one.ratio:.2f}")
        print(f"median ratio {ratio:.2f}, goal {BOUND:g}")
    sys.exit(ratio > BOUND)


if __name__ == "__main__":
    run()
