"""Statements of one transaction, and statements that are repeated after a lost connection."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, overload

import asyncpg

from auth1.core.postgres.connections import RETRY_AFTER_S, ConnectionLost
from auth1.core.postgres.queries import Query, Statement, arguments_of, fetch, read_rows
from auth1.errors import Unavailable

Result = TypeVar("Result")
Params = TypeVar("Params")
Row = TypeVar("Row")


class Transaction:
    """Statements of one transaction."""

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


async def repeat_once(run: Callable[[], Awaitable[Result]], find: Callable[[], Awaitable[Result | None]]) -> Result:
    """Run a statement, and after a lost connection once more unless `find` finds that it was committed.

    The first run may still wait for a lock and be committed while the second one waits for it. So `find` looks again
    afterwards, and a unique violation means that the first run was committed.
    """
    with suppress(ConnectionLost):
        return await run()
    found = await find()
    if found is not None:
        return found
    results: list[Result] = []
    with suppress(asyncpg.UniqueViolationError):
        results.append(await run())
    found = await find()
    if found is not None:
        return found
    if not results:
        raise Unavailable(retry_after=RETRY_AFTER_S)
    return results[0]
