"""Processes that `fork_server` forks, with the methods of `subprocess.Popen` that the tests use."""

import os
import select
import signal
import socket
import subprocess
from typing import Protocol


class Process(Protocol):
    """A `subprocess.Popen`, or a `Fork`."""

    @property
    def pid(self) -> int:
        """The process id."""

    @property
    def returncode(self) -> int | None:
        """The exit code; negative after a signal; null while it runs."""

    def poll(self) -> int | None:
        """Return the exit code, or null while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Fork:
    """A fork, whose parent sends its process id, and its exit code when it ends."""

    def __init__(self, answer: socket.socket) -> None:
        self.returncode: int | None = None
        self._answer = answer
        self._received = b""
        while b"\n" not in self._received:
            self._receive()
        line, _, self._received = self._received.partition(b"\n")
        self.pid = int(line)

    def poll(self) -> int | None:
        """Return the exit code, or null while it runs."""
        while self.returncode is None and select.select([self._answer], [], [], 0)[0]:
            self._receive()
            self._read_code()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code. Raises subprocess.TimeoutExpired."""
        while self.returncode is None:
            if not select.select([self._answer], [], [], timeout)[0]:
                assert timeout is not None
                raise subprocess.TimeoutExpired(["auth1"], timeout)
            self._receive()
            self._read_code()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _receive(self) -> None:
        received = self._answer.recv(64)
        assert received, "the process that forks has ended"
        self._received += received

    def _read_code(self) -> None:
        line, end, _ = self._received.partition(b"\n")
        if end:
            self.returncode = int(line)
            self._answer.close()
