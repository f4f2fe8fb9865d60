"""The state of the database as health checks report it.

Checks have a separate connection, so that they work when the pool is exhausted. They share one result for a while,
so that they cost the database the same however often they are made.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from auth1.core.postgres.connections import UNAVAILABLE_ERRORS
from auth1.core.postgres.hosts import Hosts
from auth1.core.postgres.queries import Query

FRESH_S = 1.0
FAILED_S = 0.2  # after a failure, the next check runs soon
CHECK_S = 1.0


class DatabaseProbe:
    """Runs one query on a separate connection; None means that the database does not respond."""

    def __init__(self, url: str, query: Query, *, statement_cache_size: int) -> None:
        self._hosts = Hosts(url)
        self._query = query
        self._statement_cache_size = statement_cache_size
        self._connection: asyncpg.Connection | None = None
        self._checking: asyncio.Task[None] | None = None
        self._rows: Sequence[asyncpg.Record] | None = None
        self._fresh_until = 0.0

    async def rows(self) -> Sequence[asyncpg.Record] | None:
        """Return the result of the query, at most a second old."""
        loop = asyncio.get_running_loop()
        if self._checking is None and loop.time() >= self._fresh_until:
            self._checking = asyncio.create_task(self._check(), name="database probe")
        if self._checking is not None:
            await asyncio.shield(self._checking)
        return self._rows

    async def stop(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        self.disconnect()

    async def _check(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CHECK_S):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._hosts.connect(
                        CHECK_S,
                        statement_cache_size=self._statement_cache_size,
                        server_settings={"application_name": "auth1-health"},
                    )
                self._rows = await self._connection.fetch(self._query.text)
        except UNAVAILABLE_ERRORS:
            self._rows = None
            self.disconnect()
        finally:
            self._fresh_until = loop.time() + (FAILED_S if self._rows is None else FRESH_S)
            self._checking = None

    def disconnect(self) -> None:
        """Make the next check connect again, because the name may resolve to another server by then."""
        connection: Any = self._connection
        self._connection = None
        if connection is not None:
            connection.terminate()
