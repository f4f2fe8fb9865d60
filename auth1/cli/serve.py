"""`auth1 serve`: migrate, check, then serve with granian in this process and its workers.

granian's traps, each handled here: it stops as a whole when a worker dies (respawn), loses signals that come while a
worker starts (`core/signals.py`), and waits for ever for a worker that does not stop (kill timeout).
"""

import asyncio
import socket
from urllib.parse import unquote, urlsplit

import asyncpg
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from auth1.config.settings import Settings
from auth1.core import signals
from auth1.core.log import JsonFormatter, Log
from auth1.core.migrate import MigrationError, migrate, migrations
from auth1.core.redis import Redis

KILL_TIMEOUT_S = 25
BACKLOG = 2048
DATABASE_WAIT_S = 5.0
HEADER_READ_TIMEOUT_MS = 5000
MAX_HEADER_BUFFER = 32 * 1024  # above our own bound, so that we get to say so


class StartError(Exception):
    """The service cannot start; the message is the one line for the operator."""


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; what is under way is finished first. Raises StartError."""
    check_port(settings)
    lines = asyncio.run(_prepare(settings))
    signals.hold_back_in_children()
    server = Server(
        "auth1.app:make_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=HTTPModes.http1,
        websockets=False,
        loop=Loops.uvloop,
        backlog=BACKLOG,
        backpressure=max(1, BACKLOG // settings.workers),
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_TIMEOUT_MS, max_buffer_size=MAX_HEADER_BUFFER),
        respawn_failed_workers=True,
        respawn_interval=0.1,
        workers_kill_timeout=KILL_TIMEOUT_S,
        log_level=LogLevels.warning,
        log_access=False,
        log_dictconfig=_LOGGING,
    )
    # Called when the socket listens: from here on a request is answered, if only after the workers are up.
    server.on_startup(lambda: print("\n".join(lines), flush=True))
    server.serve()


_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "loggers": {"_granian": {"handlers": ["stdout"], "level": "WARNING", "propagate": False}},
}


def check_port(settings: Settings) -> None:
    """Find out now whether the port is free: granian would fail with a traceback. Raises StartError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; PORT names another"
        ) from error


async def _prepare(settings: Settings) -> list[str]:
    """Migrate and look for Redis; returns the guide's four lines, without passwords."""
    await _migrate(settings)
    log = Log("error")
    redis = Redis(settings.redis_url, log)
    connected = await redis.start()
    await redis.stop()
    database = unquote(urlsplit(settings.database_url).path.strip("/"))
    return [
        f"Auth1 server running on port {settings.port}",
        f"Database connected: {database}",
        f"Redis {'connected' if connected else 'unreachable'}: {_without_password(settings.redis_url)}",
        f"Migrations applied: {len(migrations())} migrations",
    ]


async def _migrate(settings: Settings) -> None:
    """Migrate, waiting a little for a database that is just starting."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + DATABASE_WAIT_S
    while True:
        try:
            await migrate(settings.database_url)
            return
        except (OSError, asyncpg.CannotConnectNowError) as error:
            if loop.time() > give_up_at:
                raise StartError(f"the database cannot be reached: {str(error) or 'no answer'}") from error
            await asyncio.sleep(0.2)
        except MigrationError as error:
            raise StartError(str(error)) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise StartError(f"the database refused: {error}") from error


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl()
