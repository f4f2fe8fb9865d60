"""Measure the CPU of a login over the pages beside one over the API, and of API logins beside another checkout.

    python -m bench.login_cost [--logins 400] [--rounds 5] [--against DIR]

A login by API is a code and its verification. A login over the pages is an authorization request, the forms of the
phone and of the code with their pages, and the code for the application; `tokens` is its exchange, signed with RS256.
CPU is that of this process and of PostgreSQL, apart, with real PostgreSQL and Valkey and the console provider. Logins
run 16 at a time. Rounds are processes of their own; with --against, API logins of the other checkout run in turn with
this one's. The ratio is that of the sums. Goal: API logins at most 1.02 of those before the pages existed.
"""

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path

import uvloop

from auth1.services import Services
from bench.accounts import cpu_s
from bench.request_cpu import settle, started_api
from bench.stage import Stage, set_up

ROOT = Path(__file__).parents[1]
CONCURRENCY = 16
WARM_UP = 100
MAX_RATIO = 1.02


async def cost_us(
    stage: Stage, services: Services, login: Callable[[], Awaitable[None]], logins: int
) -> tuple[float, float]:
    """Return the CPU of one login in µs, of this process and of PostgreSQL."""
    places = iter(range(logins))

    async def client() -> None:
        for _ in places:
            await login()

    server, postgres = time.process_time(), cpu_s(stage.postgres.pid)
    await asyncio.gather(*(client() for _ in range(CONCURRENCY)))
    await settle(services)
    server, postgres = time.process_time() - server, cpu_s(stage.postgres.pid) - postgres
    return server / logins * 1e6, postgres / logins * 1e6


async def measure(stage: Stage, logins: int, *, has_pages: bool) -> dict[str, tuple[float, float]]:
    """Measure each kind of login once, warm."""
    async with started_api(stage) as (api, services):

        async def by_api() -> None:
            await api.request(0)
            await api.verify(0)

        kinds: dict[str, Callable[[], Awaitable[None]]] = {"api": by_api}
        if has_pages:
            # A checkout from before the pages has no such module.
            pages = await import_module("bench.page_login").open_pages(api, services)
            kinds |= {"pages": pages.login, "tokens": pages.tokens}
        for login in kinds.values():
            await cost_us(stage, services, login, WARM_UP)
        gc.collect()
        gc.freeze()  # as `auth1 serve` does with what it has loaded
        return {kind: await cost_us(stage, services, login, logins) for kind, login in kinds.items()}


def run_once(checkout: Path, logins: int, *, has_pages: bool) -> dict[str, tuple[float, float]]:
    """Measure the sources of a checkout in a process of its own."""
    command = [sys.executable, "-P", __file__, "--once", "--logins", str(logins), *([] if has_pages else ["--api"])]
    done = subprocess.run(
        command,
        cwd=checkout,
        env={"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin"},
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return found


def show(name: str, found: list[tuple[float, float]]) -> None:
    """Print the medians of a kind of login, with minimum and maximum."""
    cells = [
        f"{statistics.median(values):7.0f} ({min(values):.0f} to {max(values):.0f})"
        for values in zip(*found, strict=True)
    ]
    print(f"{name:14} server {cells[0]}   PostgreSQL {cells[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.login_cost", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--logins", type=int, default=400, help="of each kind and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--api", action="store_true", help="logins by API alone")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        with set_up() as stage:
            print(json.dumps(uvloop.run(measure(stage, options.logins, has_pages=not options.api))))
        return
    ours: list[dict[str, tuple[float, float]]] = []
    theirs: list[tuple[float, float]] = []
    for _ in range(options.rounds):
        ours.append(run_once(ROOT, options.logins, has_pages=not options.api))
        if options.against:
            theirs.append(run_once(options.against.resolve(), options.logins, has_pages=False)["api"])
    print("CPU of a login in µs: median (least to most)")
    for kind in ours[0]:
        show(kind, [one[kind] for one in ours])
    if theirs:
        show("api, other", theirs)
        for place, name in enumerate(("server", "PostgreSQL")):
            pairs = [(one["api"][place], other[place]) for one, other in zip(ours, theirs, strict=True)]
            ratio = sum(one for one, _ in pairs) / sum(other for _, other in pairs)
            rounds = [one / other for one, other in pairs]
            print(f"API, {name}: ratio {ratio:.3f}, of rounds {min(rounds):.2f} to {max(rounds):.2f}; goal {MAX_RATIO}")


if __name__ == "__main__":
    main()
