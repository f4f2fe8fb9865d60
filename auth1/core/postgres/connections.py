"""Connections: deadlines, settings, and the errors that mean that the database is unavailable."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from auth1.core.telemetry import tracing
from auth1.errors import Unavailable

REPORT_S = 10.0
MAX_REPORTS = 2  # at a time and worker, so that large reads leave connections to all others
RETRY_AFTER_S = 1

# Parameters that other drivers' URLs carry and asyncpg would send to the server as settings.
_FOREIGN_PARAMETERS = frozenset(
    "connect_timeout pool_timeout pool_size max_overflow channel_binding gssencmode pgbouncer schema "
    "connection_limit keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout".split()
)
UNAVAILABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,  # on a replica: what was being read has changed on the primary
    asyncpg.InternalClientError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresSystemError,
)
# The connection is broken. asyncpg raises the last one for a statement on a connection that was cut a moment before.
CONNECTION_ERRORS = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.InternalClientError)
# It may be repeated on another connection: the server shuts down, or became a standby.
LOST_ERRORS = (*CONNECTION_ERRORS, asyncpg.AdminShutdownError, asyncpg.ReadOnlySQLTransactionError)
# What was prepared, or known of types, before a change of the schema: nothing was executed.
STALE_ERRORS = (asyncpg.InvalidCachedStatementError, asyncpg.UndefinedObjectError, asyncpg.InternalServerError)
# The functions and types of this release do not exist yet.
NOT_INSTALLED_ERRORS = (asyncpg.PostgresSyntaxError, asyncpg.UndefinedObjectError, asyncpg.InvalidSchemaNameError)
# The statement is known to have had no effect: it can be repeated while there is time.
ROLLED_BACK_ERRORS = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.RaiseError,
)


class Deadlines(NamedTuple):
    """Deadlines in seconds. With `acquire_s` and `statement_s`, a 503 comes within 1.5 s of a freeze."""

    acquire_s: float = 0.3
    statement_s: float = 1.0
    lock_s: float = 0.5
    connect_s: float = 1.0
    report_s: float = REPORT_S

    def scaled(self, scale: float) -> "Deadlines":
        return Deadlines(*(seconds * scale for seconds in self))


class ConnectionLost(Unavailable):
    """The service is temporarily unavailable; retry.

    The connection broke under a statement: it may or may not have been committed.
    """


def clean_dsn(url: str) -> str:
    """Drop the parameters of a database URL that are meant for other drivers."""
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query) if key not in _FOREIGN_PARAMETERS]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def end_connection(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has already released a broken connection
        connection.terminate()


class Connection(asyncpg.Connection):
    """A connection that shares its knowledge of types with the others of the process: a look-up takes 10 ms of CPU.

    Types of a release are never altered, so the type of an oid stays the same until the schema is reloaded.
    """

    _known: ClassVar[dict[tuple[str, frozenset[int]], Any]] = {}

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float) -> Any:  # called by asyncpg
        place = f"{self._addr} {self._params.database}"  # type: ignore[attr-defined]  # not in its stubs
        key = (place, frozenset(typeoids))
        if key not in self._known:
            types, _ = await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]  # not in its stubs
            self._known[key] = types
            return types, _Anonymous()
        return self._known[key], _Named()

    async def reload_schema_state(self) -> None:
        """Remove the known types and statements."""
        self._known.clear()
        await super().reload_schema_state()


class _Anonymous:
    """The part of a prepared statement that asyncpg reads: whether it replaced an unnamed one."""

    name = ""


class _Named:
    name = "known"


def server_settings(statement_cache_size: int, deadlines: Deadlines) -> dict[str, str]:
    """Let the server keep the deadlines too: a statement that has timed out here must not be executed later.

    PgBouncer rejects such parameters, and needs a statement cache of 0. There a statement is cancelled when its time is
    over, and functions do nothing after the deadline in their arguments.
    """
    settings = {"application_name": "auth1"}
    if statement_cache_size > 0:
        settings["statement_timeout"] = f"{int(deadlines.statement_s * 1000)}ms"
        settings["lock_timeout"] = f"{int(deadlines.lock_s * 1000)}ms"
    return settings


def statement_span(name: str) -> AbstractContextManager[object]:
    """Open the span of a statement, named by it."""
    if tracing.tracer() is None:
        return tracing.OFF
    return tracing.span(f"postgresql {name}", "client", {"db.system.name": "postgresql", "db.operation.name": name})
