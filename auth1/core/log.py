"""One JSON object per line on stdout, written by a thread of its own.

A terminal that is paused or a log collector that hangs must not stop logins: lines wait in a bounded queue, and when
that is full they are dropped and counted (`auth1_log_lines_dropped_total`).
"""

import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime

import msgspec

from auth1 import metrics

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
_QUEUE_LINES = 10_000
_OURS = f"{os.sep}auth1{os.sep}"
GATHER_S = 0.01  # lines of this time leave in one write: waking the thread for each costs more than the line

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Log:
    """Writes lines at or above `level`. Values are encoded as JSON, so no value can begin a line of its own."""

    def __init__(self, level: str = "info", descriptor: int | None = None) -> None:
        self._level = LEVELS[level]
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def debug(self, msg: str, **fields: object) -> None:
        self._add("debug", msg, fields)

    def info(self, msg: str, **fields: object) -> None:
        self._add("info", msg, fields)

    def warn(self, msg: str, **fields: object) -> None:
        self._add("warn", msg, fields)

    def error(self, msg: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Log a failure; of an exception its kind and where ours met it, not its text, which may hold values."""
        if error is not None:
            places = [frame for frame in traceback.extract_tb(error.__traceback__) if _OURS in frame.filename]
            place = f"{os.path.basename(places[-1].filename)}:{places[-1].lineno}" if places else None
            fields |= {"error": type(error).__qualname__, "at": place}
        self._add("error", msg, fields)

    def plain(self, line: str) -> None:
        """Write a line for a person as it is (`auth1 dev` and the console provider)."""
        self._put(line.encode() + b"\n")

    def close(self, wait_s: float = 1.0) -> None:
        """Write what is queued, for at most `wait_s`: the reader may be gone."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(wait_s)

    def _add(self, level: str, msg: str, fields: dict[str, object]) -> None:
        if LEVELS[level] >= self._level:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._put(_encode({"ts": now.replace("+00:00", "Z"), "level": level, "msg": msg, **fields}) + b"\n")

    def _put(self, line: bytes) -> None:
        if len(self._lines) >= _QUEUE_LINES:
            metrics.LOG_LINES_DROPPED.inc()
            return
        self._lines.append(line)
        if self._thread is None:
            # Started late, so that it is the thread of the process that logs and not of the one that forked it.
            self._thread = threading.Thread(target=self._write, name="log", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def _write(self) -> None:
        while True:
            self._wake.wait()
            if not self._closing:
                time.sleep(GATHER_S)
            self._wake.clear()
            while self._lines:
                rest = b"".join([self._lines.popleft() for _ in range(min(len(self._lines), 256))])
                while rest:
                    try:
                        rest = rest[os.write(self._descriptor, rest) :]
                    except BlockingIOError:
                        time.sleep(0.01)
                    except OSError:
                        break  # the reader has gone; there is nobody left to tell
            if self._closing:
                return


class JsonFormatter(logging.Formatter):
    """For libraries that log through `logging` (granian): the same form of line."""

    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level = {"WARNING": "warn", "CRITICAL": "error"}.get(record.levelname, record.levelname.lower())
        return _encode({"ts": now, "level": level, "msg": record.getMessage(), "logger": record.name}).decode()


class LogHandler(logging.Handler):
    """For libraries that log in a worker: the same form of line, without a traceback, and nobody waits for stdout."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        msg = record.getMessage().partition("\n")[0]  # what follows may quote values
        error = record.exc_info[1] if record.exc_info else None
        if record.levelno >= logging.ERROR:
            self._log.error(msg, error=error, logger=record.name)
        else:
            self._log.warn(msg, logger=record.name, error=type(error).__qualname__ if error else None)
