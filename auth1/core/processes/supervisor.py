"""Worker processes: start them, replace crashed ones, stop them.

granian's own supervision is not used. It ends the service when a worker crashes twice within 5.5 s. It also waits for
each worker in two threads. One of them does not get the exit status, takes the stopped worker for a running one, and
reports that it "refused to gracefully stop". Here one thread waits, and only crashes of a worker count against it.
"""

import os
import signal
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from time import monotonic
from types import FrameType

from auth1.core.processes import signals
from auth1.core.telemetry.log import Log

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 5.0
STABLE_S = 10.0  # a worker that has lived this long has started
MAX_FAILED_STARTS = 6
KILL_AFTER_S = 25.0


class Worker:
    """One place of a worker: the process in it, and when to start the next one."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: BaseProcess | None = None
        self.started_at = 0.0
        self.start_at = 0.0
        self.quick_exits = 0

    def delay_s(self) -> float:
        """Return the seconds to wait before the next start: 0 after the first exit, then doubling."""
        if self.quick_exits <= 1:
            return 0.0
        return float(min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (self.quick_exits - 2)))


class Supervisor:
    """Keeps `count` workers running; `spawn` makes the process of a place, not yet started."""

    def __init__(self, spawn: Callable[[int], BaseProcess], count: int, log: Log) -> None:
        self._spawn = spawn
        self._log = log
        self._workers = [Worker(index) for index in range(count)]
        self._failed_starts = 0
        self._stopping = False
        self._wake, self._woken = os.pipe()

    def run(self, on_stop: Callable[[], None]) -> bool:
        """Supervise until SIGTERM, SIGINT or SIGHUP. Returns False when no worker can start.

        `on_stop` runs before the workers stop.
        """
        self._handle_signals()
        while not self._stopping and self._failed_starts < MAX_FAILED_STARTS:
            now = monotonic()
            for worker in self._workers:
                if worker.process is None and worker.start_at <= now:
                    self._start(worker)
            self._wait(self._next_event_s(now))
            for worker in self._workers:
                self._collect(worker)
        can_start = self._stopping
        on_stop()
        self._stop_all()
        return can_start

    def _handle_signals(self) -> None:
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, worker: Worker) -> None:
        worker.process = self._spawn(worker.index)
        worker.started_at = monotonic()
        with signals.blocked_in_children():
            worker.process.start()

    def _next_event_s(self, now: float) -> float | None:
        """Return the seconds until a worker is due to start or counts as started; None when there is none."""
        due = [worker.start_at for worker in self._workers if worker.process is None]
        if self._failed_starts:
            due += [worker.started_at + STABLE_S for worker in self._workers if worker.process is not None]
        return max(0.0, min(due) - now) if due else None

    def _wait(self, timeout_s: float | None) -> None:
        """Wait until a process ends, a signal arrives or the time is over."""
        sentinels = [worker.process.sentinel for worker in self._workers if worker.process is not None]
        ready = connection.wait([*sentinels, self._wake], timeout_s)
        if self._wake in ready:
            os.read(self._wake, 4096)

    def _collect(self, worker: Worker) -> None:
        """Reap a worker that has ended and set the time of its successor's start."""
        process = worker.process
        if process is None:
            return
        lived_s = monotonic() - worker.started_at
        if process.exitcode is None:
            if lived_s >= STABLE_S:
                worker.quick_exits = self._failed_starts = 0
            return
        code = process.exitcode
        process.close()
        worker.process = None
        if self._stopping:
            return
        worker.quick_exits = worker.quick_exits + 1 if lived_s < STABLE_S else 1
        if code >= 0 and lived_s < STABLE_S:  # a signal from outside says nothing about whether it can start
            self._failed_starts += 1
        delay_s = worker.delay_s()
        worker.start_at = monotonic() + delay_s
        cause = {"exit_code": code} if code >= 0 else {"signal": signal.Signals(-code).name}
        self._log.error("worker exited", worker=worker.index + 1, restart_in_s=delay_s, **cause)

    def _stop_all(self) -> None:
        """Stop all workers: SIGUSR2 and SIGTERM, after a second SIGUSR1, and SIGKILL when the time is over."""
        self._stopping, started = True, monotonic()
        self._signal(signals.DRAIN)
        self._signal(signal.SIGTERM)
        steps = [(started + signals.FINISH_AFTER_S, self._finish), (started + KILL_AFTER_S, self._kill)]
        while any(worker.process is not None for worker in self._workers):
            if steps and steps[0][0] <= monotonic():
                steps.pop(0)[1]()
            self._wait(max(0.0, steps[0][0] - monotonic()) if steps else None)
            for worker in self._workers:
                self._collect(worker)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            # Not yet reaped, so the pid is still its own.
            if worker.process is not None and worker.process.pid is not None:
                os.kill(worker.process.pid, number)

    def _finish(self) -> None:
        self._signal(signals.FINISH)

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                self._log.warn("worker did not stop in time and is killed", worker=worker.index + 1)
        self._signal(signal.SIGKILL)
