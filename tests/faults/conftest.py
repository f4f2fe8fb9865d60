"""What the tests of faults share: servers of their own, which they may break, and the program as real processes."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import hiredis
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.conftest import ADMIN_TOKEN, JWT_SECRET, new_database
from tests.faults.process import Auth1
from tests.outside import twilio
from tests.outside.twilio import TwilioServer, take


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL to break. What it has committed survives `kill`."""
    settings = {"synchronous_commit": "on"}
    with PostgresServer(tmp_path_factory.mktemp("postgres"), durable=False, settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis to break."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
async def own_database_url(own_postgres: PostgresServer) -> str:
    """A migrated database, named as in the guide."""
    return await new_database(own_postgres, "auth1_db")


@pytest.fixture(scope="module")
async def module_carrier() -> AsyncIterator[TwilioServer]:
    async with TwilioServer() as server:
        yield server


@pytest.fixture
def carrier(module_carrier: TwilioServer) -> TwilioServer:
    """A server in Twilio's place that takes messages, until a test says otherwise."""
    module_carrier.behaviour = take
    module_carrier.script.clear()
    module_carrier.requests.clear()
    return module_carrier


@pytest.fixture(scope="module")
def own_environment(own_database_url: str, own_redis: RedisServer, module_carrier: TwilioServer) -> dict[str, str]:
    """What the program is started with."""
    return {
        "DATABASE_URL": own_database_url,
        "REDIS_URL": own_redis.url(),
        "JWT_SECRET": JWT_SECRET,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "RATE_LIMIT_MAX": "1000000",
        "TIMEOUT_SCALE": "3",
        "TWILIO_ACCOUNT_SID": twilio.ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
        "TWILIO_MESSAGING_SERVICE_SID": twilio.SERVICE_SID,
        "TWILIO_API_URL": module_carrier.url,
    }


Launcher = Callable[..., Auth1]


@pytest.fixture(scope="module")
def module_launcher(own_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """Make an Auth1 with a changed environment; the test starts it with `async with`."""
    numbers = itertools.count()
    directory = tmp_path_factory.mktemp("auth1")

    def make(**changes: str) -> Auth1:
        return Auth1(own_environment | changes, directory / f"log{next(numbers)}")

    return make


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher) -> AsyncIterator[Auth1]:
    """The program with ordinary settings, for the tests of one file."""
    async with module_launcher() as running:
        yield running


@pytest.fixture
async def database(own_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(own_database_url)
    yield connection
    connection.terminate()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Takes what is to be left behind in the end."""
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def tell_redis(server: RedisServer, *words: str, password: str = "") -> object:
    """Send one command to a Redis and return its reply. Raises what Redis replies as an error."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    parser = hiredis.Reader(encoding="utf-8")
    reply: object = False
    try:
        for command in [("AUTH", password), words] if password else [words]:
            writer.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub forgets longer tuples
            while (reply := parser.gets()) is False:
                parser.feed(await reader.read(65536))
            if isinstance(reply, hiredis.ReplyError):
                raise reply
    finally:
        writer.close()
    return reply
