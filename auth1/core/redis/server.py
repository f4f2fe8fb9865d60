"""One server on one pipelined connection, which is its own circuit breaker.

While it is not connected, every call fails at once, and a task reconnects every `RETRY_S`. No command is sent twice: a
call that timed out may have been executed. Behind Sentinel, the task also asks for the primary each second, and
connects to another one at once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

import hiredis

from auth1 import metrics
from auth1.core.redis.address import DEFAULT_TIMEOUTS, Address, Endpoint, RedisUnavailable, Timeouts, failure_reason
from auth1.core.redis.client import Node, Redis
from auth1.core.redis.connection import Connection, Reply
from auth1.core.redis.script import command_span
from auth1.core.telemetry import tracing
from auth1.core.telemetry.log import Log

REPORT_EVERY_S = 60.0
RETRY_S = 0.25
LOCATE_S = 1.0


class Locator(Protocol):
    """Finds the server to connect to."""

    async def locate(self) -> Endpoint:
        """Return the server. Raises RedisUnavailable with the reason."""

    async def is_current(self, endpoint: Endpoint) -> bool:
        """Return whether a connected server is still the right one."""

    def reject(self) -> None:
        """Note that the last server cannot be used."""

    async def nodes(self) -> list[Node]:
        """Return all servers that are known. Raises RedisUnavailable."""

    async def close(self) -> None:
        """Close the connections that it has opened."""


class FixedLocator:
    """The one server of a URL."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def locate(self) -> Endpoint:
        return self._endpoint

    async def is_current(self, endpoint: Endpoint) -> bool:
        return True

    def reject(self) -> None:
        """Do nothing: there is no other one."""

    async def nodes(self) -> list[Node]:
        return [Node(self._endpoint, "primary")]

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class Server(Redis):
    """A server, at the address that `locator` finds. `on_change` is called when it connects and when it is lost."""

    def __init__(
        self,
        address: Address,
        locator: Locator,
        log: Log,
        *,
        name: str,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        on_change: Callable[[bool], None] = lambda is_connected: None,
    ) -> None:
        super().__init__(log, name)
        self._address = address
        self._locator = locator
        self._timeouts = timeouts
        self._tls = address.tls.context() if address.tls is not None else None
        self._report_at = 0.0
        self._failure = ""
        self.connection: Connection | None = None
        self.endpoint: Endpoint | None = None  # of the connection, or of the last attempt
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._connected = asyncio.Event()
        self._on_change = on_change
        self._on_message: Callable[[str], None] | None = None
        self._channel = ""

    @property
    def connected(self) -> bool:
        return self.connection is not None

    @property
    def failure(self) -> str:
        return self._failure

    def subscribe(self, channel: str, on_message: Callable[[str], None]) -> None:
        """Make this connection the subscriber of one channel. Call it before `start`.

        `on_message` receives each message, and "" after every (re)connection, when messages may have been missed.
        """
        self._channel, self._on_message = channel, on_message

    async def start(self) -> bool:
        """Connect, then keep reconnecting in the background. Returns whether one of two attempts succeeded.

        On a busy machine one connection may take too long.
        """
        connected = await self._connect() or await self._connect()
        self.start_later()
        return connected

    def start_later(self) -> None:
        """Connect in the background."""
        self._task = asyncio.create_task(self._stay_connected(), name=f"redis {self._name}")

    async def wait_connected(self) -> None:
        """Wait for a connection that is being opened. Raises RedisUnavailable after the time of an attempt."""
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                await self._connected.wait()
        except TimeoutError as error:
            raise RedisUnavailable("not connected") from error

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
            self._on_change(False)
        await self._locator.close()

    async def call(self, *words: str | bytes | int) -> Reply:
        """Send one command and await its reply. Raises RedisUnavailable, also for an error reply."""
        if self.connection is None:
            raise RedisUnavailable("not connected")
        self.round_trips += 1
        try:
            if tracing.tracer() is None:
                reply = await self.connection.call(*words)
            else:
                with command_span(words):
                    reply = await self.connection.call(*words)
        except RedisUnavailable:
            metrics.REDIS_ERRORS.inc()
            raise
        if isinstance(reply, hiredis.ReplyError):
            message = str(reply)
            if message.startswith("READONLY") and self.connection is not None:
                # A replica, or a demoted primary: after a reconnect the name may resolve to the primary.
                self.connection.close()
            self._raise_for_error(message)
        return reply

    def listener(self, name: str) -> "Server":
        return Server(self._address, self._locator, self._log, name=name, timeouts=self._timeouts)

    def primaries(self) -> Sequence["Server"]:
        return [self]

    async def topology(self) -> list[Node]:
        return await self._locator.nodes()

    async def _connect(self) -> bool:
        try:
            self.endpoint = where = await self._locator.locate()
        except RedisUnavailable as error:
            self._report(error)
            return False
        connection = Connection(self._timeouts.call_s, self._on_lost, self._pushed if self._channel else None)
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                await self._open(connection, where)
                await self._handshake(connection)
        except (OSError, TimeoutError, RedisUnavailable) as error:
            connection.close()
            self._locator.reject()
            self._report(error)
            return False
        except asyncio.CancelledError:  # stopped meanwhile
            connection.close()
            raise
        self._lost.clear()
        self._connected.set()
        self.connection, self._failure = connection, ""
        if self._on_message is not None:
            self._on_message("")
        self._on_change(True)
        return True

    async def _open(self, connection: Connection, where: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        if where.path:
            await loop.create_unix_connection(lambda: connection, where.path)
        else:
            await loop.create_connection(lambda: connection, where.host, where.port, ssl=self._tls)

    def _report(self, error: Exception) -> None:
        """Log the reason that a connection failed, once a minute."""
        now = asyncio.get_running_loop().time()
        self._failure = failure_reason(error, self._timeouts)
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            self._log.warn("redis connection failed", **self._labels(), reason=self._failure)

    def _labels(self) -> dict[str, str]:
        """Return the log fields that identify this connection: also the server, if it is not that of REDIS_URL."""
        labels = {"connection": self._name}
        if self._address.kind != "single" and self.endpoint is not None:
            labels["server"] = str(self.endpoint)
        return labels

    async def _handshake(self, connection: Connection) -> None:
        where = self._address
        commands: list[tuple[str | int, ...]] = [("CLIENT", "SETNAME", self._name)]
        if where.database:
            commands.insert(0, ("SELECT", where.database))
        if where.password:
            user = (where.username,) if where.username else ()
            commands.insert(0, ("AUTH", *user, where.password))
        if where.kind == "sentinel":
            commands.append(("ROLE",))
        if self._channel:
            commands.append(("SUBSCRIBE", self._channel))
        replies = await asyncio.gather(*(connection.call(*words) for words in commands))
        for words, reply in zip(commands, replies, strict=True):
            if words == ("ROLE",):  # a user without the permission relies on READONLY
                if isinstance(reply, list) and reply[0] != b"master":
                    raise RedisUnavailable("Sentinel named a replica as the primary")
            elif isinstance(reply, hiredis.ReplyError):
                raise RedisUnavailable(str(reply))

    def _on_lost(self) -> None:
        self._connected.clear()
        if self.connection is not None:
            self.connection = None
            self._log.warn("Redis connection lost", **self._labels())
            self._on_change(False)
        self._lost.set()

    def _pushed(self, reply: list[Reply]) -> None:
        if self._on_message is not None:
            self._on_message(reply[2].decode(errors="replace"))

    async def _stay_connected(self) -> None:
        while True:
            if not self.connected:
                if await self._connect():
                    self._log.info("Redis connected", **self._labels())
                else:
                    await asyncio.sleep(RETRY_S)
                continue
            # Not wait_for: in Python 3.11 it can lose the cancellation of this task.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOCATE_S):
                    await self._lost.wait()
            await self._check()

    async def _check(self) -> None:
        """Detect a peer that vanished without closing the connection, and one that is no longer the right one."""
        connection, where = self.connection, self.endpoint
        if connection is None or where is None:
            return
        with contextlib.suppress(RedisUnavailable):
            await connection.call("PING")
            if not await self._locator.is_current(where) and connection is self.connection:
                connection.close()
