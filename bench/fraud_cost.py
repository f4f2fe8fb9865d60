"""Compare the CPU of logins with the fraud rules on and off.

    python -m bench.fraud_cost [--pairs 20] [--logins 300] [--concurrency 32] [--json]

One server has two tenants: all rules of one are on, the policy of the other is off. Their users log in in turn. A round
of each is a pair; every second pair begins with the other tenant, so that a machine that gets slower favours neither.
A round ends when its codes are settled in the background. The fake Twilio is called over TLS.

The output is the CPU per login of server, PostgreSQL and Redis, and the ratio on to off of the pairs: the median with
its quartiles. CPU contains no waiting, so other programs disturb a pair less than times.
"""

import argparse
import asyncio
import statistics
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec
import uvloop

from bench.accounts import cpu_s
from bench.client import Person
from bench.phones import phones
from bench.stage import POLICY, Serving, Stage, set_up

PARTS = ("server", "PostgreSQL", "Redis")
MODES = ("on", "off")
SETTLE_S = 1.5  # background jobs of a login run each second
WARM_UP = 200


class Cpu(msgspec.Struct, frozen=True):
    """CPU in ms per login."""

    server: float
    postgres: float
    redis: float

    @property
    def total(self) -> float:
        return self.server + self.postgres + self.redis


class Pair(msgspec.Struct, frozen=True):
    """A round with the rules on, and one with the rules off."""

    on: Cpu
    off: Cpu

    @property
    def ratio(self) -> float:
        return self.on.total / self.off.total


def measure(stage: Stage, pairs: int, logins: int, concurrency: int) -> Iterator[Pair]:
    """Yield pairs of rounds."""
    with stage.serve(TIMEOUT_SCALE="10", REDIS_CALL_TIMEOUT_MS="2000") as server:
        keys: dict[str, str] = {}
        for mode in MODES:
            tenant = server.tenant()
            server.set_policy(tenant["tenant_id"], POLICY | {"mode": mode})
            keys[mode] = tenant["api_key"]
        numbers = {mode: phones() for mode in MODES}
        for mode in MODES:
            uvloop.run(run_round(stage, server, keys[mode], list(islice(numbers[mode], WARM_UP)), concurrency))
        for pair in range(pairs):
            order = MODES if pair % 2 else MODES[::-1]
            found = {
                mode: uvloop.run(run_round(stage, server, keys[mode], list(islice(numbers[mode], logins)), concurrency))
                for mode in order
            }
            yield Pair(found["on"], found["off"])


async def run_round(stage: Stage, server: Serving, api_key: str, numbers: Sequence[str], concurrency: int) -> Cpu:
    """Log in all numbers, each user one after another; return the CPU, also that of the jobs which follow."""
    roots = (server.pid, stage.postgres.pid, stage.redis.pid)
    before = [cpu_s(pid) for pid in roots]
    left = iter(numbers)

    async def log_in() -> None:
        person = await Person.arrive(server.port, stage.twilio.port, api_key)
        for number in left:  # shared: each user takes the next one
            if person.is_gone:  # the server closes a connection that was idle for 5 s
                person.leave()
                person = await Person.arrive(server.port, stage.twilio.port, api_key)
            await person.log_in(number)
        person.leave()

    await asyncio.gather(*(log_in() for _ in range(concurrency)))
    await asyncio.sleep(SETTLE_S)
    used = [(cpu_s(pid) - start) * 1000 / len(numbers) for pid, start in zip(roots, before, strict=True)]
    return Cpu(*used)


def table(pairs: Sequence[Pair]) -> str:
    """Format the medians of both modes, and the ratios of the pairs."""
    lines = [f"{'CPU per login, ms':20}" + "".join(f"{name:>12}" for name in (*PARTS, "all"))]
    for mode in MODES:
        rounds: list[Cpu] = [getattr(pair, mode) for pair in pairs]
        columns = zip(*((one.server, one.postgres, one.redis, one.total) for one in rounds), strict=True)
        lines.append(f"{mode:20}" + "".join(f"{statistics.median(column):12.2f}" for column in columns))
    ratios = sorted(pair.ratio for pair in pairs)
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    sums = [sum(pair.on.total for pair in pairs), sum(pair.off.total for pair in pairs)]
    lines.append(f"ratio on to off of {len(pairs)} pairs: median {middle:.3f}, quartiles {low:.3f} – {high:.3f}")
    lines.append(f"ratio of the sums: {sums[0] / sums[1]:.3f}")
    return "\n".join(lines)


def run() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.fraud_cost", description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--logins", type=int, default=300, help="of a round")
    parser.add_argument("--concurrency", type=int, default=32, help="users at the same time")
    parser.add_argument("--json", action="store_true", help="print all pairs as JSON")
    options = parser.parse_args()
    with set_up() as stage:
        pairs = list(measure(stage, max(2, options.pairs), options.logins, options.concurrency))
    print(msgspec.json.encode(pairs).decode() if options.json else table(pairs))


if __name__ == "__main__":
    run()
