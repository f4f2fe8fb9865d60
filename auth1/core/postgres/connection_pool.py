"""Open connections, and the requests that wait for one.

It replaces asyncpg's pool. There, a request that finds no free connection opens one and waits for that one alone. The
deadline of the request also cancels the opening, so under load connections are begun and cancelled again and again.
Here a request gets the first connection that is released or opened. The deadline of a request does not cancel an
opening, so a connection that is opened too late for one request serves the next one.

Some connections (`ready`) are kept open. Lost ones are replaced at once, or as soon as the database accepts them.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg

MAX_CONNECTING = 4  # at once: opening a connection costs more CPU than most statements
RETRY_S = 0.2  # after a failure
IDLE_S = 300.0
CANCEL_S = 0.5  # until PgBouncer has passed on a request to cancel, which needs the open connection
MAX_AGE_S = 3600.0  # bounds the memory of the server's process; a name may lead to another server by then


class _Idle(NamedTuple):
    connection: Any
    since: float


class ConnectionPool:
    """At most `size` connections made by `connect`; at least `ready` of them are kept open."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], *, size: int, ready: int) -> None:
        self._connect = connect
        self._size = size
        self._ready = min(ready, size)
        self._loop = asyncio.get_running_loop()
        self._open: dict[Any, float] = {}  # until when each is used
        self._idle: list[_Idle] = []  # the one that was used last is used next
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._cancelling: set[Any] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._is_failing = False  # the last attempt to connect failed: one at a time is enough
        self._closing = False
        self._released = asyncio.Event()

    @property
    def in_use(self) -> int:
        return len(self._open) - len(self._idle)

    async def start(self) -> None:
        """Open the connections that are kept. Raises the error of the first one; the pool goes on trying, then."""
        if not self._ready:
            return
        try:
            self._add(await self._connect())
        except BaseException:
            self._retry_soon()
            raise
        self._connect_more()
        if self._connecting:
            await asyncio.wait(self._connecting)

    async def acquire(self, timeout_s: float) -> asyncpg.Connection:
        """Return a connection. Raises TimeoutError, or the error of connecting when no connection is open."""
        while self._idle:
            connection: asyncpg.Connection = self._idle.pop().connection
            if not connection.is_closed():
                return connection
            self._drop(connection)
        if self._closing:
            raise asyncpg.InterfaceError("the pool is closed")
        waiter: asyncio.Future[asyncpg.Connection] = self._loop.create_future()
        self._waiting.append(waiter)
        self._connect_more()
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())  # it came in the same moment
            raise
        finally:
            with suppress(ValueError):
                self._waiting.remove(waiter)

    def release(self, connection: Any) -> None:
        """Return a connection to the pool. One that is closed, too old or in a transaction is replaced."""
        if connection in self._cancelling:
            return
        expires_at = self._open.get(connection, 0.0)
        if connection.is_closed() or connection.is_in_transaction() or expires_at <= self._loop.time():
            self._drop(connection)
        else:
            self._hand_over(connection)
        self._released.set()

    def end_cancelled(self, connection: Any) -> None:
        """Close a connection after CANCEL_S: until then PgBouncer passes on that asyncpg cancels its statement."""
        self._open.pop(connection, None)
        self._cancelling.add(connection)

        def end() -> None:
            self._cancelling.discard(connection)
            connection.terminate()

        self._loop.call_later(CANCEL_S, end)
        self._released.set()
        self._connect_more()

    def expire(self) -> None:
        """Replace all connections: idle ones now, the others when they are released."""
        for connection in self._open:
            self._open[connection] = 0.0
        idle, self._idle = self._idle, []
        for one in idle:
            self._drop(one.connection)

    async def close(self, timeout_s: float) -> None:
        """Close all connections, those in use when they are released or the time is over."""
        self._closing = True
        if self._retry is not None:
            self._retry.cancel()
        for task in list(self._connecting):
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.in_use:
                    self._released.clear()
                    await self._released.wait()
                await asyncio.gather(*(one.connection.close() for one in self._idle), return_exceptions=True)
        for connection in list(self._open):
            self._drop(connection)
        for connection in self._cancelling:
            connection.terminate()

    def _connect_more(self) -> None:
        """Open connections in the background: for requests that wait, and up to those that are kept."""
        if self._closing or self._retry is not None:
            return
        coming = len(self._connecting)
        wanted = max(len(self._waiting), self._ready - len(self._open))
        room = min(self._size - len(self._open), 1 if self._is_failing else MAX_CONNECTING)
        for _ in range(min(wanted, room) - coming):
            task = self._loop.create_task(self._open_one(), name="postgres connection")
            self._connecting.add(task)
            task.add_done_callback(self._on_connected)

    def _on_connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self._connect_more()

    async def _open_one(self) -> None:
        try:
            connection = await self._connect()
        except Exception as error:
            self._retry_soon()
            if not self.in_use:  # otherwise one is released soon
                self._fail_all(error)
            return
        if self._closing:
            connection.terminate()
            return
        self._add(connection)

    def _add(self, connection: Any) -> None:
        self._is_failing = False
        self._open[connection] = self._loop.time() + MAX_AGE_S * random.uniform(0.8, 1.2)  # not all at once
        connection.add_termination_listener(self._on_lost)
        self._hand_over(connection)

    def _hand_over(self, connection: Any) -> None:
        """Pass a connection to the first request that waits; without one it becomes idle."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        now = self._loop.time()
        self._idle.append(_Idle(connection, now))
        if self._idle[0].since < now - IDLE_S and len(self._open) > self._ready:
            self._drop(self._idle.pop(0).connection)

    def _drop(self, connection: Any) -> None:
        """Close an unused connection."""
        self._open.pop(connection, None)
        connection.terminate()
        self._connect_more()

    def _on_lost(self, connection: Any) -> None:
        """Replace a connection that ended, idle or in use."""
        if self._open.pop(connection, None) is not None:
            self._idle = [one for one in self._idle if one.connection is not connection]
            self._connect_more()

    def _retry_soon(self) -> None:
        self._is_failing = True
        if self._retry is None and not self._closing:
            self._retry = self._loop.call_later(RETRY_S, self._on_retry)

    def _on_retry(self) -> None:
        self._retry = None
        self._connect_more()

    def _fail_all(self, error: Exception) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)
