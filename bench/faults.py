"""The faults of `bench/chaos.py`: each runs for some seconds during a load of logins and is reverted at its end."""

import asyncio
import os
import random
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress

import asyncpg

from auth1.dev.processes import HOST
from auth1.messaging.providers.twilio import CALLBACK_PATH
from bench.stage import Serving, Stage

UNREAD = 2_000
STALLED = 1_000
ATTACKER = "127.0.0.2"  # another address than that of the load
HALF_BODY = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: %b\r\ncontent-length: 100\r\n\r\na="
CALLBACK = CALLBACK_PATH.encode()


class Site:
    """Two instances of two workers, on ports that they keep. Starting and stopping blocks, so a thread does it."""

    def __init__(self, stage: Stage, ports: tuple[int, int]) -> None:
        self.stage = stage
        self.ports = ports
        self._stacks: dict[int, ExitStack] = {}
        self._running: dict[int, Serving] = {}
        self._thread = ThreadPoolExecutor(1)  # processes end with the thread that started them

    @property
    def workers(self) -> list[int]:
        return [pid for serving in self._running.values() for pid in serving.workers]

    @property
    def first(self) -> Serving:
        return self._running[self.ports[0]]

    async def start(self, port: int) -> None:
        await self.call(lambda: self._start(port))

    async def stop(self, port: int) -> None:
        await self.call(self._stacks.pop(port).close)

    async def call(self, act: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def _start(self, port: int) -> None:
        self._stacks[port] = ExitStack()
        self._running[port] = self._stacks[port].enter_context(self.stage.serve(port, WORKERS="2"))

    async def close(self) -> None:
        for port in list(self._stacks):
            await self.stop(port)
        self._thread.shutdown()


async def none(site: Site, seconds: float) -> None:
    """Nothing fails."""
    await asyncio.sleep(seconds)


async def worker_deaths(site: Site, seconds: float) -> None:
    """Kill a worker (SIGKILL) every few seconds, sometimes two within 0.3 s."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if workers := site.workers:
            with suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
        await asyncio.sleep(random.choice((0.3, 5.0, 8.0)))


async def redis_stops(site: Site, seconds: float) -> None:
    """Redis is stopped for half of the time."""
    await site.call(site.stage.redis.stop)
    await asyncio.sleep(seconds / 2)
    await site.call(site.stage.redis.start)
    await asyncio.sleep(seconds / 2)


async def redis_freezes(site: Site, seconds: float) -> None:
    """Freeze Redis for 1 s of every 2 s."""
    for _ in range(max(1, int(seconds / 2))):
        site.stage.redis.freeze()
        await asyncio.sleep(1)
        site.stage.redis.thaw()
        await asyncio.sleep(1)


async def database_stops(site: Site, seconds: float) -> None:
    """PostgreSQL is stopped for a quarter of the time, and a worker is killed meanwhile."""
    await site.call(site.stage.postgres.stop)
    await asyncio.sleep(seconds / 8)
    for worker in site.workers[:1]:
        os.kill(worker, signal.SIGKILL)
    await asyncio.sleep(seconds / 8)
    await site.call(site.stage.postgres.start)
    await asyncio.sleep(seconds * 3 / 4)


async def database_freezes(site: Site, seconds: float) -> None:
    """Freeze PostgreSQL for 1 s of every 4 s."""
    for _ in range(max(1, int(seconds / 4))):
        site.stage.postgres.freeze()
        await asyncio.sleep(1)
        site.stage.postgres.thaw()
        await asyncio.sleep(3)


async def cuts(site: Site, seconds: float) -> None:
    """Every 2 s all connections to PostgreSQL and Redis are cut."""
    connection = await asyncpg.connect(site.stage.postgres.url())
    sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'auth1%'"
    try:
        for _ in range(max(1, int(seconds / 2))):
            await connection.execute(sql)
            reader, writer = await asyncio.open_connection(HOST, site.stage.redis.port)
            writer.write(b"CLIENT KILL TYPE normal SKIPME yes\r\n")
            await reader.readline()
            writer.close()
            await asyncio.sleep(2)
    finally:
        await connection.close()


async def slow_readers(site: Site, seconds: float) -> None:
    """2,000 connections send 30 requests each and read nothing; past nginx, straight to an instance."""
    async with _connections(site.ports[0], UNREAD, b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * 30):
        await asyncio.sleep(seconds)


async def stalled_bodies(site: Site, seconds: float) -> None:
    """1,000 connections send half of a body to public routes, again after each error."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        form = HALF_BODY % (CALLBACK, b"application/x-www-form-urlencoded\r\nx-twilio-signature: x")
        async with _connections(site.ports[0], STALLED, form):
            await asyncio.sleep(min(5.0, seconds))


async def rolling_restarts(site: Site, seconds: float) -> None:
    """Restart one instance after the other, without a pause."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        for port in site.ports:
            await site.stop(port)
            await site.start(port)


Fault = Callable[[Site, float], Awaitable[None]]
FAULTS: tuple[Fault, ...] = (
    none,
    worker_deaths,
    redis_stops,
    redis_freezes,
    database_stops,
    database_freezes,
    cuts,
    slow_readers,
    stalled_bodies,
    rolling_restarts,
)


@asynccontextmanager
async def _connections(port: int, count: int, data: bytes) -> AsyncIterator[None]:
    """Open connections that send some bytes and read nothing."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            connection.bind((ATTACKER, 0))
            with suppress(OSError):
                async with asyncio.timeout(1.0):
                    await loop.sock_connect(connection, (HOST, port))
                connection.send(data)
        yield
