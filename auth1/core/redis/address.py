"""The address of Redis, the options and timeouts of connections, and the reasons of failed ones."""

import socket
import ssl
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from auth1.config.redis_url import SENTINEL_PORT, split_hosts

PORT = 6379


class RedisUnavailable(Exception):
    """Redis is not connected, too slow, or has rejected the command."""


class Timeouts(NamedTuple):
    """The timeouts in seconds: of a connection with its greeting, and of the reply to a call."""

    connect_s: float = 0.1
    call_s: float = 0.05


class Endpoint(NamedTuple):
    """A server: host and port, or the path of a Unix socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


class TlsOptions(NamedTuple):
    """The parameters of TLS, named as redis-py names them (`ssl_ca_certs`, …). Empty: OpenSSL's default."""

    ca_certs: str = ""
    certfile: str = ""
    keyfile: str = ""
    check_hostname: bool = True
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Return a context for connections. Raises OSError for a file that cannot be used."""
        context = ssl.create_default_context(cafile=self.ca_certs or None)
        if self.certfile:
            context.load_cert_chain(self.certfile, self.keyfile or None)
        context.check_hostname = self.check_hostname and self.verify
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        return context


class Address(NamedTuple):
    """A parsed URL. `redis://user:password@host:port/database` and `unix:///path?db=0` name one server.

    `redis+sentinel://user:password@host:port,host:port/service/database` names sentinels, and
    `redis+cluster://user:password@host:port,host:port` some servers of a cluster. `rediss…` is TLS.
    """

    kind: Literal["single", "sentinel", "cluster"]
    endpoints: tuple[Endpoint, ...]
    tls: TlsOptions | None
    username: str
    password: str
    database: int
    service: str = ""
    sentinel_username: str = ""
    sentinel_password: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Parse a URL that the settings have checked."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        kind = parts.scheme.partition("+")[2] or "single"
        path = parts.path.strip("/")
        service, database = "", options.get("db", "")
        if parts.scheme == "unix":
            endpoints: tuple[Endpoint, ...] = (Endpoint("", 0, parts.path),)
        else:
            default = SENTINEL_PORT if kind == "sentinel" else PORT
            endpoints = tuple(Endpoint(host or "localhost", port or default) for host, port in split_hosts(parts))
            if kind == "sentinel":
                service, _, path = path.partition("/")
            database = database or path
        tls = None
        if parts.scheme.startswith("rediss"):
            tls = TlsOptions(
                options.get("ssl_ca_certs", ""),
                options.get("ssl_certfile", ""),
                options.get("ssl_keyfile", ""),
                check_hostname=options.get("ssl_check_hostname") != "false",
                verify=options.get("ssl_cert_reqs") != "none",
            )
        return cls(
            kind,  # type: ignore[arg-type]  # the schemes are checked
            endpoints,
            tls,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            int(database or 0),
            unquote(service),
            options.get("sentinel_username", ""),
            options.get("sentinel_password", ""),
        )


DEFAULT_TIMEOUTS = Timeouts()


def failure_reason(error: Exception, timeouts: Timeouts) -> str:
    """Return the reason that a connection failed, without the address or the password."""
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
            return f"rejected by Redis: {code}" if code.isupper() else str(error)
        case ConnectionRefusedError():
            return "connection refused"
        case OSError():
            return error.strerror or str(error) or type(error).__name__
    return type(error).__name__
