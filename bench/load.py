"""Load a server with logins, in a closed or an open loop.

    just ceiling [--closed 32 | --rate 40] [--shape steady|morning|launch|attack] [--seconds 60] [--workers 1]
                 [--json FILE] [--svg FILE]

A flow requests a code for a new number, reads it from the fake Twilio, verifies it, and checks the session's token.

--closed: that many users log in one after the other, each without a pause. This shows the highest throughput. Its
latencies are those of a queue that is never longer than the number of users.
--rate: flows arrive at times that do not depend on responses. Latency counts from the time at which a flow was due, not
from the time at which its request was sent: a server that stalls gets worse latencies, not fewer requests. Without
--closed, the rate follows `--shape` (`shapes.py`); `--rate` is its highest rate.

In the shape "attack", seven of ten arrivals are attacks: wrong codes, unknown tokens, unknown keys, malformed bodies,
and codes for one number again and again. Their expected responses are errors. Latencies are those of the flows only.
"""

import argparse
import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter

import msgspec
import uvloop

from bench import svg
from bench.accounts import cpu_s
from bench.client import Connection, Phone, Response
from bench.machine import machine_line
from bench.measure import percentiles
from bench.phones import phones
from bench.shapes import SHAPES, arrivals
from bench.stage import Serving, Stage, set_up
from bench.wire import Wire

CONNECTIONS = 256  # at most; a flow that waits for one is late
IDLE_S = 2.0  # the server closes connections that are idle for 5 s
WINDOWS = 20
ATTACK_SHARE = 0.7
VICTIM = "+12015550199"


class Window(msgspec.Struct, frozen=True):
    """The measurements of one part of the run: latencies in ms, of whole flows."""

    begins_s: float
    due: int
    done: int
    failed: int
    p50_ms: float
    p99_ms: float


class Report(msgspec.Struct, frozen=True):
    """A run. Latencies in ms: of each request of the flows, and of flows from the time at which they were due."""

    shape: str
    flows_per_s: float
    cpu_ms: dict[str, float]  # per flow, of server, PostgreSQL and Redis
    latencies_ms: dict[str, tuple[float, float]]  # p50 and p99, by request
    statuses: dict[str, int]  # by request and status
    windows: list[Window]


class Flow:
    """The state of a run: what the flows do, and what they measured."""

    def __init__(self, wire: Wire, numbers: Iterator[str] | None = None) -> None:
        self.wire = wire
        self.times: dict[str, list[float]] = {"request": [], "verify": [], "check": [], "flow": []}
        self.statuses: Counter[str] = Counter()
        self.flows: list[tuple[float, float, bool]] = []  # when it was due, how long it took, whether it passed
        self._numbers = numbers or phones()

    async def run(self, api: Connection, phone: Phone, due: float) -> None:
        """Log in a new number; latencies of the first request and of the flow count from `due`.

        Raises ConnectionError after it has counted the flow as failed: the connection is of no use any more.
        """
        passed = False
        try:
            passed = await self._log_in(api, phone, due)
        except ConnectionError:
            self.statuses["connection lost"] += 1
            raise
        finally:
            took = perf_counter() - due
            self.times["flow"].append(took)
            self.flows.append((due, took, passed))

    async def _log_in(self, api: Connection, phone: Phone, due: float) -> bool:
        number = next(self._numbers)
        if self._note("request", await api.send(self.wire.request(number)), perf_counter() - due):
            code = await phone.read(number)
            verified = await api.send(self.wire.verify(number, code))
            if self._note("verify", verified, verified.elapsed_s):
                checked = await api.send(self.wire.check(verified.json()["token"]))
                return self._note("check", checked, checked.elapsed_s)
        return False

    async def attack(self, api: Connection) -> None:
        """Send one request of an attacker."""
        name = random.choice(list(ATTACKS))
        response = await api.send(ATTACKS[name](self.wire))
        self.statuses[f"{name} {response.status}"] += 1

    def _note(self, name: str, response: Response, took: float) -> bool:
        self.times[name].append(took)
        self.statuses[f"{name} {response.status}"] += 1
        return response.status == 200


ATTACKS: dict[str, Callable[[Wire], bytes]] = {
    "wrong code": lambda wire: wire.verify(VICTIM, f"{random.randrange(10**6):06}"),
    "unknown token": lambda wire: wire.check("eyJhbGciOiJIUzI1NiJ9.e30.AAAA"),
    "unknown key": lambda wire: Wire("auth1_pk_unknown").request(VICTIM),
    "malformed body": lambda wire: wire.post("/api/auth/request", "not an object"),
    "code for one number": lambda wire: wire.request(VICTIM),
}


class Pool:
    """Connections to the server, and to the phone that receives codes; opened when they are needed."""

    def __init__(self, port: int, codes_port: int) -> None:
        self._ports = (port, codes_port)
        self._free: list[tuple[float, Connection, Phone]] = []  # with the time of the last response
        self._places = asyncio.Semaphore(CONNECTIONS)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[Connection, Phone]]:
        """Yield a pair. One that failed, or that the server may be closing as idle, is not used again."""
        async with self._places:
            if self._free and self._free[-1][0] < perf_counter() - IDLE_S:
                self.close()
            if self._free:
                _, api, phone = self._free.pop()
            else:
                api, phone = await Connection.open(self._ports[0]), await Phone.at(self._ports[1])
            try:
                yield api, phone
            except BaseException:
                api.close()
                phone.close()
                raise
            self._free.append((perf_counter(), api, phone))

    def close(self) -> None:
        while self._free:
            _, api, phone = self._free.pop()
            api.close()
            phone.close()


async def closed_loop(flow: Flow, pool: Pool, users: int, seconds: float) -> None:
    """Let users log in one login after another, until the time is over."""
    end = perf_counter() + seconds

    async def user() -> None:
        while perf_counter() < end:
            with suppress(ConnectionError):
                async with pool.connection() as (api, phone):
                    await flow.run(api, phone, perf_counter())

    await asyncio.gather(*(user() for _ in range(users)))


async def open_loop(flow: Flow, pool: Pool, shape: str, rate: float, seconds: float) -> None:
    """Start flows at the times of a shape, whatever the responses do, and wait for all of them."""
    started = perf_counter()
    running: set[asyncio.Task[None]] = set()

    async def arrive(due: float) -> None:
        with suppress(ConnectionError):
            async with pool.connection() as (api, phone):
                if shape == "attack" and random.random() < ATTACK_SHARE:
                    await flow.attack(api)
                else:
                    await flow.run(api, phone, due)

    for moment in arrivals(SHAPES[shape], rate, seconds):
        due = started + moment
        if (wait_s := due - perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        task = asyncio.create_task(arrive(due))
        running.add(task)
        task.add_done_callback(running.discard)
        if len(running) > 10 * CONNECTIONS:
            raise RuntimeError("the server is too slow for this rate: its queue has 2,560 flows")
    await asyncio.gather(*running)


async def load(stage: Stage, server: Serving, closed: int, shape: str, rate: float, seconds: float) -> Report:
    """Run one load on a server and return its report."""
    pool = Pool(server.port, stage.twilio.port)
    await closed_loop(Flow(Wire(server.tenant()["api_key"])), pool, 8, 1.0)
    flow = Flow(Wire(server.tenant()["api_key"]))
    roots = {"server": server.pid, "PostgreSQL": stage.postgres.pid, "Redis": stage.redis.pid}
    before = {name: cpu_s(pid) for name, pid in roots.items()}
    started = perf_counter()
    if closed:
        await closed_loop(flow, pool, closed, seconds)
    else:
        await open_loop(flow, pool, shape, rate, seconds)
    elapsed_s = perf_counter() - started
    flows = max(1, len(flow.flows))
    used = {name: (cpu_s(pid) - before[name]) * 1000 / flows for name, pid in roots.items()}
    pool.close()
    return Report(
        shape=f"closed, {closed} users" if closed else f"{shape}, at most {rate:g} arrivals/s",
        flows_per_s=len(flow.flows) / elapsed_s,
        cpu_ms=used,
        latencies_ms={name: percentiles(times) for name, times in flow.times.items() if times},
        statuses=dict(sorted(flow.statuses.items())),
        windows=windows(flow, started, elapsed_s),
    )


def windows(flow: Flow, started: float, elapsed_s: float) -> list[Window]:
    """Divide the run into parts by the time at which flows were due."""
    length = elapsed_s / WINDOWS
    by_window = itertools.groupby(
        sorted(flow.flows), key=lambda one: min(WINDOWS - 1, int((one[0] - started) / length))
    )
    result = []
    for number, group in by_window:
        members = list(group)
        p50, p99 = percentiles([took for _, took, _ in members])
        passed = sum(is_passed for _, _, is_passed in members)
        result.append(Window(number * length, len(members), passed, len(members) - passed, p50, p99))
    return result


def table(report: Report) -> str:
    """Format a report as text."""
    cpu = ", ".join(f"{name} {value:.2f}" for name, value in report.cpu_ms.items())
    lines = [
        f"{report.shape}: {report.flows_per_s:.0f} flows/s",
        f"CPU per flow, ms: {sum(report.cpu_ms.values()):.2f} ({cpu})",
        *(f"{name:8} p50 {p50:8.1f} ms   p99 {p99:8.1f} ms" for name, (p50, p99) in report.latencies_ms.items()),
        "responses: " + ", ".join(f"{name}: {number}" for name, number in report.statuses.items()),
        f"{'from, s':>8}{'flows':>8}{'failed':>8}{'p50, ms':>10}{'p99, ms':>10}",
        *(f"{w.begins_s:8.1f}{w.due:8}{w.failed:8}{w.p50_ms:10.1f}{w.p99_ms:10.1f}" for w in report.windows),
    ]
    return "\n".join(lines)


def draw(report: Report, file: Path) -> None:
    """Draw the run: its rate and its latencies."""
    parts = report.windows
    length = parts[1].begins_s - parts[0].begins_s if len(parts) > 1 else 1.0
    svg.write(
        file,
        [part.begins_s for part in parts],
        {
            "flows per second": {"due": [p.due / length for p in parts], "failed": [p.failed / length for p in parts]},
            "latency of a flow, ms": {"p50": [p.p50_ms for p in parts], "p99": [p.p99_ms for p in parts]},
        },
    )


def run() -> None:
    """Load a server and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--closed", type=int, default=0, metavar="USERS", help="a closed loop of so many users")
    parser.add_argument("--rate", type=float, default=40.0, help="arrivals per second, at most")
    parser.add_argument("--shape", choices=list(SHAPES), default="steady")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=1, help="WORKERS of the server")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    parser.add_argument("--svg", type=Path, help="draw the report into this file")
    options = parser.parse_args()
    with set_up() as stage, stage.serve(WORKERS=str(options.workers)) as server:
        report = uvloop.run(load(stage, server, options.closed, options.shape, options.rate, options.seconds))
    print(f"{machine_line()}\n{table(report)}")
    if options.json:
        options.json.write_bytes(msgspec.json.encode(report))
    if options.svg:
        draw(report, options.svg)


if __name__ == "__main__":
    run()
