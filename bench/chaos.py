"""Log in through nginx and two instances during a sequence of faults.

    python -m bench.chaos [--seconds 60] [--rate 20] [--fault NAME] [--json]

Ten phases of `--seconds` each (`faults.py`): the default takes about ten minutes, `--seconds 6` one. `--fault`, which
may be repeated, chooses some of them. `--rate` logins
begin each second. A login is POST /api/auth/request, the code from the fake Twilio, and POST /api/auth/verify, for a
new number. The client retries nothing. When a connection fails, nginx repeats the request at the other instance, as
configured in ops/nginx.

For each phase it prints the requests, those that failed and how, and the latency of those that did not. In the end it
prints the messages that were acknowledged and never sent (lost), those that were sent more than once for one request
(doubled), and the memory of the workers before and after.
"""

import argparse
import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from time import perf_counter

import msgspec
import uvloop

from auth1.dev.processes import free_port
from bench.accounts import pss_mib
from bench.client import Response, exchange
from bench.faults import FAULTS, Fault, Site, rolling_restarts
from bench.nginx import nginx
from bench.phones import phones
from bench.stage import set_up

RECOVERY_S = 3.0  # between two phases, still under load and counted with the earlier one


class Phase(msgspec.Struct):
    """The measurements of one fault. Latencies in ms, of requests that succeeded."""

    name: str
    requests: int = 0
    failures: dict[str, int] = {}
    p50_ms: float = 0.0
    p99_ms: float = 0.0


class Report(msgspec.Struct):
    """All phases. Memory is the PSS of all workers in MiB."""

    phases: list[Phase]
    acknowledged: int
    lost: int
    doubled: int
    memory_before_mib: float
    memory_after_mib: float


class Load:
    """Logins at a steady rate, each on its own connections."""

    def __init__(self, port: int, codes_port: int, key: str, rate: float) -> None:
        self._port, self._codes_port, self._rate = port, codes_port, rate
        self._headers = f"host: localhost\r\ncontent-type: application/json\r\nx-api-key: {key}\r\n"
        self._numbers = phones()
        self._logins: set[asyncio.Task[None]] = set()
        self.acknowledged: set[str] = set()
        self.failures: Counter[str] = Counter()
        self.elapsed_s: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, started + number / self._rate - loop.time()))
            login = asyncio.create_task(self._log_in(next(self._numbers)))
            self._logins.add(login)
            login.add_done_callback(self._logins.discard)

    async def drain(self) -> None:
        await asyncio.gather(*self._logins)

    def take(self, name: str) -> Phase:
        """Return what was counted since the last call."""
        ordered = sorted(self.elapsed_s)
        phase = Phase(name, len(ordered) + self.failures.total(), dict(self.failures.most_common()))
        if ordered:
            phase.p50_ms, phase.p99_ms = (round(ordered[int(len(ordered) * part)] * 1000, 1) for part in (0.5, 0.99))
        self.failures.clear()
        self.elapsed_s.clear()
        return phase

    async def _log_in(self, phone: str) -> None:
        if await self._post("/api/auth/request", {"phone": phone}) is None:
            return
        self.acknowledged.add(phone)
        code = await exchange(self._codes_port, f"GET /codes/{phone} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        if code.status == 200:
            await self._post("/api/auth/verify", {"phone": phone, "code": code.body.decode()})
        else:
            self.failures["no code arrived"] += 1

    async def _post(self, path: str, body: dict[str, str]) -> Response | None:
        """Send a request and count its outcome; None when it failed."""
        raw = msgspec.json.encode(body)
        head = f"POST {path} HTTP/1.1\r\n{self._headers}content-length: {len(raw)}\r\n\r\n".encode()
        try:
            response = await exchange(self._port, head + raw)
        except TimeoutError:
            self.failures["timeout"] += 1
        except OSError as error:
            self.failures[type(error).__name__] += 1
        else:
            if response.status == 200:
                self.elapsed_s.append(response.elapsed_s)
                return response
            self.failures[_kind(response)] += 1
        return None


def _kind(response: Response) -> str:
    try:
        return f"{response.status} {response.json()['code']}"
    except (ValueError, KeyError):
        return f"{response.status} of nginx"


async def measure(site: Site, proxy_port: int, faults: Sequence[Fault], seconds: float, rate: float) -> Report:
    """Run phases under load."""
    for port in site.ports:
        await site.start(port)
    key = site.first.tenant()["api_key"]
    codes_port = site.stage.twilio.port
    load = Load(proxy_port, codes_port, key, rate)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(RECOVERY_S)
    load.take("warm-up")
    before = after = pss_mib(site.workers)
    phases = []
    for fault in faults:
        await fault(site, seconds)
        await asyncio.sleep(RECOVERY_S)
        phases.append(load.take(fault.__name__.replace("_", " ")))
        if fault is not rolling_restarts:
            after = pss_mib(site.workers)
        print(_line(phases[-1]), flush=True)
    running.cancel()
    await load.drain()
    counts = (await exchange(codes_port, b"GET /counts HTTP/1.1\r\nhost: localhost\r\n\r\n")).json()
    lost = sum(1 for phone in load.acknowledged if not counts.get(phone))
    doubled = sum(1 for count in counts.values() if count > 1)
    return Report(phases, len(load.acknowledged), lost, doubled, round(before, 1), round(after, 1))


def _line(phase: Phase) -> str:
    failures = ", ".join(f"{count} × {kind}" for kind, count in phase.failures.items()) or "none"
    return f"| {phase.name} | {phase.requests} | {failures} | {phase.p50_ms} | {phase.p99_ms} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos", description="Log in while one thing after the other fails."
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the ten phases (default: 60)")
    parser.add_argument("--rate", type=float, default=20.0, help="logins that begin each second (default: 20)")
    names = {fault.__name__: fault for fault in FAULTS}
    parser.add_argument("--fault", action="append", choices=names, help="run this one (default: all)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, too")
    options = parser.parse_args()
    started = perf_counter()
    with set_up() as stage:
        ports = (free_port(), free_port())
        with nginx(stage.directory / "nginx", ports) as proxy:
            chosen = [fault for name, fault in names.items() if name in (options.fault or names)]
            report = uvloop.run(_run(Site(stage, ports), proxy.port, chosen, options.seconds, options.rate))
    print(
        f"{report.acknowledged} messages acknowledged, {report.lost} lost, {report.doubled} doubled. "
        f"Memory of the workers: {report.memory_before_mib} MiB before, {report.memory_after_mib} MiB after. "
        f"{perf_counter() - started:.0f} s."
    )
    if options.json:
        print(msgspec.json.encode(report).decode())


async def _run(site: Site, proxy_port: int, faults: Sequence[Fault], seconds: float, rate: float) -> Report:
    print("| fault | requests | failures | p50 ms | p99 ms |\n|---|---|---|---|---|", flush=True)
    try:
        return await measure(site, proxy_port, faults, seconds, rate)
    finally:
        await site.close()


if __name__ == "__main__":
    main()
