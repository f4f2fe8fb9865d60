"""The program as an operator runs it: a process with an environment and a log, stopped with the test."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

import auth1
from auth1.dev.processes import LAUNCH, children, free_port
from tests.support import described
from tests.support.api_client import ADMIN_TOKEN
from tests.support.commands import command_server
from tests.support.forks import Process

CODE = Path(auth1.__file__).parents[1]
STOP_S = 30.0
START_S = 300.0  # generous: nothing here measures the machine

_slugs = itertools.count(1)


class Auth1:
    """`python -m auth1 serve`, or another command line, on a free port of 127.0.0.1.

    `async with` starts it, waits for the first answer of /health, and ends it with all its children, however they are.
    `prefix` is a command that runs ours (`sh -c 'ulimit …; exec "$@"'`); `stdout` replaces the log file.
    `serve` with one worker is a fork of a process that has imported it, which saves a second of CPU. Where the start
    itself is tested, `new_interpreter` starts it as an operator does.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        *,
        arguments: Sequence[str] = ("serve",),
        prefix: Sequence[str] = (),
        stdout: int | None = None,
        new_interpreter: bool = False,
    ) -> None:
        self.port = int(environment.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._environment = {"HOST": "127.0.0.1", **environment, "PORT": str(self.port), "PYTHONPATH": str(CODE)}
        self._environment.setdefault("PATH", os.environ["PATH"])
        self._arguments = (*prefix, sys.executable, "-m", "auth1", *arguments)
        self._stdout = stdout
        is_plain = not prefix and tuple(arguments) == ("serve",) and environment.get("WORKERS", "1") == "1"
        self._is_fork = is_plain and not new_interpreter and not _coverage()
        self.process: Process
        self.client: httpx.AsyncClient

    def spawn(self) -> None:
        """Start the process in its own process group and return immediately."""
        with self.log.open("ab") as log:
            stdout = log.fileno() if self._stdout is None else self._stdout
            if self._is_fork:
                self.process = command_server().serve(self._environment, self.log.parent, log.fileno(), stdout)
            else:
                self.process = self._execute(log.fileno(), stdout)
        limits = httpx.Limits(max_keepalive_connections=0)  # a killed worker must not fail the next request too
        # Without TLS, whose authorities would take a while to load.
        self.client = httpx.AsyncClient(base_url=self.url, timeout=300, limits=limits, trust_env=False, verify=False)
        self.client.event_hooks["response"].append(described.hold)

    def _execute(self, log: int, stdout: int) -> Process:
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(signal.SIGTERM)), "ourselves"]
        environment = self._environment | _coverage()
        program = shutil.which(self._arguments[0])
        assert program is not None, self._arguments[0]
        return subprocess.Popen(
            [*launch, program, *self._arguments[1:]],
            env=environment,
            cwd=self.log.parent,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=log,
            process_group=0,
        )

    async def __aenter__(self) -> Self:
        self.spawn()
        try:
            await until(self.answers, START_S, lambda: f"no answer; the log:\n{self.text()}")
        except BaseException:
            self.end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()
        self.end()

    def end(self) -> None:
        """Kill the whole process group, including workers that outlived the main process."""
        if _coverage() and self.process.poll() is None:
            self.process.terminate()  # a process that ends by itself saves its coverage
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    async def exit_code(self, timeout_s: float = START_S) -> int:
        """Wait for the process to end; return its exit code."""
        await until(lambda: self.process.poll() is not None, timeout_s, lambda: f"still runs:\n{self.text()}")
        return self.process.wait()

    @property
    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        return children(self.process.pid)

    async def kill_worker(self, pid: int | None = None) -> None:
        """Kill a worker and wait until another has replaced it."""
        before = self.workers
        os.kill(pid or before[0], signal.SIGKILL)
        await until(lambda: len(set(self.workers) - {pid or before[0]}) == len(before), START_S, self.text)

    def text(self) -> str:
        """Return everything that it printed."""
        return self.log.read_text(errors="replace")

    def lines(self, msg: str) -> list[dict[str, Any]]:
        """Return its log lines with a message."""
        found = []
        for line in self.text().splitlines():
            with suppress(msgspec.DecodeError):
                decoded = msgspec.json.decode(line)
                if isinstance(decoded, dict) and decoded.get("msg") == msg:
                    found.append(decoded)
        return found

    async def post(self, path: str, body: object, key: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={"x-api-key": key})

    async def operator(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call the admin API."""
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.client.request(method, path, headers=headers, **arguments)

    async def ask(self, phone: str, key: str) -> httpx.Response:
        """Request a code."""
        return await self.post("/api/auth/request", {"phone": phone}, key)

    async def answer(self, phone: str, code: str, key: str) -> httpx.Response:
        """Verify a code."""
        return await self.post("/api/auth/verify", {"phone": phone, "code": code}, key)

    async def status(self, path: str) -> int:
        """Return the status of a GET request."""
        return (await self.client.get(path)).status_code

    async def tenant(self, **settings: object) -> dict[str, Any]:
        """Create a tenant; return the response of POST /api/admin/tenants."""
        slug = f"t{time.time_ns()}-{next(_slugs)}"
        answer = await self.operator(
            "POST", "/api/admin/tenants", {"name": "My App", "slug": slug, "settings": settings}
        )
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of a metric with these labels."""
        text = (await self.client.get("/metrics")).text
        return float(sum(sample.value for sample in _samples(text) if _fits(sample, name, labels)))

    async def answers(self) -> bool:
        """Return whether the process responds. Fail when it has ended."""
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.text()}"
        if not _listens(self.port):  # cheaper than a request that fails
            return False
        with suppress(httpx.TransportError):
            return await self.status("/health") in (200, 503)
        return False


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _samples(text: str) -> Iterator[Any]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _fits(sample: Any, name: str, labels: dict[str, str]) -> bool:
    return bool(sample.name == name and labels.items() <= sample.labels.items())


def _coverage() -> dict[str, str]:
    """Return the variables by which `just coverage` also measures the processes that tests start."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]],
    timeout_s: float = START_S,
    explain: Callable[[], str] = lambda: "it never came to hold",
) -> float:
    """Poll until the condition holds, and return the time in seconds. Fail on a timeout."""
    started = time.monotonic()
    while True:
        outcome = condition()
        if outcome is True or (not isinstance(outcome, bool) and await outcome):
            return time.monotonic() - started
        assert time.monotonic() - started < timeout_s, explain()
        await asyncio.sleep(0.02)
