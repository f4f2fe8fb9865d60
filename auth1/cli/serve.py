"""`auth1 serve`: migrate, check, then serve with granian's workers under our supervisor.

granian's HTTP server runs in each worker. Auth1 has its own listening socket and supervision
(`core/processes/supervisor.py`).
"""

import asyncio
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from auth1.config.settings import LogFormat, Settings
from auth1.core.postgres.hosts import Hosts
from auth1.core.postgres.migrations import MigrationError, migrate, migrations
from auth1.core.postgres.pooler import pooler_problem
from auth1.core.processes import listening
from auth1.core.processes.supervisor import Supervisor
from auth1.core.telemetry.log import LibraryFormatter, Log
from auth1.services import new_redis

DATABASE_WAIT_S = 5.0
HEADER_READ_TIMEOUT_MS = 5000
MAX_HEADER_BUFFER = 32 * 1024  # above our own bound, so that we get to say so
# A client that does not read holds its connection this long, and this much memory of the kernel (which doubles it).
UNREAD_TIMEOUT_MS = 20_000
SEND_BUFFER_BYTES = 64 * 1024
MAX_CONNECTIONS = 16_384  # of all workers
RESERVED_DESCRIPTORS = 96  # of a worker: its pool, Redis, providers, files
# The user, the password, the name of the database, or the URL itself is wrong.
URL_ERRORS = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, ValueError)


class StartError(Exception):
    """The service cannot start; the message is the one line for the operator."""


def serve(settings: Settings, target: str = "auth1.app:make_app") -> None:
    """Run until SIGTERM or SIGINT, after finishing the requests in flight. Raises StartError.

    `target` names the function that makes the application of a worker.
    """
    listener = bind(settings)
    lines = asyncio.run(_prepare(settings))
    print("\n".join(lines), flush=True)
    _Server(listener, settings, target).serve()


class _Server(MPServer):
    """granian's workers on our socket."""

    def __init__(self, listener: socket.socket, settings: Settings, target: str) -> None:
        super().__init__(
            target,
            factory=True,
            interface=Interfaces.ASGI,
            workers=settings.workers,
            http=HTTPModes.http1,
            websockets=False,
            loop=Loops.uvloop,
            backpressure=_connections_per_worker(settings.workers),
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_TIMEOUT_MS, max_buffer_size=MAX_HEADER_BUFFER),
            log_level=LogLevels.warning,
            log_access=False,
            log_dictconfig=_logging(settings.log_format),
        )
        self._listener = listener
        self._log = Log(settings.log_level, format=settings.log_format)

    def _serve(self, spawn_target: Callable[..., None], target_loader: Callable[..., Any]) -> None:
        """Run the workers. Replaces granian's supervision, which its `serve` calls by this name."""
        if sys.platform == "linux":
            listening.leave_to_workers(self._listener)
            self._ssp = self._sso = None
            holder: Any = SocketHolder(self._listener.fileno(), False, listening.BACKLOG)  # type: ignore[call-arg]  # not in the stub
            self._shd = holder
        else:  # where workers are not forked, granian knows how to hand a socket over
            self._listener.close()
            self._init_shared_socket()
        self._start_ipc()  # type: ignore[no-untyped-call]  # granian leaves it untyped
        supervisor = Supervisor(
            lambda index: self._spawn_worker(index, spawn_target, target_loader).inner, self.workers, self._log
        )
        can_start = supervisor.run(on_stop=self._listener.close)
        self._log.close()
        if not can_start:
            raise StartError("no worker can start; the log says why")


def _connections_per_worker(workers: int) -> int:
    """Raise the limit of open files as far as allowed; return the number of connections that a worker may hold."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    room = MAX_CONNECTIONS if most == resource.RLIM_INFINITY else most - RESERVED_DESCRIPTORS
    return max(1, min(MAX_CONNECTIONS // workers, room))


def _logging(log_format: LogFormat) -> dict[str, Any]:
    """Return the configuration of granian's own log lines."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": LibraryFormatter, "format": log_format}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}},
        "loggers": {"_granian": {"handlers": ["stdout"], "level": "WARNING", "propagate": False}},
    }


def check_port(settings: Settings) -> None:
    """Check that the port is free. Raises StartError."""
    bind(settings).close()


def bind(settings: Settings) -> socket.socket:
    """Reserve the port; accepted connections inherit the options. Raises StartError.

    All workers accept from this one socket: with a socket each, connections would wait for a crashed worker.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_TIMEOUT_MS)
    listener.setblocking(False)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; set PORT to another port"
        ) from error
    return listener


async def _prepare(settings: Settings) -> list[str]:
    """Migrate and look for Redis; returns the guide's four lines, without passwords."""
    await _migrate(settings)
    log = Log("error")
    redis = new_redis(settings, log)
    connected = await redis.start()
    await redis.stop()
    reason = "" if connected else f" ({redis.failure})"
    database = unquote(urlsplit(settings.database_url).path.strip("/"))
    return [
        f"Auth1 server running on port {settings.port}",
        f"Database connected: {database}",
        f"Redis {'connected' if connected else 'unreachable'}: {_without_password(settings.redis_url)}{reason}",
        f"Migrations applied: {len(migrations())} migrations",
    ]


async def _migrate(settings: Settings) -> None:
    """Migrate, waiting a little for a database that is just starting."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + DATABASE_WAIT_S * settings.timeout_scale
    while True:
        try:
            await migrate(settings.database_url)
            problem = await pooler_problem(settings.database_url, settings.database_statement_cache_size)
            if problem is not None:
                raise StartError(f"DATABASE_STATEMENT_CACHE_SIZE must be 0: {problem}")
            return
        except (OSError, asyncpg.CannotConnectNowError) as error:
            if loop.time() > give_up_at:
                reason = Hosts(settings.database_url).failure_reason(error)
                raise StartError(f"the database cannot be reached: {reason}; check DATABASE_URL") from error
            await asyncio.sleep(0.2)
        except MigrationError as error:
            raise StartError(str(error)) from error
        except URL_ERRORS as error:
            raise StartError(f"the database rejected the connection: {error}; check DATABASE_URL") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StartError(f"the database cannot be migrated: {error}") from error


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl()
