"""Log lines for people: time, level, message, then the fields; messages set off, with their codes and links in bold."""

import re
from datetime import datetime

import msgspec

_BOLD, _DIM, _RED, _GREEN, _YELLOW, _CYAN, _RESET = (f"\033[{n}m" for n in ("1", "2", "31", "32", "33", "36", "0"))
_LEVEL_COLORS = {"debug": _DIM, "info": _GREEN, "warn": _YELLOW, "error": _RED}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # could forge or hide a line
_PLAIN = re.compile(r"[^\s\"'=]+")
_MARK = re.compile(r"https?://[^\s<>\"]+|(?<![\w+.])\d{4,12}(?![\w])")
_SERVER_ERRORS, _CLIENT_ERRORS = 500, 400


class TextFormat:
    """Formats lines as text, in colour where the terminal shows it."""

    def __init__(self, *, color: bool) -> None:
        self._color = color

    def line(self, fields: dict[str, object]) -> bytes:
        """Format one log line."""
        rest = dict(fields)
        time = datetime.fromisoformat(str(rest.pop("ts"))).astimezone().strftime("%H:%M:%S")
        level, msg = str(rest.pop("level")), str(rest.pop("msg"))
        head = f"{self._paint(time, _DIM)} {self._paint(f'{level:5}', _LEVEL_COLORS[level])} "
        if msg == "request" and "status" in rest:
            text = self._request(rest)
        elif msg == "event" and "type" in rest:
            text = f"{self._paint(_clean(str(rest.pop('type'))), _CYAN)} {_clean(str(rest.pop('subject', '')))}"
            rest = {name: rest[name] for name in ("actor", "data") if rest.get(name)}
        else:
            text = _clean(msg)
        tail = "  ".join(
            self._paint(f"{name}={_value(value)}", _DIM) for name, value in rest.items() if value is not None
        )
        return f"{head}{text}{'  ' if tail else ''}{tail}".encode()

    def message(self, to: str, text: str) -> str:
        """Format a message as a block of its own."""
        bar = self._paint("│", _CYAN)
        lines = [_clean(line) for line in text.splitlines()]
        body = "\n".join(f"  {bar} {_MARK.sub(lambda mark: self._paint(mark[0], _BOLD), line)}" for line in lines)
        return f"\n  {self._paint(f'message to {_clean(to)}:', _CYAN)}\n{body}\n"

    def _request(self, rest: dict[str, object]) -> str:
        status = int(str(rest.pop("status")))
        color = _RED if status >= _SERVER_ERRORS else _YELLOW if status >= _CLIENT_ERRORS else _GREEN
        method, route = _clean(str(rest.pop("method", ""))), _clean(str(rest.pop("route", "")))
        duration = rest.pop("duration_ms", None)
        took = "" if duration is None else self._paint(f" {duration} ms", _DIM)
        rest.pop("request_id", None)
        return f"{self._paint(str(status), color)} {method} {route}{took}"

    def _paint(self, text: str, color: str) -> str:
        return f"{color}{text}{_RESET}" if self._color else text


def _clean(text: str) -> str:
    """Return a text without characters that would end the line or steer the terminal."""
    return _CONTROL.sub("�", text)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    text = _clean(text)
    return text if _PLAIN.fullmatch(text) or not isinstance(value, str) else f'"{text}"'
