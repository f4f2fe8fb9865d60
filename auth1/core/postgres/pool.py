"""Statements on pooled connections, and their deadlines.

Every error that means that the database is unavailable becomes `Unavailable` (503), within the deadlines here. Nothing
is retried except by a caller that says it is safe (`repeat_once`), and what was prepared before a schema change.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar, overload

import asyncpg

from auth1 import metrics
from auth1.core.postgres.clock import ServerClock
from auth1.core.postgres.connection_pool import ConnectionPool
from auth1.core.postgres.connections import (
    LOST_ERRORS,
    NOT_INSTALLED_ERRORS,
    RETRY_AFTER_S,
    STALE_ERRORS,
    UNAVAILABLE_ERRORS,
    Connection,
    ConnectionLost,
    Deadlines,
    end_connection,
    server_settings,
    statement_span,
)
from auth1.core.postgres.functions import functions
from auth1.core.postgres.hosts import Hosts
from auth1.core.postgres.queries import Function, Queries, Query, Statement, arguments_of, fetch, read_rows
from auth1.core.postgres.transactions import ReportLimit, Transaction
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable

Result = TypeVar("Result")
Request = TypeVar("Request")
Params = TypeVar("Params")
Row = TypeVar("Row")
STOP_S = 2.0
_DEADLINE_PASSED = "AU001"  # raised by check_deadline
_ACCOUNT_BUSY = "AU002"  # raised by check_account
_QUERIES = Queries("postgres")


class Postgres:
    """The pool. `row`, `rows` and `call` run one statement, which is one transaction; `in_transaction` runs several.

    It keeps `ready` connections open. With 0 it connects when it is first used: a service need not wait for what it can
    do without. Such a pool is not measured.
    """

    def __init__(
        self,
        url: str,
        log: Log,
        *,
        size: int,
        statement_cache_size: int = 100,
        ready: int = 1,
        timeout_scale: float = 1.0,
    ) -> None:
        self._deadlines = Deadlines().scaled(timeout_scale)
        self.acquire_s, self.statement_s = self._deadlines.acquire_s, self._deadlines.statement_s
        self._hosts = Hosts(url)
        self._log = log
        self._size = size
        self._statement_cache_size = statement_cache_size
        self._ready = ready
        self._reports = ReportLimit(size, self._deadlines)
        self._pool: ConnectionPool | None = None
        self._is_prepared = False
        self._clock = ServerClock()
        self.round_trips = 0  # statements sent; tests count them per request

    async def start(self, *, required: bool = True) -> None:
        """Open the pool. Raises Unavailable when no connection can be opened and the database is `required`."""
        self._pool = ConnectionPool(self._connect, size=self._size, ready=self._ready)
        if self._ready:
            metrics.POOL_SIZE.set(self._size)
        try:
            await self._pool.start()
        except UNAVAILABLE_ERRORS as error:
            if required:
                await self.stop()
                raise Unavailable(f"The database cannot be reached: {self._hosts.failure_reason(error)}") from error
            self._log.warn("database is unavailable", reason=type(error).__name__)

    async def _connect(self) -> asyncpg.Connection:
        async with asyncio.timeout(self._deadlines.connect_s):
            connection = await self._hosts.connect(
                self._deadlines.connect_s,
                statement_cache_size=self._statement_cache_size,
                connection_class=Connection,
                server_settings=server_settings(self._statement_cache_size, self._deadlines),
            )
            await self._prepare_connection(connection)
        return connection

    async def stop(self) -> None:
        if self._pool is not None:
            await self._pool.close(STOP_S)

    @overload
    async def row(self, statement: Statement[Params, Row], params: Params, /) -> Row | None: ...
    @overload
    async def row(self, statement: Query, /, *arguments: object) -> asyncpg.Record | None: ...
    async def row(self, statement: Any, /, *arguments: Any) -> Any:
        """Run a statement and return its first row."""
        rows = await self._run(statement.name, statement.text, arguments_of(statement, arguments), limit=1)
        return read_rows(statement, rows)[0] if rows else None

    @overload
    async def rows(self, statement: Statement[Params, Row], params: Params, /) -> list[Row]: ...
    @overload
    async def rows(self, statement: Query, /, *arguments: object) -> list[asyncpg.Record]: ...
    async def rows(self, statement: Any, /, *arguments: Any) -> Any:
        """Run a statement and return its rows."""
        return read_rows(statement, await self._run(statement.name, statement.text, arguments_of(statement, arguments)))

    async def call(self, function: Function[Params, Row], *requests: Params, time_s: float | None = None) -> list[Row]:
        """Call a function of this release."""
        return await self.call_when_connected(function, lambda: requests, time_s)

    async def call_when_connected(
        self, function: Function[Params, Row], take: Callable[[], Sequence[Params]], time_s: float | None = None
    ) -> list[Row]:
        """Call a function with the requests that `take` returns when a connection is acquired; none: do nothing.

        The function does nothing after its deadline, when the request has returned 503. Where the server's clock has
        been set since it was read, it is read again, and the call repeated.
        """
        time_s = time_s or self.statement_s
        requests = list[Params]()

        def arguments() -> Sequence[Any]:
            requests[:] = requests or take()
            return requests and function.arguments([self.before_deadline(request, time_s) for request in requests])

        started = time.monotonic()
        try:
            rows = await self._run(function.name, function.text, arguments, time_s=time_s)
        except asyncpg.PostgresError as error:
            if error.sqlstate == _ACCOUNT_BUSY:
                raise Unavailable(
                    "The account is being changed by another request; retry.", retry_after=RETRY_AFTER_S
                ) from None
            if error.sqlstate != _DEADLINE_PASSED:
                raise
            if time.monotonic() - started > time_s / 2:
                raise self.unavailable(error) from error
            await self._read_clock()
            rows = await self._run(function.name, function.text, arguments, time_s=time_s)
        return [function.read(row) for row in rows]

    @overload
    async def report(
        self, statement: Statement[Params, Row], params: Params, /, *, readonly: bool = True, in_order: bool = False
    ) -> list[Row]: ...
    @overload
    async def report(self, statement: Query, /, *arguments: object, readonly: bool = True) -> list[asyncpg.Record]: ...
    async def report(self, statement: Any, /, *arguments: Any, readonly: bool = True, in_order: bool = False) -> Any:
        """Run a statement that may read much, within its own deadline and concurrency limit.

        `in_order`: read by an index and stop at the limit, instead of sorting all rows.
        """
        async with (
            self._reports.place(readonly=readonly) as time_s,
            self._connection(statement.name) as connection,
            asyncio.timeout(time_s),
            connection.transaction(isolation="read_committed", readonly=readonly),
        ):
            self.round_trips += 1
            await connection.fetchrow(_QUERIES["allow_time"].text, f"{int(time_s * 1000)}ms", in_order)
            rows = await connection.fetch(statement.text, *arguments_of(statement, arguments))
            return read_rows(statement, rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Open a transaction (READ COMMITTED)."""
        async with self._connection("transaction") as connection, connection.transaction(isolation="read_committed"):
            yield Transaction(connection, self._count, self.statement_s)

    async def in_transaction(self, work: Callable[["Transaction"], Awaitable[Result]]) -> Result:
        """Run a transaction; repeat it once if the schema was changed meanwhile."""
        try:
            async with self.transaction() as transaction:
                return await work(transaction)
        except STALE_ERRORS:
            await self._forget_schema()
            async with self.transaction() as transaction:
                return await work(transaction)

    async def _run(
        self,
        name: str,
        text: str,
        arguments: Sequence[Any] | Callable[[], Sequence[Any]],
        *,
        limit: int = 0,
        time_s: float | None = None,
    ) -> list[asyncpg.Record]:
        async with self._connection(name) as connection:
            if callable(arguments):
                arguments = arguments()
                if not arguments:
                    return []
            self.round_trips += 1
            async with asyncio.timeout(time_s or self.statement_s):
                try:
                    return await fetch(connection, text, arguments, limit)
                except STALE_ERRORS:
                    await connection.reload_schema_state()
                    return await fetch(connection, text, arguments, limit)

    def _count(self) -> None:
        self.round_trips += 1

    def before_deadline(self, request: Request, time_s: float | None = None) -> Request:
        """Set the deadline of a request that has one: when its caller gives up, by the server's clock."""
        if not hasattr(request, "deadline"):
            return request
        deadline = datetime.fromtimestamp(self._clock.earliest + (time_s or self.statement_s), UTC)
        changed: Request = request._replace(deadline=deadline)  # type: ignore[attr-defined]  # a NamedTuple
        return changed

    def now(self) -> float:
        """Return the time in seconds since 1970, in which all instances agree (`ServerClock.now`)."""
        return self._clock.now()

    async def _read_clock(self) -> None:
        async with self._connection("clock") as connection, asyncio.timeout(self.statement_s):
            await self._clock.read(connection)

    async def _forget_schema(self) -> None:
        async with self._connection("schema") as connection:
            await connection.reload_schema_state()

    async def _prepare_connection(self, connection: Any) -> None:
        """Read the server's clock. The first connection reads the types of this release.

        A release that is not installed yet is no error.
        """
        is_first, self._is_prepared = not self._is_prepared, True
        try:
            if is_first:
                with suppress(*NOT_INSTALLED_ERRORS):
                    await functions().warm(connection)
            await self._clock.read(connection)
        except BaseException:
            if is_first:
                self._is_prepared = False
            end_connection(connection)
            raise

    @asynccontextmanager
    async def _connection(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        """Acquire a connection. One that did not respond is closed, because a release waits for its statement."""
        if self._pool is None:
            raise Unavailable(retry_after=RETRY_AFTER_S)
        started = asyncio.get_running_loop().time()
        try:
            connection = await self._pool.acquire(self.acquire_s if self._ready else self._deadlines.connect_s)
        except UNAVAILABLE_ERRORS as error:
            raise self.unavailable(error) from error
        metrics.POOL_IN_USE.inc(bool(self._ready))
        try:
            with statement_span(name):
                yield connection
        except UNAVAILABLE_ERRORS as error:
            if isinstance(error, asyncpg.AdminShutdownError) or not isinstance(error, asyncpg.PostgresError):
                self._end(connection)
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                self._pool.expire()  # the primary has moved; look its name up again
            late = isinstance(error, TimeoutError)  # there is no time left to try again
            raise self.unavailable(error, lost=isinstance(error, LOST_ERRORS) and not late) from error
        except asyncio.CancelledError:
            self._end(connection)
            raise
        finally:
            metrics.POOL_IN_USE.dec(bool(self._ready))
            self._pool.release(connection)
            elapsed_s = asyncio.get_running_loop().time() - started
            metrics.POSTGRES_DURATION[name].observe(elapsed_s)

    def _end(self, connection: Any) -> None:
        """Close a connection that did not respond. PostgreSQL itself ends its statement; PgBouncer needs a request."""
        if self._statement_cache_size == 0 and self._pool is not None and not connection.is_closed():
            self._pool.end_cancelled(connection)
        else:
            end_connection(connection)

    def unavailable(self, error: BaseException, *, lost: bool = False) -> Unavailable:
        """Log and count an error; return the one that callers get."""
        metrics.POSTGRES_ERRORS.inc()
        self._log.warn("PostgreSQL is unavailable", reason=type(error).__name__)
        return (ConnectionLost if lost else Unavailable)(retry_after=RETRY_AFTER_S)
