"""Kept connections, and the bound on requests at once.

The most recently used connection of a destination is taken first, so that the others expire; each operation is O(1).
"""

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Literal, NamedTuple

import httpx

from auth1.core.outbound.connect import Connector, Destination
from auth1.core.outbound.connection import Connection

CLOSE_S = 1.0


class Timing(NamedTuple):
    """The timeouts of a request in seconds, and its deadline in the loop's time."""

    deadline: float
    pool: float | None
    connect: float | None

    def step_end(self, name: Literal["pool", "connect"]) -> float:
        """Return the time at which a step that begins now must end."""
        seconds = self.pool if name == "pool" else self.connect
        return self.deadline if seconds is None else min(asyncio.get_running_loop().time() + seconds, self.deadline)


class Pool:
    """At most `max_connections` requests and connections at once, to all destinations; more requests wait in order."""

    def __init__(self, connector: Connector, max_connections: int, max_waiting: int, keep_alive_s: float) -> None:
        self._connector = connector
        self._max_connections = max_connections
        self._max_waiting = max_waiting
        self._keep_alive_s = keep_alive_s
        self._requests = 0  # each holds a slot
        self._waiting: dict[asyncio.Future[bool], None] = {}  # for a slot, in order
        self._idle: defaultdict[Destination, dict[Connection, None]] = defaultdict(dict)  # newest last
        self._expiry: dict[Connection, tuple[float, Destination]] = {}  # of all idle ones, oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._active: set[Connection] = set()
        self._is_closed = False

    async def acquire(self, destination: Destination, timing: Timing) -> Connection:
        """Return a connection for one request: a kept one, or a new one.

        Raises PoolTimeout, ConnectTimeout, ConnectError or ProxyError: the request was not sent.
        """
        if self._requests < self._max_connections:
            self._requests += 1
        else:
            await self._wait_for_slot(timing.step_end("pool"))
        try:
            connection = self._take_idle(destination) or await self._open(destination, timing)
        except BaseException:
            self._free_slot()
            raise
        self._active.add(connection)
        return connection

    def release(self, destination: Destination, connection: Connection, is_reusable: bool) -> None:
        """End a request: keep its connection for the next one, or close it."""
        self._free_slot()
        self._active.discard(connection)
        if not is_reusable or self._is_closed:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.on_end = self._forget
        self._idle[destination][connection] = None
        self._expiry[connection] = (loop.time() + self._keep_alive_s, destination)
        if self._timer is None:
            self._timer = loop.call_later(self._keep_alive_s, self._close_expired)

    async def close(self) -> None:
        """Close all connections; requests in flight fail."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        idle = list(self._expiry)
        for connection in idle:
            connection.close()
        for connection in self._active:
            connection.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                for connection in idle:
                    await connection.wait_ended()
        for connection in idle:
            connection.abort()

    async def _open(self, destination: Destination, timing: Timing) -> Connection:
        if self._requests + len(self._expiry) > self._max_connections:
            oldest = next(iter(self._expiry))
            self._forget(oldest)
            oldest.close()
        connection = await self._connector.connect(destination, timing.step_end("connect"))
        if self._is_closed:
            connection.abort()
            raise httpx.ConnectError("The transport is closed; the request was not sent.")
        return connection

    async def _wait_for_slot(self, deadline: float) -> None:
        """Wait until an earlier request passes its slot on."""
        if len(self._waiting) >= self._max_waiting:
            raise httpx.PoolTimeout("Too many requests wait for a connection; this one was not sent.")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[waiter] = None
        timer = loop.call_at(deadline, _resolve, waiter, False)
        try:
            has_slot = await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.result():  # both happened at once
                self._free_slot()
            raise
        finally:
            timer.cancel()
            self._waiting.pop(waiter, None)
        if not has_slot:
            raise httpx.PoolTimeout("No connection was free in time; the request was not sent.")

    def _free_slot(self) -> None:
        """Pass a slot on to the request that waits longest."""
        while self._waiting:
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            if _resolve(waiter, True):
                return
        self._requests -= 1

    def _take_idle(self, destination: Destination) -> Connection | None:
        while idle := self._idle.get(destination):
            connection = next(reversed(idle))
            self._forget(connection)
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    def _forget(self, connection: Connection) -> None:
        """Remove an idle connection, because it is used, or has ended."""
        connection.on_end = None
        _, destination = self._expiry.pop(connection)
        idle = self._idle[destination]
        del idle[connection]
        if not idle:
            del self._idle[destination]

    def _close_expired(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._expiry:
            connection, (expires_at, _) = next(iter(self._expiry.items()))
            if expires_at > loop.time():
                self._timer = loop.call_at(expires_at, self._close_expired)
                return
            self._forget(connection)
            connection.close()


def _resolve(waiter: asyncio.Future[bool], has_slot: bool) -> bool:
    """End the wait of a request, unless it has ended already."""
    if waiter.done():
        return False
    waiter.set_result(has_slot)
    return True
