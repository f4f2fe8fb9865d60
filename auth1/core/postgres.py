"""PostgreSQL: the pool with its deadlines, and the statements of `sql/queries` by name.

A statement is a block of a file: a line `-- name: open_challenge`, comments that say why and name the parameters, then
SQL with `$1`, so that a block can be pasted into psql. Everything that means "the database is away" becomes one
refusal, `Unavailable` (503), within the deadlines here; nothing is retried except by a caller that says it is safe.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

import auth1
from auth1 import metrics
from auth1.core.log import Log
from auth1.errors import Unavailable

ACQUIRE_S = 0.3
STATEMENT_S = 1.0  # with the acquire, an answer of 503 within 1.5 s of a freeze
LOCK_S = 0.5
CONNECT_S = 1.0
REPORT_S = 10.0
MAX_REPORTS = 2  # at a time and worker, so that those who read much leave connections to all others
RETRY_AFTER_S = 1

# Parameters that other drivers' URLs carry and asyncpg would send to the server as settings.
_FOREIGN_PARAMETERS = frozenset(
    "connect_timeout pool_timeout pool_size max_overflow channel_binding gssencmode pgbouncer schema "
    "connection_limit keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout".split()
)
_AWAY = (
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

Result = TypeVar("Result")


class ConnectionLost(Unavailable):
    """The service cannot answer right now; try again in a moment.

    The connection broke under a statement: it may or may not have been committed.
    """


class Query(NamedTuple):
    """A named block of SQL."""

    name: str
    text: str


class Queries:
    """The blocks of one file of `sql/queries`."""

    def __init__(self, slice_name: str) -> None:
        path = sql_directory() / "queries" / f"{slice_name}.sql"
        blocks = re.split(r"^-- name: (\w+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        self.blocks = {name: Query(name, text.strip()) for name, text in zip(blocks[1::2], blocks[2::2], strict=True)}

    def __getitem__(self, name: str) -> Query:
        return self.blocks[name]


def sql_directory() -> Path:
    """Where the SQL is: inside the installed package, or beside it in a checkout."""
    package = Path(auth1.__file__).parent
    return inside if (inside := package / "sql").is_dir() else package.parent / "sql"


_QUERIES = Queries("postgres")


def clean_dsn(url: str) -> str:
    """Drop the parameters of a database URL that are meant for other drivers."""
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query) if key not in _FOREIGN_PARAMETERS]
    return urlunsplit(parts._replace(query=urlencode(kept)))


class Postgres:
    """The pool. `row` and `rows` run one statement, which is one transaction; `transaction` holds a connection.

    One that is not `eager` connects when it is first used: a service need not wait for what it can do without. Only the
    eager one is measured.
    """

    def __init__(self, url: str, log: Log, *, size: int, statement_cache_size: int = 100, eager: bool = True) -> None:
        self._url = clean_dsn(url)
        self._log = log
        self._size = size
        self._statement_cache_size = statement_cache_size
        self._eager = eager
        # One connection at least is left to all others; a report that has the only one takes no longer than they do.
        self._reports = asyncio.Semaphore(max(1, min(MAX_REPORTS, size - 1)))
        self._report_s = REPORT_S if size > 1 else STATEMENT_S
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self.round_trips = 0  # statements sent; tests count them per request

    async def start(self, *, required: bool = True) -> None:
        """Open the pool with one connection. Raises Unavailable when that fails and the database is `required`."""
        try:
            self._pool = await self._open(1 if self._eager else 0)
        except _AWAY as error:
            if required:
                raise Unavailable(f"The database cannot be reached: {str(error) or 'no answer'}") from error
            self._log.warn("database is unavailable", reason=type(error).__name__)
            self._pool = await self._open(0)
        if self._eager:
            metrics.POOL_SIZE.set(self._size)

    async def _open(self, connections: int) -> "asyncpg.Pool[asyncpg.Record]":
        pool = await asyncpg.create_pool(
            self._url,
            min_size=connections,
            max_size=self._size,
            timeout=CONNECT_S,
            statement_cache_size=self._statement_cache_size,
            # Session state never changes here: the reset that asyncpg does on each release is a wasted trip.
            reset=_no_reset,
            server_settings=_server_settings(self._statement_cache_size),
        )
        return pool

    async def stop(self) -> None:
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 2.0)
            except TimeoutError:
                self._pool.terminate()

    async def row(self, query: Query, *arguments: object) -> asyncpg.Record | None:
        """Run a statement and return its first row."""
        return await self._run(query, lambda connection: connection.fetchrow(query.text, *arguments))

    async def rows(self, query: Query, *arguments: object) -> Sequence[asyncpg.Record]:
        """Run a statement and return its rows."""
        return await self._run(query, lambda connection: connection.fetch(query.text, *arguments))

    async def report(self, query: Query, *arguments: object, readonly: bool = True) -> Sequence[asyncpg.Record]:
        """Run a statement that may read much, within its time, when it is its turn."""
        try:
            async with asyncio.timeout(STATEMENT_S):
                await self._reports.acquire()
        except TimeoutError:
            raise Unavailable("Other reports are being made; try again in a moment.", retry_after=5) from None
        time_s = self._report_s if readonly else REPORT_S
        started = asyncio.get_running_loop().time()
        try:
            async with (
                self._connection(query.name) as connection,
                asyncio.timeout(time_s),
                connection.transaction(isolation="read_committed", readonly=readonly),
            ):
                self.round_trips += 1
                await connection.fetchrow(_QUERIES["allow_time"].text, f"{int(time_s * 1000)}ms")
                return await connection.fetch(query.text, *arguments)
        except Unavailable:
            if asyncio.get_running_loop().time() - started < time_s:
                raise
            raise Unavailable(f"This takes longer than {time_s:.0f} s: ask for less at a time.") from None
        finally:
            self._reports.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Hold a connection for several statements that stand or fall together (READ COMMITTED)."""
        async with self._connection("transaction") as connection, connection.transaction(isolation="read_committed"):
            yield Transaction(self, connection)

    async def _run(self, query: Query, run: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        async with self._connection(query.name) as connection:
            self.round_trips += 1
            async with asyncio.timeout(STATEMENT_S):
                return await run(connection)

    @asynccontextmanager
    async def _connection(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection. One that did not answer is ended, because a release waits for what is under way."""
        if self._pool is None:
            raise Unavailable(retry_after=RETRY_AFTER_S)
        started = asyncio.get_running_loop().time()
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_S if self._eager else CONNECT_S)
        except _AWAY as error:
            raise self._away(error) from error
        metrics.POOL_IN_USE.inc(self._eager)
        try:
            yield connection  # type: ignore[misc]  # the pool's proxy is a connection in all but its type
        except _AWAY as error:
            if not isinstance(error, asyncpg.PostgresError):
                _end(connection)
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                await self._pool.expire_connections()  # the primary has moved; look its name up again
            lost = isinstance(error, (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError))
            late = isinstance(error, TimeoutError)  # there is no time left to try again
            raise self._away(error, lost=lost and not late) from error
        except asyncio.CancelledError:
            _end(connection)
            raise
        finally:
            metrics.POOL_IN_USE.dec(self._eager)
            await self._pool.release(connection)
            elapsed_s = asyncio.get_running_loop().time() - started
            metrics.POSTGRES_DURATION.labels(name).observe(elapsed_s)

    def _away(self, error: BaseException, *, lost: bool = False) -> Unavailable:
        metrics.POSTGRES_ERRORS.inc()
        self._log.warn("postgres is away", reason=type(error).__name__)
        return (ConnectionLost if lost else Unavailable)(retry_after=RETRY_AFTER_S)


class Transaction:
    """Statements of one transaction."""

    def __init__(self, postgres: Postgres, connection: asyncpg.Connection) -> None:
        self._postgres = postgres
        self._connection = connection

    async def row(self, query: Query, *arguments: object) -> asyncpg.Record | None:
        self._postgres.round_trips += 1
        async with asyncio.timeout(STATEMENT_S):
            return await self._connection.fetchrow(query.text, *arguments)

    async def rows(self, query: Query, *arguments: object) -> Sequence[asyncpg.Record]:
        self._postgres.round_trips += 1
        async with asyncio.timeout(STATEMENT_S):
            return await self._connection.fetch(query.text, *arguments)


def _end(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # one that broke has been taken back by the pool
        connection.terminate()


def _server_settings(statement_cache_size: int) -> dict[str, str]:
    """Let the server keep the deadlines too: a statement that we gave up on must not be executed later.

    PgBouncer, for which the statement cache is 0, refuses such parameters; `alter role … set` does the same there.
    """
    settings = {"application_name": "auth1"}
    if statement_cache_size > 0:
        settings["statement_timeout"] = f"{int(STATEMENT_S * 1000)}ms"
        settings["lock_timeout"] = f"{int(LOCK_S * 1000)}ms"
    return settings


async def _no_reset(connection: Any) -> None:
    """Leave the connection as it is."""
