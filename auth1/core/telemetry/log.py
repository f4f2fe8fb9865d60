"""Log lines on stdout, formatted and written by a thread of their own: JSON for machines, or text for people.

A paused terminal or a stalled log collector must not stop requests. Lines wait in a bounded queue; when it is full they
are dropped and counted (`auth1_log_lines_dropped_total`). A request adds a tuple to the queue, a tenth of the cost of
its line. So the fields of a line must not change after the call.
"""

import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from auth1 import metrics
from auth1.core.telemetry import tracing
from auth1.core.telemetry.log_text import TextFormat

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
GATHER_S = 0.01  # lines of this time leave in one write: waking the thread costs more than a line
_QUEUE_LINES = 10_000
_BATCH_LINES = 64  # formatted at a time: the event loop waits for the interpreter meanwhile
_OURS = f"{os.sep}auth1{os.sep}"

_Line = tuple[float, str, str, dict[str, object]]

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Log:
    """Writes lines at or above `level`, and events where `events` is set. No value can begin a line of its own."""

    def __init__(
        self,
        level: str = "info",
        descriptor: int | None = None,
        *,
        format: Literal["json", "text"] = "json",  # noqa: A002  # the name that operators know it by
        events: bool = True,
    ) -> None:
        self._level = LEVELS[level]
        self._events = events
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._text = TextFormat(color=_has_color(self._descriptor)) if format == "text" else None
        self._format: Callable[[dict[str, object]], bytes] = self._text.line if self._text else _encode
        # Lines, unless they are finished: seconds since 1970, level, message, fields.
        self._lines: deque[bytes | _Line] = deque()
        self._second = (-1, "")  # the last second that a line began with, and its text
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
        """Log a failure. Of an exception, log its kind and place in our code; its text may contain values."""
        if error is not None:
            places = [frame for frame in traceback.extract_tb(error.__traceback__) if _OURS in frame.filename]
            place = f"{os.path.basename(places[-1].filename)}:{places[-1].lineno}" if places else None
            fields |= {"error": type(error).__qualname__, "at": place}
        self._add("error", msg, fields)

    def event(self, **fields: object) -> None:
        """Log an event, whatever the level is."""
        if self._events:
            self._write_line("info", "event", fields)

    def record(self, msg: str, **fields: object) -> None:
        """Log a line that must not be lost, whatever the level is."""
        self._write_line("info", msg, fields)

    def message(self, to: str, text: str) -> None:
        """Print a message that no provider sends (`auth1 dev` and the console provider)."""
        self._put((self._text.message(to, text) if self._text else f"\n  message to {to}: {text}\n").encode() + b"\n")

    def close(self, wait_s: float = 1.0) -> None:
        """Write the queued lines, for at most `wait_s`: the reader may not read."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(wait_s)

    def _add(self, level: str, msg: str, fields: dict[str, object]) -> None:
        if LEVELS[level] >= self._level:
            self._write_line(level, msg, fields)

    def _write_line(self, level: str, msg: str, fields: dict[str, object]) -> None:
        if (trace := tracing.current()) is not None:
            fields["trace_id"] = trace.trace_id
        self._put((time.time(), level, msg, fields))

    def _put(self, line: bytes | _Line) -> None:
        if len(self._lines) >= _QUEUE_LINES:
            metrics.LOG_LINES_DROPPED.inc()
            return
        self._lines.append(line)
        if self._thread is None:
            # Started late, so that the thread belongs to the process that logs, not to its parent.
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
                lines = [self._lines.popleft() for _ in range(min(len(self._lines), _BATCH_LINES))]
                rest = b"".join([line if isinstance(line, bytes) else self._formatted(line) for line in lines])
                while rest:
                    try:
                        rest = rest[os.write(self._descriptor, rest) :]
                    except BlockingIOError:
                        time.sleep(0.01)
                    except OSError:
                        break  # the reader has closed the pipe
            if self._closing:
                return

    def _formatted(self, line: _Line) -> bytes:
        at, level, msg, fields = line
        try:
            return self._format({"ts": self._timestamp(at), "level": level, "msg": msg, **fields}) + b"\n"
        except Exception as error:  # one line must not end the thread that writes all others
            cause = {"line": msg, "error": type(error).__qualname__}
            return _encode({"ts": self._timestamp(at), "level": "error", "msg": "log line failed", **cause}) + b"\n"

    def _timestamp(self, at: float) -> str:
        """Return RFC 3339 with milliseconds. Lines of one second share its text."""
        second, fraction = divmod(at, 1)
        if second != self._second[0]:
            self._second = (int(second), datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{int(fraction * 1000):03d}Z"


def _has_color(descriptor: int) -> bool:
    """Return whether a descriptor is a terminal that shows colours (no-color.org)."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class LibraryFormatter(logging.Formatter):
    """Formats the lines that a library (granian) writes to stdout through `logging` like Auth1's."""

    def __init__(self, format: Literal["json", "text"]) -> None:  # noqa: A002  # the name that operators know it by
        super().__init__()
        text = TextFormat(color=_has_color(sys.stdout.fileno())) if format == "text" else None
        self._line: Callable[[dict[str, object]], bytes] = text.line if text else _encode

    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level = {"WARNING": "warn", "CRITICAL": "error"}.get(record.levelname, record.levelname.lower())
        return self._line({"ts": now, "level": level, "msg": record.getMessage(), "logger": record.name}).decode()


class LogHandler(logging.Handler):
    """Passes warnings and errors of libraries to our log, without a traceback."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        msg = record.getMessage().partition("\n")[0]  # the rest may quote values
        error = record.exc_info[1] if record.exc_info else None
        if record.levelno >= logging.ERROR:
            self._log.error(msg, error=error, logger=record.name)
        else:
            self._log.warn(msg, logger=record.name, error=type(error).__qualname__ if error else None)
