"""The pool of connections: who waits for which connection, and when lost ones are replaced."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from auth1.core.postgres.connection_pool import MAX_CONNECTING, ConnectionPool
from auth1.dev.processes import HOST, free_port
from tests.support.process import until

WAIT_S = 300.0


class Database:
    """Connects to the database of the tests when `gate` is open, and counts the attempts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.gate = asyncio.Event()
        self.gate.set()
        self.attempts = 0
        self.connecting = self.most_connecting = 0
        self.pools: list[ConnectionPool] = []

    async def connect(self) -> asyncpg.Connection:
        self.attempts += 1
        self.connecting += 1
        self.most_connecting = max(self.most_connecting, self.connecting)
        try:
            await self.gate.wait()
            return await asyncpg.connect(self.url)
        finally:
            self.connecting -= 1

    def pool(self, *, size: int, ready: int) -> ConnectionPool:
        pool = ConnectionPool(self.connect, size=size, ready=ready)
        self.pools.append(pool)
        return pool


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    for pool in database.pools:
        await pool.close(1.0)


async def kill(connection: asyncpg.Connection, url: str) -> None:
    """End the server's process of a connection."""
    other = await asyncpg.connect(url)
    await other.execute("select pg_terminate_backend($1)", connection.get_server_pid())
    await other.close()


async def test_start_opens_the_ready_connections(database: Database) -> None:
    pool = database.pool(size=8, ready=4)
    await pool.start()

    database.gate.clear()
    taken = [await pool.acquire(WAIT_S) for _ in range(4)]

    assert len({id(one) for one in taken}) == 4
    assert database.attempts == 4


async def test_released_connection_serves_a_request_before_the_new_one(database: Database) -> None:
    pool = database.pool(size=2, ready=1)
    await pool.start()
    first = await pool.acquire(WAIT_S)
    database.gate.clear()
    waits = asyncio.create_task(pool.acquire(WAIT_S))
    await until(lambda: database.connecting == 1)

    pool.release(first)

    assert await waits is first


async def test_connection_that_comes_late_serves_the_next_request(database: Database) -> None:
    pool = database.pool(size=1, ready=0)
    database.gate.clear()
    with pytest.raises(TimeoutError):
        await pool.acquire(0.01)

    database.gate.set()

    await pool.acquire(WAIT_S)
    assert database.attempts == 1


async def test_waiting_requests_are_served_in_order(database: Database) -> None:
    pool = database.pool(size=1, ready=1)
    await pool.start()
    first = await pool.acquire(WAIT_S)
    served: list[int] = []

    async def request(number: int) -> None:
        connection = await pool.acquire(WAIT_S)
        served.append(number)
        pool.release(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(request(number))
            await asyncio.sleep(0)
        pool.release(first)

    assert served == [0, 1, 2, 3, 4]
    assert database.attempts == 1


async def test_burst_opens_few_connections_at_once_and_at_most_the_size(database: Database) -> None:
    pool = database.pool(size=6, ready=0)

    taken = await asyncio.gather(*(pool.acquire(WAIT_S) for _ in range(6)))
    with pytest.raises(TimeoutError):
        await pool.acquire(0.01)

    assert len({id(one) for one in taken}) == database.attempts == 6
    assert database.most_connecting == MAX_CONNECTING


async def test_lost_idle_connection_is_replaced_without_a_request(database: Database) -> None:
    pool = database.pool(size=4, ready=1)
    await pool.start()
    connection = await pool.acquire(WAIT_S)
    pool.release(connection)

    await kill(connection, database.url)

    await until(lambda: database.attempts == 2 and not database.connecting)
    assert await pool.acquire(WAIT_S) is not connection


async def test_connection_lost_in_use_serves_no_other_request(database: Database) -> None:
    pool = database.pool(size=1, ready=1)
    await pool.start()
    connection = await pool.acquire(WAIT_S)
    connection.terminate()
    pool.release(connection)

    assert not (await pool.acquire(WAIT_S)).is_closed()


async def test_connection_released_in_a_transaction_is_closed(database: Database) -> None:
    pool = database.pool(size=1, ready=1)
    await pool.start()
    connection = await pool.acquire(WAIT_S)
    await connection.execute("begin")
    pool.release(connection)

    assert connection.is_closed()
    assert await pool.acquire(WAIT_S) is not connection


async def test_expired_connections_are_replaced_when_they_are_released(database: Database) -> None:
    pool = database.pool(size=2, ready=2)
    await pool.start()
    in_use, idle = await pool.acquire(WAIT_S), await pool.acquire(WAIT_S)
    pool.release(idle)

    pool.expire()

    assert (in_use.is_closed(), idle.is_closed()) == (False, True)
    pool.release(in_use)
    assert in_use.is_closed()


async def test_error_of_connecting_reaches_the_request(database: Database) -> None:
    database.url = f"postgresql://{HOST}:{free_port()}/none"
    pool = database.pool(size=4, ready=1)
    with pytest.raises(ConnectionRefusedError):
        await pool.start()

    with pytest.raises(ConnectionRefusedError):
        await pool.acquire(WAIT_S)


async def test_pool_fills_itself_when_the_database_returns(database: Database) -> None:
    url, database.url = database.url, f"postgresql://{HOST}:{free_port()}/none"
    pool = database.pool(size=4, ready=2)
    with pytest.raises(ConnectionRefusedError):
        await pool.start()

    database.url = url
    before = database.attempts

    await until(lambda: database.attempts >= before + 2 and not database.connecting)
    database.gate.clear()
    assert len({id(await pool.acquire(WAIT_S)) for _ in range(2)}) == 2


async def test_unavailable_database_is_tried_by_one_connection_at_a_time(database: Database) -> None:
    url, database.url = database.url, f"postgresql://{HOST}:{free_port()}/none"
    pool = database.pool(size=8, ready=4)
    with pytest.raises(ConnectionRefusedError):
        await pool.start()
    database.most_connecting = 0

    await until(lambda: database.attempts > 3, WAIT_S)
    assert database.most_connecting == 1

    database.url = url
    await until(lambda: database.attempts >= 8, WAIT_S)
    assert len({id(await pool.acquire(WAIT_S)) for _ in range(4)}) == 4


async def test_close_waits_for_connections_in_use(database: Database) -> None:
    pool = database.pool(size=2, ready=2)
    await pool.start()
    connection = await pool.acquire(WAIT_S)

    closing = asyncio.create_task(pool.close(WAIT_S))
    await asyncio.sleep(0.05)
    assert not closing.done()
    pool.release(connection)

    await closing
    assert connection.is_closed()
    with pytest.raises(asyncpg.InterfaceError):
        await pool.acquire(WAIT_S)
