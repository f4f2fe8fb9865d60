"""Measure the CPU that Auth1 itself uses for one request, in this process, without a server in front.

    python -m bench.request_cpu [--requests 1000] [--rounds 5] [--only me introspect] [--against DIR]
                                [--python FILE] [--json]

Requests run 32 at a time on uvloop, with the console provider, real PostgreSQL and Valkey. The output is the CPU of
this process (all threads) in µs per request: the median of the rounds, with minimum and maximum. A round is the least
of three batches. With --against, a second checkout that has this script runs in turn with this one; with --python, a
second interpreter. The last column is the ratio of the medians, ours to the other. Sessions are cached in Valkey,
except those of `me_cold`, which reads each session once.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from auth1.app import build_app, relax_collector, start_services, stop_services
from auth1.config.settings import load_settings
from auth1.core.telemetry.log import Log
from auth1.fraud import verification
from auth1.messaging.providers.protocol import OutgoingMessage
from auth1.services import Services
from auth1.tenants import service
from auth1.tenants.schemas import TenantIn
from auth1.tenants.settings import TenantSettings
from bench.accounts import ROOT
from bench.machine import machine_line
from bench.phones import phones
from bench.stage import POLICY, SETTINGS, Stage, set_up

CONCURRENCY = 32
WARM_UP = 200
BATCHES = 3
OPERATIONS = ("request", "verify", "me", "introspect")
PATIENT = {"TIMEOUT_SCALE": "10", "REDIS_CALL_TIMEOUT_MS": "2000"}  # other programs may use the cores meanwhile
Operation = Callable[[int], Awaitable[None]]
Times = dict[str, list[float]]
_CODE = re.compile(r"\b[0-9]{6}\b")


class Api:
    """An application in this process, one tenant, and the users that have logged in."""

    def __init__(self, app: Any, api_key: str, secret_key: str, codes: dict[str, str]) -> None:
        self._app = app
        self._api_key = (b"x-api-key", api_key.encode())
        self._secret_key = (b"x-api-key", secret_key.encode())
        self._codes = codes
        self._numbers: Iterator[str] = phones()
        self._waiting: list[str] = []
        self._tokens: list[str] = []

    async def set_policy(self) -> None:
        """Set the fraud policy of measurements."""
        body = msgspec.json.encode(POLICY)
        content = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self._call("PUT", "/api/tenant/fraud/policy", [*content, self._secret_key], body)

    async def request(self, _: int) -> None:
        number = next(self._numbers)
        await self._post("/api/auth/request", b'{"phone":"%b"}' % number.encode(), self._api_key)
        self._waiting.append(number)

    async def verify(self, _: int) -> None:
        number = self._waiting.pop()
        body = b'{"phone":"%b","code":"%b"}' % (number.encode(), self._codes.pop(number).encode())
        self._tokens.append(json.loads(await self._post("/api/auth/verify", body, self._api_key))["token"])

    async def me(self, number: int) -> None:
        bearer = (b"authorization", b"Bearer " + self._token(number).encode())
        await self._call("GET", "/api/auth/me", [self._api_key, bearer])

    async def me_cold(self, _: int) -> None:
        bearer = (b"authorization", b"Bearer " + self._tokens.pop().encode())
        await self._call("GET", "/api/auth/me", [self._api_key, bearer])

    async def introspect(self, number: int) -> None:
        body = b'{"token":"%b"}' % self._token(number).encode()
        await self._post("/api/auth/introspect", body, self._secret_key)

    def _token(self, number: int) -> str:
        return self._tokens[number % WARM_UP]

    async def _post(self, path: str, body: bytes, key: tuple[bytes, bytes]) -> bytes:
        content = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        return await self._call("POST", path, [*content, key], body)

    async def _call(self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "client": ("127.0.0.1", 4000),
            "headers": [(b"host", b"localhost:3000"), (b"accept", b"*/*"), *headers],
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        if sent[0]["status"] != 200:
            raise RuntimeError(f"{sent[0]['status']} {sent[1]['body']}")
        answer: bytes = sent[1]["body"]
        return answer


async def cpu_us(operation: Operation, requests: int, afterwards: Operation) -> float:
    """Return the CPU of one request in µs, with that of the work which it leaves to the background."""
    numbers = iter(range(requests))

    async def client() -> None:
        for number in numbers:
            await operation(number)

    started = time.process_time()
    await asyncio.gather(*(client() for _ in range(CONCURRENCY)))
    await afterwards(requests)
    return (time.process_time() - started) / requests * 1e6


@asynccontextmanager
async def started_api(stage: Stage) -> AsyncIterator[tuple[Api, Services]]:
    """Start an application in this process, without background jobs, with a tenant of high limits."""
    settings = load_settings({**stage.environment, **PATIENT, "SMS_PROVIDERS": "console"})
    nowhere = os.open(os.devnull, os.O_WRONLY)
    log = Log(settings.log_level, nowhere)
    codes: dict[str, str] = {}

    async def on_console(message: OutgoingMessage) -> None:
        codes[message.to] = _CODE.findall(message.text)[0]

    relax_collector()
    app = build_app(settings, log)
    app.services = await start_services(settings, log, background=False, on_console=on_console)
    try:
        tenant_in = TenantIn(name="Bench", slug="bench", settings=msgspec.convert(SETTINGS, TenantSettings))
        tenant = await service.create_tenant(app.services, tenant_in)
        api = Api(app, tenant.api_key, tenant.secret_key, codes)
        await api.set_policy()
        yield api, app.services
    finally:
        await stop_services(app.services)
        os.close(nowhere)


async def settle(services: Services) -> None:
    """Do the work that requests leave to the background, except that of events."""
    await verification.settle(services)
    await services.limiter.flush_releases()
    await services.decisions.flush()


async def measure(stage: Stage, requests: int, only: Sequence[str]) -> dict[str, float]:
    """Run each operation, warm; return its CPU per request."""
    async with started_api(stage) as (api, services):

        async def afterwards(_: int) -> None:
            await settle(services)

        operations = {one.__name__: one for one in (api.request, api.verify, api.me, api.introspect, api.me_cold)}
        for operation in (api.request, api.verify, api.me, api.introspect):
            await cpu_us(operation, WARM_UP, afterwards)
        found: Times = {}
        for _ in range(BATCHES):
            for name in only:
                found.setdefault(name, []).append(await cpu_us(operations[name], requests, afterwards))
        return {name: min(times) for name, times in found.items()}


def run_once(checkout: Path, python: str, requests: int, only: Sequence[str]) -> dict[str, float]:
    """Measure a checkout in a process of its own."""
    command = [python, "-m", "bench.request_cpu", "--once", "--requests", str(requests), "--only", *only]
    done = subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(times: list[Times]) -> str:
    """Format the results: one line per operation, one column per checkout, then the ratio of the medians."""
    lines = ["CPU in µs per request: median (least to most)"]
    for operation in times[0]:
        medians = [statistics.median(one[operation]) for one in times]
        cells = [
            f"{median:9.0f} ({min(one[operation]):.0f} to {max(one[operation]):.0f})"
            for median, one in zip(medians, times, strict=True)
        ]
        ratio = f"   ratio {medians[0] / medians[1]:.2f}" if len(medians) > 1 else ""
        lines.append(f"{operation:12}" + "   ".join(cells) + ratio)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.request_cpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1000, help="requests of each kind and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*OPERATIONS, "me_cold"], default=OPERATIONS)
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--python", help="another interpreter, measured in turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        with set_up() as stage:
            print(json.dumps(uvloop.run(measure(stage, options.requests, options.only))))
        return
    variants = [(ROOT, sys.executable)]
    if options.against or options.python:
        variants.append((options.against or ROOT, options.python or sys.executable))
    times: list[Times] = [{} for _ in variants]
    for _ in range(options.rounds):
        for variant, found in zip(variants, times, strict=True):
            for operation, us in run_once(*variant, options.requests, options.only).items():
                found.setdefault(operation, []).append(us)
    print(json.dumps(times) if options.json else f"{machine_line()}\n{table(times)}")


if __name__ == "__main__":
    main()
