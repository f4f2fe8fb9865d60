"""Fixtures of the fault tests: servers that a test may break, and the program as real processes."""

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
from tests.conftest import JWT_SECRET
from tests.support.api_client import ADMIN_TOKEN
from tests.support.postgres_files import PostgresFiles, new_database
from tests.support.process import Auth1
from tests.support.providers import twilio
from tests.support.providers.twilio import TwilioServer, take

DATABASE = "auth1_db"


@pytest.fixture(scope="module")
def own_postgres(postgres_files: PostgresFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Return a PostgreSQL that a test may break. Committed data survives `kill`."""
    with postgres_files.server(tmp_path_factory.mktemp("postgres"), {"synchronous_commit": "on"}) as server:
        yield server


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that a test may break."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
async def own_database_url(own_postgres: PostgresServer) -> str:
    """Return a migrated database, named as in the documentation."""
    return await new_database(own_postgres, DATABASE)


@pytest.fixture(scope="module")
async def module_carrier() -> AsyncIterator[TwilioServer]:
    async with TwilioServer() as server:
        yield server


@pytest.fixture
def carrier(module_carrier: TwilioServer) -> TwilioServer:
    """Return a server in Twilio's place that accepts messages by default."""
    module_carrier.behaviour = take
    module_carrier.script.clear()
    module_carrier.requests.clear()
    return module_carrier


@pytest.fixture(scope="module")
def own_environment(own_database_url: str, own_redis: RedisServer, module_carrier: TwilioServer) -> dict[str, str]:
    """Return the environment of the program."""
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
    """Return a function that makes an Auth1 with a changed environment, to be started with `async with`."""
    numbers = itertools.count()
    directory = tmp_path_factory.mktemp("auth1")

    def make(*, new_interpreter: bool = False, **changes: str) -> Auth1:
        log = directory / f"log{next(numbers)}"
        return Auth1(own_environment | changes, log, new_interpreter=new_interpreter)

    return make


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher) -> AsyncIterator[Auth1]:
    """Return the program with default settings, for the tests of one file."""
    async with module_launcher() as running:
        yield running


@pytest.fixture
async def database(own_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a database connection of the test."""
    connection = await asyncpg.connect(own_database_url)
    yield connection
    connection.terminate()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Return an exit stack that is closed at the end of the test."""
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def redis_command(server: RedisServer, *words: str, password: str = "") -> object:
    """Send one command to a Redis and return its reply. Raise an error reply."""
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
