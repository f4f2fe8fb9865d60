"""Where Redis is, how long to wait for it, and why a connection failed."""

import socket
import ssl
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class RedisUnavailable(Exception):
    """Redis is not connected, too slow, or has rejected the command."""


class Timeouts(NamedTuple):
    """How long to wait for a connection, with its greeting, and for the reply of a call."""

    connect_s: float = 0.1
    call_s: float = 0.05


class Address(NamedTuple):
    """A parsed URL: `redis://user:password@host:port/database`, `rediss://…` (TLS) or `unix:///path?db=0`."""

    host: str
    port: int
    path: str
    tls: bool
    username: str
    password: str
    database: int

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Parse a URL that the settings have checked."""
        parts = urlsplit(url)
        unix = parts.scheme == "unix"
        database = parse_qs(parts.query).get("db", [""])[0] or ("" if unix else parts.path.strip("/"))
        return cls(
            parts.hostname or "localhost",
            parts.port or 6379,
            parts.path if unix else "",
            parts.scheme == "rediss",
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            int(database or 0),
        )


DEFAULT_TIMEOUTS = Timeouts()


def failure_reason(error: Exception, timeouts: Timeouts) -> str:
    """Say why a connection failed, without the address or the password."""
    match error:
        case TimeoutError():
            return f"no answer within {timeouts.connect_s * 1000:.0f} ms (REDIS_CONNECT_TIMEOUT_MS)"
        case ssl.SSLCertVerificationError():
            return f"certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason}"
        case socket.gaierror():
            return "host name cannot be resolved"
        case RedisUnavailable():  # the first word is a code; what follows may quote the request
            code = str(error).partition(" ")[0]
            return f"refused by Redis: {code}" if code.isupper() else str(error)
        case ConnectionRefusedError():
            return "connection refused"
        case OSError():
            return error.strerror or str(error) or type(error).__name__
    return type(error).__name__
