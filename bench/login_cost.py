"""Measure the CPU of a login over the pages beside one over the API, and of API logins beside another checkout.

    python -m bench.login_cost [--logins 400] [--rounds 5] [--against DIR]

A login by API is a code and its verification. A login over the pages is an authorization request, the forms of the
phone and of the code with their pages, and the code for the application; `rendering` is the HTML of its three pages
alone; `tokens` is the exchange of the code, signed with RS256. CPU is that of this process and of PostgreSQL, apart,
with real PostgreSQL and Valkey and the console provider. Logins run 16 at a time. Rounds are processes of their own;
with --against, logins of the other checkout run in turn with this one's, by the `bench/page_login.py` that it has. An
older one has no `rendering`, or no login over the pages; these lines are then left out for it. Ratios are those of the
sums. Goals: a login over the pages at most twice one by API plus the rendering in the server, 2.5 times in PostgreSQL;
API logins at most 1.02 of the other checkout's.
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
Costs = dict[str, tuple[float, float]]  # by kind of login: of the server and of PostgreSQL, in µs


async def cost_us(
    stage: Stage, services: Services, login: Callable[[], Awaitable[None]], logins: int
) -> tuple[float, float]:
    """Return the CPU of one login in µs, of this process and of PostgreSQL."""
    places = iter(range(logins))

    async def client() -> None:
        for _ in places:
            await login()

    postgres = cpu_s(stage.postgres.pid)
    server = time.process_time()  # after the call above, which reads the files of all processes
    await asyncio.gather(*(client() for _ in range(CONCURRENCY)))
    await settle(services)
    server = time.process_time() - server
    postgres = cpu_s(stage.postgres.pid) - postgres
    return server / logins * 1e6, postgres / logins * 1e6


async def measure(stage: Stage, logins: int, *, has_pages: bool) -> Costs:
    """Measure each kind of login once, warm."""
    async with started_api(stage) as (api, services):

        async def by_api() -> None:
            await api.request(0)
            await api.verify(0)

        kinds: dict[str, Callable[[], Awaitable[None]]] = {"api": by_api}
        if has_pages:
            # A checkout from before the pages has no such module.
            pages = await import_module("bench.page_login").open_pages(api, services)
            kinds["pages"] = pages.login
            if hasattr(pages, "rendering"):  # an older module has none
                kinds["rendering"] = pages.rendering
            kinds["tokens"] = pages.tokens
        for login in kinds.values():
            await cost_us(stage, services, login, WARM_UP)
        gc.collect()
        gc.freeze()  # as `auth1 serve` does with what it has loaded
        return {kind: await cost_us(stage, services, login, logins) for kind, login in kinds.items()}


def run_once(checkout: Path, logins: int, *, has_pages: bool) -> Costs:
    """Measure the sources of a checkout in a process of its own."""
    command = [sys.executable, "-P", __file__, "--once", "--logins", str(logins), *([] if has_pages else ["--api"])]
    done = subprocess.run(
        command,
        cwd=checkout,
        env={"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin"},
        check=True,
        stdout=subprocess.PIPE,
    )
    found: Costs = json.loads(done.stdout)
    return found


def show(name: str, found: list[tuple[float, float]]) -> None:
    """Print the medians of a kind of login, with minimum and maximum."""
    cells = [
        f"{statistics.median(values):7.0f} ({min(values):.0f} to {max(values):.0f})"
        for values in zip(*found, strict=True)
    ]
    print(f"{name:14} server {cells[0]}   PostgreSQL {cells[1]}")


def show_pages(name: str, costs: list[Costs]) -> None:
    """Print the ratios of logins over the pages to logins by API, in the server without the rendering if known."""
    api, pages = ([total(costs, kind, place) for place in (0, 1)] for kind in ("api", "pages"))
    has_rendering = "rendering" in costs[0]
    server = (pages[0] - (total(costs, "rendering", 0) if has_rendering else 0)) / api[0]
    text = "without" if has_rendering else "with"
    print(f"pages{name}: server {text} rendering {server:.2f} of the API, PostgreSQL {pages[1] / api[1]:.2f}")


def show_ratios(ours: list[Costs], theirs: list[Costs]) -> None:
    """Print the ratios to another checkout, with those of the rounds."""
    for kind in [kind for kind in ours[0] if kind in theirs[0]]:
        for place, name in enumerate(("server", "PostgreSQL")):
            if not total(theirs, kind, place):
                continue
            ratio = total(ours, kind, place) / total(theirs, kind, place)
            rounds = [one[kind][place] / other[kind][place] for one, other in zip(ours, theirs, strict=True)]
            goal = f"; goal {MAX_RATIO}" if kind == "api" else ""
            print(f"{kind}, {name}: ratio {ratio:.3f}, of rounds {min(rounds):.2f} to {max(rounds):.2f}{goal}")


def total(costs: list[Costs], kind: str, place: int) -> float:
    """Return the sum over rounds: of the server (place 0) or of PostgreSQL (1)."""
    return sum(one[kind][place] for one in costs)


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
    checkouts = [ROOT, *([options.against.resolve()] if options.against else [])]
    rounds: list[list[Costs]] = [[] for _ in checkouts]
    for _ in range(options.rounds):
        for checkout, costs in zip(checkouts, rounds, strict=True):
            has_pages = not options.api and (checkout / "bench" / "page_login.py").exists()
            costs.append(run_once(checkout, options.logins, has_pages=has_pages))
    print("CPU of a login in µs: median (least to most)")
    for name, costs in zip(("", ", other"), rounds, strict=False):
        for kind in costs[0]:
            show(kind + name, [one[kind] for one in costs])
        if "pages" in costs[0]:
            show_pages(name, costs)
    if options.against:
        show_ratios(*rounds)


if __name__ == "__main__":
    main()
