"""Statements of one transaction, and the limit of long ones."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

import asyncpg

from auth1.core.postgres.connections import MAX_REPORTS, Deadlines
from auth1.core.postgres.queries import Query, Statement, arguments_of, fetch, read_rows
from auth1.errors import Unavailable

Params = TypeVar("Params")
Row = TypeVar("Row")


class Transaction:
    """Statements of one transaction, and the limit of long ones."""

    def __init__(self, connection: asyncpg.Connection, count: Callable[[], None], statement_s: float) -> None:
        self._statement_s = statement_s
        self._connection = connection
        self._count = count

    @overload
    async def row(self, statement: Statement[Params, Row], params: Params, /) -> Row | None: ...
    @overload
    async def row(self, statement: Query, /, *arguments: object) -> asyncpg.Record | None: ...
    async def row(self, statement: Any, /, *arguments: Any) -> Any:
        """Run a statement and return its first row."""
        rows = await self._run(statement, arguments, limit=1)
        return rows[0] if rows else None

    @overload
    async def rows(self, statement: Statement[Params, Row], params: Params, /) -> list[Row]: ...
    @overload
    async def rows(self, statement: Query, /, *arguments: object) -> list[asyncpg.Record]: ...
    async def rows(self, statement: Any, /, *arguments: Any) -> Any:
        """Run a statement and return its rows."""
        return await self._run(statement, arguments)

    async def _run(self, statement: Any, arguments: Sequence[Any], limit: int = 0) -> list[Any]:
        self._count()
        async with asyncio.timeout(self._statement_s):
            rows = await fetch(self._connection, statement.text, arguments_of(statement, arguments), limit)
            return read_rows(statement, rows)


class ReportLimit:
    """The number of reports that run at once in a worker, and their time."""

    def __init__(self, pool_size: int, deadlines: Deadlines) -> None:
        # One connection at least is left to all others; a report that has the only one takes no longer than they do.
        self._places = asyncio.Semaphore(max(1, min(MAX_REPORTS, pool_size - 1)))
        self._wait_s = deadlines.statement_s
        self._write_s = deadlines.report_s
        self._read_s = deadlines.report_s if pool_size > 1 else deadlines.statement_s

    @asynccontextmanager
    async def place(self, *, readonly: bool) -> AsyncIterator[float]:
        """Wait for a place; return the time of the report in seconds."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("Too many concurrent requests of this kind; retry.", retry_after=5) from None
        time_s = self._read_s if readonly else self._write_s
        started = asyncio.get_running_loop().time()
        try:
            yield time_s
        except Unavailable:
            if asyncio.get_running_loop().time() - started < time_s:
                raise
            raise Unavailable(f"The query exceeded its {time_s:.0f} s limit; narrow the time range.") from None
        finally:
            self._places.release()
