"""Run `auth1 …` in a process that `fork_server` forks."""

import asyncio
import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

import auth1
from tests.support.forks import Fork

CODE = Path(auth1.__file__).parents[1]
PATIENCE_S = 300.0


class Ended(NamedTuple):
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Return the output as exactly one JSON object."""
        return msgspec.json.decode(self.out, type=dict[str, Any])


class CommandServer:
    """Runs commands; `with` starts and ends it. Any number of commands may run at once."""

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CODE)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        self._process.wait()

    def serve(self, environment: Mapping[str, str], directory: Path, log: int, stdout: int) -> Fork:
        """Start `auth1 serve` as the leader of a process group, in exactly this environment."""
        request = {"arguments": ["serve"], "environment": dict(environment), "directory": str(directory)}
        ours, answer = socket.socketpair()
        with answer, open(os.devnull, "rb") as nothing:
            streams = [nothing.fileno(), stdout, log, answer.fileno()]
            socket.send_fds(self._control, [json.dumps(request).encode()], streams)
        return Fork(ours)

    async def run(self, arguments: Sequence[str], environment: dict[str, str]) -> Ended:
        """Run a command without stdin in exactly this environment."""
        return await asyncio.to_thread(self._run, arguments, environment)

    def _run(self, arguments: Sequence[str], environment: dict[str, str]) -> Ended:
        request = json.dumps({"arguments": arguments, "environment": environment}).encode()
        ours, answer = socket.socketpair()
        with (
            ours,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            open(os.devnull, "rb") as nothing,
        ):
            with answer:
                streams = [nothing.fileno(), out.fileno(), err.fileno(), answer.fileno()]
                socket.send_fds(self._control, [request], streams)
            ours.settimeout(PATIENCE_S)
            code = _exit_code(ours)
            out.seek(0)
            err.seek(0)
            return Ended(code, out.read().decode(), err.read().decode())


@functools.cache
def command_server() -> CommandServer:
    """Return the server of this process, which ends with it."""
    server = CommandServer().__enter__()
    atexit.register(server.__exit__, None, None, None)
    return server


def _exit_code(answer: socket.socket) -> int:
    """Read the process id and the exit code of a command, which is killed if it hangs."""
    with answer.makefile("r") as lines:
        pid = int(lines.readline())
        try:
            return int(lines.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
