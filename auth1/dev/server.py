"""A server process and its directory.

    data_dir/server.lock   locked by the server and all its children while any of them runs; a pid would not show that
    data_dir/server.log    the output of all starts

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
LOCK_S = 2.0  # the time in which the server of a killed parent finishes its shutdown
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
    """A server on 127.0.0.1, and a context manager that starts and stops it. Use it from one thread."""

    name: ClassVar[str]
    stop_signal: ClassVar[Signals]  # sent by stop(), and by the kernel when our process ends

    def __init__(self, data_dir: Path, port: int | None) -> None:
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / "server.log"
        self._lock_file = self.data_dir / "server.lock"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []
        self._watcher: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _spawn(self, port: int, lock: int) -> subprocess.Popen[bytes]:
        """Find the program, prepare the directory, and start the server."""

    @abstractmethod
    def _answers(self, pid: int, port: int) -> bool:
        """Return whether this process serves clients on the port, and not another process."""

    @property
    def port(self) -> int:
        """Return the TCP port: the given one, or one that the first start chooses. It does not change after that."""
        if self._port is None:
            raise ServerError(f"{self.name} has no port before its first start")
        return self._port

    @property
    def pid(self) -> int:
        """Return the pid of the main process. Raises ServerError when it is not running."""
        if self._process is None or not self.running:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Return whether the main process is running. A frozen process counts as running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, and return when it responds. Data of earlier starts are kept.

        Raises ServerError or a subclass, with the end of the log. After a failed start no process remains.
        """
        if not self.running:
            self.kill()  # reap a process that has ended by itself
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
            os.close(lock)  # the server has inherited it

    def stop(self) -> None:
        """Shut the server down; kill it after 15 s. Does nothing when it is not running."""
        if self._process is not None and self.running:
            self.thaw()
            self._process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """Crash the server: send SIGKILL to all its processes. Data and port are kept for the next start."""
        if self._process is not None:
            self._end()
            # Children of a killed server end a moment later. The next start must wait for them.
            wait_until(lambda: not processes.is_locked(self._lock_file), STOP_S)

    def freeze(self) -> None:
        """Stop all processes of the server with SIGSTOP: clients connect, and get no response. Thaw it with `thaw`."""
        if not self._frozen:
            self._frozen = processes.stop_tree(self.pid)
            self._watcher = processes.resume_frozen_at_exit(self._frozen)

    def thaw(self) -> None:
        """Continue a frozen server. Does nothing when it is not frozen."""
        for pid in self._frozen:
            processes.send(pid, SIGCONT)
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
        self._frozen, self._watcher = [], None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self) -> None:
        """Kill all processes of the server."""
        if self._process is None:
            return
        for pid in processes.stop_tree(self._process.pid) if self.running else self._frozen:
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
                self._end()  # if the port is busy after this, another program uses it
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
        """Run a program of the server until it ends, and return its exit status."""
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
        """Return an error with the end of the lines that were logged after the first `beginning` bytes."""
        tail = self.log.read_bytes()[beginning:].decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return ServerError("\n  ".join([f"{self.name} {what}. The end of {self.log}:", *tail]))
