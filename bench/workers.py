"""Compare one worker with two: logins per second, CPU per login, memory, in alternating rounds.

    python -m bench.workers [--logins 2000] [--rounds 5] [--concurrency 32] [--json FILE]

Both servers run all the time on the same PostgreSQL and Redis, but only one has logins. PostgreSQL, Redis, the fake
Twilio and this client share the cores with the workers. So on two cores, two workers can reach twice the logins of one
only if the worker needs more CPU than all the others together; `one core` is the part of a core that a worker used.
"""

import argparse
import statistics
from contextlib import ExitStack
from pathlib import Path

import msgspec
import uvloop

from bench.accounts import pss_mib
from bench.machine import machine_line
from bench.measure import Plan, Round, run_round
from bench.stage import set_up

SIZES = (1, 2)
WARM_UP = 200


def run() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logins", type=int, default=2000, help="of each server, shared out over the rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--json", type=Path, help="write the rounds to this file")
    options = parser.parse_args()
    rounds: dict[int, list[Round]] = {size: [] for size in SIZES}
    with ExitStack() as stack:
        stage = stack.enter_context(set_up())
        servers = {size: stack.enter_context(stage.serve(WORKERS=str(size), TIMEOUT_SCALE="10")) for size in SIZES}
        plans = {size: Plan(options.logins, options.concurrency, options.rounds, size, 0.0) for size in SIZES}
        for size, server in servers.items():
            uvloop.run(run_round(stage, server, plans[size], WARM_UP))
        for _ in range(options.rounds):
            for size, server in servers.items():
                measured = uvloop.run(run_round(stage, server, plans[size], options.logins // options.rounds))
                rounds[size].append(measured)
        memory = {size: pss_mib(server.workers) / size for size, server in servers.items()}
    print(machine_line())
    print(f"{'workers':>7}{'logins/s':>10}{'CPU ms':>8}{'of it server':>14}{'one core':>10}{'MiB/worker':>12}")
    for size, values in rounds.items():
        rate = statistics.median(one.logins_per_s for one in values)
        server_ms = statistics.median(one.auth1_cpu_ms for one in values)
        cpu = statistics.median(one.auth1_cpu_ms + one.postgres_cpu_ms + one.valkey_cpu_ms for one in values)
        used = rate * server_ms / 1000 / size
        print(f"{size:7}{rate:10.0f}{cpu:8.2f}{server_ms:14.2f}{used:10.0%}{memory[size]:12.1f}")
    pairs = zip(rounds[1], rounds[2], strict=True)
    ratios = [double.logins_per_s / single.logins_per_s for single, double in pairs]
    print(f"logins/s of two workers to one: {statistics.median(ratios):.2f} ({min(ratios):.2f} – {max(ratios):.2f})")
    if options.json:
        options.json.write_bytes(msgspec.json.encode({str(size): values for size, values in rounds.items()}))


if __name__ == "__main__":
    run()
