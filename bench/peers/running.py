"""Start a service of the comparison, and read the codes that it prints."""

import asyncio
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from auth1.dev.processes import free_port, launch, send, wait_until
from bench.accounts import family
from bench.client import Connection, Phone, Response, expect
from bench.peers import Peer
from bench.stage import Stage, StageError

START_S = 60.0
STOP_S = 10.0
CODE_S = 10.0
_MESSAGE = re.compile(rb"message to (\+\d+)[^\n]*?code is: (\d+)")


class CodeReader(Protocol):
    """A way to read the code that was sent to a number."""

    async def read(self, number: str) -> str: ...


class PrintedCodes:
    """The codes that a service prints."""

    def __init__(self, log: Path) -> None:
        self._file = log.open("rb")
        self._rest = b""
        self._codes: dict[str, str] = {}

    async def read(self, number: str) -> str:
        """Wait for the code of a number and return it once. Raises TimeoutError after 10 s."""
        until = perf_counter() + CODE_S
        while number not in self._codes:
            if perf_counter() > until:
                raise TimeoutError(f"no code for {number}")
            self._rest += self._file.read()
            lines, _, self._rest = self._rest.rpartition(b"\n")
            self._codes.update((found[1].decode(), found[2].decode()) for found in _MESSAGE.finditer(lines))
            if number not in self._codes:
                await asyncio.sleep(0.002)
        return self._codes.pop(number)


class TwilioCodes:
    """The codes that the fake Twilio received, read one after another on one connection."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._turn = asyncio.Lock()

    async def read(self, number: str) -> str:
        async with self._turn:
            return await self._phone.read(number)


@dataclass
class Running:
    """A started service, and how to read its codes."""

    peer: Peer
    port: int
    pid: int
    cold_start_s: float
    log: Path
    twilio_port: int | None = None  # None: the service prints its codes

    async def codes(self) -> CodeReader:
        if self.twilio_port is None:
            return PrintedCodes(self.log)
        return TwilioCodes(await Phone.at(self.twilio_port))

    async def request(self, connection: Connection, number: str) -> str:
        response = expect(await connection.send(self.peer.request(number)), self.peer.request_status)
        return self.peer.requested(response)

    async def verify(self, connection: Connection, number: str, code: str, requested: str) -> str:
        return self.peer.verified(expect(await connection.send(self.peer.verify(number, code, requested)), 200))

    async def check(self, connection: Connection, verified: str) -> Response:
        return expect(await connection.send(self.peer.check(verified)), 200)


@contextmanager
def start(stage: Stage, peer: Peer, twilio_port: int | None = None) -> Iterator[Running]:
    """Start a service and wait until it responds. Raises StageError when it does not."""
    port = free_port()
    environment = {"PORT": str(port), "HOST": "127.0.0.1", **peer.environment}
    if peer.prepare:
        subprocess.run(peer.prepare, env=environment, check=True)
    log = stage.directory / f"{peer.name.replace(' ', '-')}.log"
    began = perf_counter()
    command = [shutil.which("env") or "env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    process = launch(
        [*command, *(part.format(port=port) for part in peer.command)],
        log=log,
        keep_open=[],
        death_signal=signal.SIGTERM,
    )
    try:
        if not wait_until(lambda: process.poll() is not None or _responds(port), START_S) or process.poll() is not None:
            raise StageError(f"{peer.name} did not start:\n{log.read_text()[-2000:]}")
        yield Running(peer, port, process.pid, perf_counter() - began, log, twilio_port)
    finally:
        tree = family(process.pid)
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            for pid in tree:
                send(pid, signal.SIGKILL)
            process.wait()


def _responds(port: int) -> bool:
    async def ask() -> None:
        async with asyncio.timeout(2):
            connection = await Connection.open(port)
            await connection.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            connection.close()

    try:
        asyncio.run(ask())
    except (OSError, TimeoutError):
        return False
    return True
