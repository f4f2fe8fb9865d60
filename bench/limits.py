"""Compare the server with the limits of what it is built on, in alternating rounds of one run.

    just limits [--operations 2000] [--rounds 5] [--json FILE]

    empty         granian with an application that does nothing (`empty.py`)
    Auth1         one worker; messages are printed (the console provider)
    pgbench       the same statements, prepared, one row each, 16 clients: `request` opens a challenge and records the
                  delivery, `verify` submits the code, `check` finds a session
    redis         redis-benchmark with the script of the rate limits, 16 clients (Debian: redis-tools; else left out)

A check is GET /api/auth/me: cold, when Redis does not know the session, and warm, when it does. Rates are of 32
connections. CPU is of the server, and of PostgreSQL or Redis where they are used, without the clients.

TIMEOUT_SCALE is 10, so that a busy machine rejects no request. Group commit lets Auth1 be faster than pgbench, because
rows that arrive together share a statement. The clients use the same cores as the servers: compare the ratios.
"""

import argparse
import asyncio
import re
import shutil
import signal
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter

import asyncpg
import msgspec
import uvloop

from auth1.core.redis import Script
from auth1.dev.processes import HOST, exchange, free_port, launch, port_obstacle, wait_until
from bench.accounts import ROOT, cpu_s
from bench.client import Connection, Response, expect
from bench.machine import machine_line
from bench.pgbench import CLIENTS, Scripts
from bench.phones import phones
from bench.stage import Serving, Stage, StageError, set_up
from bench.wire import Wire, get, post

CONNECTIONS = 32
REFRESHES = 500  # at most 600 requests a minute are allowed from one address
TRANSACTIONS = 256 * CLIENTS  # of pgbench: its connections are new, and first compile the functions
_CODE = re.compile(r"message to (\+\d+)[^\n]*?code is: (\d+)")
# The rows of performance goals: a rate of Auth1 divided by its limit.
RATIOS = (
    ("request/s, to pgbench", "Auth1 request", "pgbench request"),
    ("verify/s, to pgbench", "Auth1 verify", "pgbench verify"),
    ("check/s warm, to an empty application", "Auth1 check warm", "empty GET"),
    ("check/s cold, to an empty application", "Auth1 check cold", "empty GET"),
)


class Measured(msgspec.Struct, frozen=True):
    """One phase of a round: operations per second, and CPU in µs per operation."""

    per_s: float
    cpu_us: float


Rounds = dict[str, list[Measured]]


class Bench:
    """The servers of a run, and the results."""

    def __init__(self, stage: Stage, server: Serving, empty: tuple[int, int], operations: int) -> None:
        self._stage = stage
        self._server = server
        self._empty_port, self._empty_pid = empty
        self._operations = operations
        self._numbers = phones()
        self._log = (stage.directory / f"auth1-{server.port}.log").open()
        tenant = server.tenant()
        self._wire = Wire(tenant["api_key"])
        self._scripts = Scripts(tenant["tenant_id"], stage.directory)
        self._base = 0
        self.rounds: Rounds = defaultdict(list)

    async def round(self) -> None:
        """Measure everything once."""
        count = self._operations
        await self._send("empty GET", self._empty_port, [self._empty_pid], [get("/")] * count)
        await self._send(
            "empty POST", self._empty_port, [self._empty_pid], [post("/", {"phone": "+12025550100"})] * count
        )
        await self._auth1(count)
        for name in self._scripts.texts:
            await self._pgbench(name)
        self._redis("redis 1 key", ["ratelimit:{a__rand_int__}:ip"])
        self._redis(
            "redis 3 keys", [f"ratelimit:{{a}}:{name}:__rand_int__" for name in ("tenant", "identifier", "prefix")]
        )

    async def _auth1(self, count: int) -> None:
        port, pids = self._server.port, [self._server.pid, self._stage.postgres.pid, self._stage.redis.pid]
        numbers = list(islice(self._numbers, count))
        await self._send("Auth1 request", port, pids, [self._wire.request(number) for number in numbers])
        codes = await self._codes(set(numbers))
        verify = [self._wire.verify(number, codes[number]) for number in numbers]
        logins = [response.json() for response in await self._send("Auth1 verify", port, pids, verify)]
        exchange(self._stage.redis.port, b"FLUSHALL\r\n", b"+OK")
        checks = [self._wire.check(login["token"]) for login in logins]
        await self._send("Auth1 check cold", port, pids, checks)
        await self._send("Auth1 check warm", port, pids, checks)
        exchange(self._stage.redis.port, b"FLUSHALL\r\n", b"+OK")  # the rate limit of polling has no setting
        refresh = [self._wire.refresh(login["refresh_token"]) for login in logins[:REFRESHES]]
        await self._send("Auth1 refresh", port, pids, refresh)

    async def _codes(self, numbers: set[str]) -> dict[str, str]:
        """Return the codes that the console provider has printed, of all numbers."""
        codes: dict[str, str] = {}
        rest = ""
        while numbers - codes.keys():
            rest += self._log.read()
            codes |= dict(_CODE.findall(rest))
            await asyncio.sleep(0.05)
        return codes

    async def _send(self, name: str, port: int, pids: Sequence[int], requests: Sequence[bytes]) -> list[Response]:
        """Send requests over all connections, and note rate and CPU. Raises UnexpectedResponse."""
        connections = [await Connection.open(port) for _ in range(CONNECTIONS)]
        responses: list[Response | None] = [None] * len(requests)
        todo = iter(enumerate(requests))

        async def work(connection: Connection) -> None:
            for number, request in todo:  # shared: each connection takes the next one
                responses[number] = expect(await connection.send(request), 200)

        before, started = sum(map(cpu_s, pids)), perf_counter()
        await asyncio.gather(*map(work, connections))
        elapsed_s = perf_counter() - started
        await asyncio.sleep(0.02)  # logs and metrics of the last requests are written
        self._note(name, len(requests) / elapsed_s, (sum(map(cpu_s, pids)) - before) / len(requests))
        for connection in connections:
            connection.close()
        return [response for response in responses if response is not None]

    async def _pgbench(self, name: str) -> None:
        pid, url = self._stage.postgres.pid, self._stage.environment["DATABASE_URL"]
        if name == "request":
            self._base += 10**9
        before = cpu_s(pid)
        per_s = await asyncio.to_thread(self._scripts.run, name, url, self._base, TRANSACTIONS)
        self._note(f"pgbench {name}", per_s, (cpu_s(pid) - before) / TRANSACTIONS)

    def _redis(self, name: str, keys: Sequence[str]) -> None:
        program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
        if program is None:
            return
        count, pid = 10 * self._operations, self._stage.redis.pid
        limits = ["1000000", "3600000"] * len(keys)
        script = ["EVALSHA", Script.load("ratelimit_acquire").sha1, str(len(keys)), *keys, *limits]
        options = ["-h", HOST, "-p", str(self._stage.redis.port), "-c", "16", "-n", str(count), "-r", "100000", "--csv"]
        before = cpu_s(pid)
        done = subprocess.run([program, *options, *script], capture_output=True, text=True, check=True)
        found = re.findall(r'"(\d+\.\d+)"', done.stdout)
        self._note(name, float(found[0]), (cpu_s(pid) - before) / count)

    def _note(self, name: str, per_s: float, cpu: float) -> None:
        self.rounds[name].append(Measured(per_s, cpu * 1e6))

    async def check_pgbench(self) -> None:
        """Check that pgbench's transactions did their work, and analyse the tables. Raises StageError."""
        connection = await asyncpg.connect(self._stage.environment["DATABASE_URL"])
        sessions, users = [
            await connection.fetchval(f"select count(*) from {table}") for table in ("sessions", "users")
        ]
        await connection.execute("analyze")
        await connection.close()
        if sessions != users or sessions < self._operations + 0.9 * TRANSACTIONS:
            raise StageError(f"pgbench did not log in: {sessions} sessions, {users} users")


@contextmanager
def empty_application(directory: Path) -> Iterator[tuple[int, int]]:
    """Run granian with the empty application; yield its port and process id."""
    port = free_port()
    options = ["--interface", "asgi", "--host", HOST, "--port", str(port), "--workers", "1", "--no-ws", "--http", "1"]
    command = [sys.executable, "-m", "granian", *options, "--working-dir", str(ROOT), "bench.empty:app"]
    process = launch(command, log=directory / "empty.log", keep_open=[], death_signal=signal.SIGTERM)
    try:
        if not wait_until(lambda: bool(port_obstacle(port)), 20.0):
            raise StageError((directory / "empty.log").read_text())
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def table(rounds: Rounds) -> str:
    """Format rates, CPU and ratios as text: medians, with the range of the rounds."""
    lines = [f"{'':38}{'per s':>9}{'range':>18}{'CPU µs':>9}{'range':>16}"]
    for name, values in rounds.items():
        rates, cpus = [one.per_s for one in values], [one.cpu_us for one in values]
        lines.append(
            f"{name:38}{statistics.median(rates):9.0f}{f'{min(rates):.0f} – {max(rates):.0f}':>18}"
            f"{statistics.median(cpus):9.0f}{f'{min(cpus):.0f} – {max(cpus):.0f}':>16}"
        )
    lines.append(f"\n{'ratios within each round':38}{'of rates':>9}{'range':>18}{'of CPU':>9}")
    for title, ours, limit in RATIOS:
        pairs = list(zip(rounds[ours], rounds[limit], strict=True))
        ratios = [one.per_s / other.per_s for one, other in pairs]
        cpu = statistics.median(other.cpu_us / one.cpu_us for one, other in pairs)
        lines.append(
            f"{title:38}{statistics.median(ratios):9.2f}{f'{min(ratios):.2f} – {max(ratios):.2f}':>18}{cpu:9.2f}"
        )
    return "\n".join(lines)


async def measure(bench: Bench, rounds: int) -> None:
    """Warm up, analyse the tables as autovacuum would, and run the rounds."""
    await bench.round()
    await bench.check_pgbench()
    for _ in range(rounds):
        await bench.round()
    for values in bench.rounds.values():
        del values[0]  # the warm-up: plans are cached, tables have grown from nothing


def run() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=2000, help="per round and phase")
    parser.add_argument("--rounds", type=int, default=5, help="after one round of warm-up")
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    options = parser.parse_args()
    with ExitStack() as stack:
        stage = stack.enter_context(set_up())
        server = stack.enter_context(stage.serve(WORKERS="1", SMS_PROVIDERS="console", TIMEOUT_SCALE="10"))
        empty = stack.enter_context(empty_application(stage.directory))
        bench = Bench(stage, server, empty, options.operations)
        uvloop.run(measure(bench, options.rounds))
    print(f"{machine_line()}\n{table(bench.rounds)}")
    if options.json:
        options.json.write_bytes(msgspec.json.encode(bench.rounds))


if __name__ == "__main__":
    run()
