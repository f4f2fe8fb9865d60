"""A server process and the directory it lives in.

    data_dir/server.lock   locked by the server and all its children: it, not a pid, says whether one of them lives
    data_dir/server.log    what they printed, start after start

Errors:

    ServerError
    ├── ServerNotFound     no program to run
    ├── AlreadyRunning     another server has this directory
    └── PortBusy           another program has this port
"""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, Signals
from types import TracebackType
from typing import ClassVar, Self

from auth1.dev import processes
from auth1.dev.processes import HOST, wait_until

START_S = 30.0
STOP_S = 15.0
LOCK_S = 2.0  # how long the server of a killed parent may take to finish its shutdown
LOG_TAIL_LINES = 15
LOG_MAX_BYTES = 8 * 1024 * 1024


class ServerError(Exception):
    """A server could not be started, or is not running."""


class ServerNotFound(ServerError):
    """The server's program is not on this machine."""


class AlreadyRunning(ServerError):
    """The directory is in use by a running server."""


class PortBusy(ServerError):
    """The port cannot be listened on."""


class LocalServer(ABC):
    """A server on 127.0.0.1. A context manager: starts on entry, stops on exit. Its methods are for one thread."""

    name: ClassVar[str]
    stop_signal: ClassVar[Signals]  # sent by stop(), and by the kernel when our process ends

    def __init__(self, data_dir: Path, port: int | None) -> None:
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / "server.log"
        self._lock_file = self.data_dir / "server.lock"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []
        self._waker: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _spawn(self, port: int, lock: int) -> subprocess.Popen[bytes]:
        """Find the program, make the directory fit to be served, begin to run the server."""

    @abstractmethod
    def _answers(self, pid: int, port: int) -> bool:
        """Return whether this process, not another one on its port, serves clients."""

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1: the given one, or else the first start chooses it; kept ever after."""
        if self._port is None:
            raise ServerError(f"{self.name} has no port before its first start")
        return self._port

    @property
    def pid(self) -> int:
        """The main process. Raises ServerError when none runs."""
        if self._process is None or not self.running:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Say whether the main process lives; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it responds. Data of an earlier start are kept.

        Raises ServerError or one of its kinds. A start that fails carries the end of the log and leaves no process.
        """
        if not self.running:
            self.kill()  # buries one that has ended by itself
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = self._take_lock()
        try:
            if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
                self.log.replace(self.log.with_suffix(".log.old"))
            self._start_on_some_port(lock)
        except BaseException:
            self._end()
            raise
        finally:
            os.close(lock)  # from now on only the server holds it

    def stop(self) -> None:
        """Shut down in order, after 15 s by force. Does nothing when it is not running."""
        if self._process is not None and self.running:
            self.thaw()
            self._process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """Crash it: SIGKILL to all its processes at once. Data and port are kept for the next start."""
        if self._process is not None:
            self._end()
            # A child of a killed server may need a moment more to end, and the next start must not meet it.
            wait_until(lambda: not processes.is_locked(self._lock_file), STOP_S)

    def freeze(self) -> None:
        """Stop all its processes in their tracks: clients connect, and hang. Does nothing when it is frozen."""
        if not self._frozen:
            self._frozen = processes.hold_still(self.pid)
            self._waker = processes.wake_at_our_death(self._frozen)

    def thaw(self) -> None:
        """Let a frozen server go on. Does nothing when it is not frozen."""
        for pid in self._frozen:
            processes.send(pid, SIGCONT)
        if self._waker is not None:
            self._waker.kill()
            self._waker.communicate()
        self._frozen, self._waker = [], None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self) -> None:
        """Leave no process behind, by force."""
        if self._process is None:
            return
        for pid in processes.hold_still(self._process.pid) if self.running else self._frozen:
            processes.send(pid, SIGKILL)
        self._process.wait()
        self._process = None
        self.thaw()

    def _take_lock(self) -> int:
        lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        if wait_until(lambda: processes.try_lock(lock), 0 if self.running else LOCK_S):
            os.ftruncate(lock, 0)
            return lock
        pid = os.pread(lock, 20, 0).decode() or "not known yet"
        os.close(lock)
        raise AlreadyRunning(f"{self.name} already runs in {self.data_dir} (process {pid}): stop that one first")

    def _start_on_some_port(self, lock: int) -> None:
        while True:
            port = self._port or processes.free_port()
            if obstacle := processes.port_obstacle(port):
                raise PortBusy(f"{self.name} cannot listen on {HOST}, port {port}: {obstacle}")
            try:
                self._start_on(port, lock)
            except ServerError:
                self._end()  # after this, a busy port belongs to another program that took it first
                if self._port or not processes.port_obstacle(port):
                    raise
            else:
                self._port = port
                return

    def _start_on(self, port: int, lock: int) -> None:
        beginning = self._log_size()
        self._process = process = self._spawn(port, lock)
        os.pwrite(lock, str(process.pid).encode(), 0)
        if not wait_until(lambda: process.poll() is not None or self._answers(process.pid, port), START_S):
            raise self._failure(f"did not answer within {START_S:.0f} s", beginning)
        if process.poll() is not None:
            raise self._failure(f"ended with status {process.returncode} instead of starting", beginning)

    def _run(self, command: Sequence[str], *, keep_open: Sequence[int], identity: str) -> int:
        """Run a program of the server's to its end, and return its status."""
        process = processes.launch(
            command, log=self.log, keep_open=keep_open, death_signal=Signals.SIGTERM, identity=identity
        )
        try:
            return process.wait(START_S)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"{command[0]} did not end within {START_S:.0f} s") from error
        finally:
            process.kill()
            process.wait()

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _failure(self, what: str, beginning: int) -> ServerError:
        """Say what happened, with the end of what was logged since the log had `beginning` bytes."""
        tail = self.log.read_bytes()[beginning:].decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return ServerError("\n  ".join([f"{self.name} {what}. The end of {self.log}:", *tail]))
