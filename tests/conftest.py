"""Fixtures of all tests: real PostgreSQL and Redis, the application, and a server in Twilio's place."""

import gc
import importlib
import itertools
import math
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import hypothesis
import pytest

from auth1.app import build_app, start_services, stop_services
from auth1.config.settings import load_settings
from auth1.core.http.asgi import App
from auth1.core.redis import Redis, Script
from auth1.core.redis.slots import key_slot
from auth1.core.telemetry.log import Log
from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from auth1.fraud import assess
from auth1.identifiers import parse_phone
from auth1.services import Services
from tests.declared_errors import DeclaredErrors
from tests.support import commands
from tests.support.api_client import ADMIN_TOKEN, ApiClient, new_client
from tests.support.commands import CommandServer
from tests.support.pgbouncer import IS_WANTED, PgBouncer
from tests.support.postgres_files import PostgresFiles, make_postgres_files, new_database
from tests.support.providers import twilio
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_asgi import RawAsgi
from tests.support.redis_fleet import ClusterFleet, SentinelFleet, start_wanted

TESTS = Path(__file__).parent
# In order of their time, which is more than 15 seconds for each.
LONG = {
    name: place
    for place, name in enumerate(
        (
            "openapi/test_fuzz.py",
            "bench/test_fraud_rules.py",
            "ops/test_image.py",
            "audit/test_verify.py",
            "cli/test_commands.py",
            "cli/test_dev.py",
            "tenants/test_move.py",
            "openapi/test_commands.py",
            "browser/test_docs_page.py",
            "browser/test_link_page_languages.py",
            "messaging/test_twilio_faults.py",
            "webhooks/delivery/test_order.py",
            "messaging/test_delivery_report_orders.py",
            "faults/test_killed_workers.py",
            "core/outbound/test_uvloop.py",
            "dev/test_servers.py",
            "dev/test_root.py",
            "audit/test_stream_processes.py",
            "faults/test_late_statements.py",
        )
    )
}
SHORT = ("api", "applications", "authn", "challenges", "config", "magic_links", "templates", "unit", "users")
JWT_SECRET = "a secret for signing that only the tests know"


# A slow machine draws and runs examples slowly, which is no fault.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(DeclaredErrors())
    # A shell lets programs in the background ignore Ctrl-C, and the servers of the tests would do so too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection(session: pytest.Session) -> None:
    """Import all files in another order in each process of xdist.

    Rewriting their assertions takes most of the collection. The result is stored, so each process rewrites a part.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if process and [Path(path).resolve() for path in session.config.args] == [TESTS]:
        paths = sorted(TESTS.rglob("test_*.py"))
        first = len(paths) * process // processes
        for path in paths[first:] + paths[:first]:
            with suppress(Exception, pytest.skip.Exception):  # the collection reports it
                importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))


def pytest_xdist_auto_num_workers() -> int:
    """Run two processes more than there are cores: many tests wait, and another test can use the core."""
    return len(os.sched_getaffinity(0)) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first and folders of short files last, so that the processes end at about the same time."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    name = item.nodeid.partition("::")[0].removeprefix("tests/")
    return LONG.get(name, len(LONG) + (name.partition("/")[0] in SHORT))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays until the end: all modules and tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def scripts_of_one_slot() -> Iterator[None]:
    """Hold every script that any test runs against the rule of Redis Cluster: its keys share one slot."""
    run = Redis.run

    async def checked(redis: Redis, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        assert len({key_slot(key) for key in keys}) == 1, f"{script.name} has keys of several slots: {keys}"
        return await run(redis, script, keys, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Redis, "run", checked)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_sample_of_decisions() -> Iterator[None]:
    """Record an allowed request where the policy samples all of them, and never by the chance of the default 1 %."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assess, "random", SimpleNamespace(random=lambda: math.nextafter(1.0, 0.0)))
        yield


@pytest.fixture(scope="session")
async def postgres_files(tmp_path_factory: pytest.TempPathFactory) -> PostgresFiles:
    """Return the files of a PostgreSQL with migrated databases. Servers of tests start with copies."""
    return await make_postgres_files(tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_server(
    postgres_files: PostgresFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    # Every application that a test starts keeps its pool until the end.
    with postgres_files.server(tmp_path_factory.mktemp("postgres"), {"max_connections": "1000"}) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer | None]:
    """Return the PgBouncer of all applications, with `just test-pgbouncer`; None otherwise."""
    if not IS_WANTED:
        yield None
        return
    with PgBouncer(tmp_path_factory.mktemp("pgbouncer"), postgres_server) as server:
        yield server


@pytest.fixture(scope="session")
async def database_url(postgres_server: PostgresServer) -> str:
    """Return a migrated database, shared by the tests of one process."""
    return await new_database(postgres_server, "auth1_test")


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection to the database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def twilio_server() -> AsyncIterator[TwilioServer]:
    async with TwilioServer() as server:
        yield server


@pytest.fixture(scope="session")
def environment(database_url: str, redis_server: RedisServer, twilio_server: TwilioServer) -> dict[str, str]:
    """Return the environment that `auth1 serve` is started with."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_server.url(),
        "JWT_SECRET": JWT_SECRET,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "RATE_LIMIT_MAX": "1000000",
        "TIMEOUT_SCALE": "10",
        "TWILIO_ACCOUNT_SID": twilio.ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
        "TWILIO_MESSAGING_SERVICE_SID": twilio.SERVICE_SID,
        "TWILIO_API_URL": twilio_server.url,
    }


@pytest.fixture(scope="session")
def command_server() -> CommandServer:
    """Return what runs `auth1 …` without a new interpreter for each command."""
    return commands.command_server()


Started = Callable[..., Awaitable[ApiClient]]
_background: list[Services] = []


@pytest.fixture(scope="module", autouse=True)
async def stops_background_jobs() -> AsyncIterator[None]:
    """Stop the applications with background jobs that a file started: no job runs beside the tests of other files."""
    yield
    while _background:
        await stop_services(_background.pop())


@pytest.fixture(scope="session")
def redis_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelFleet | ClusterFleet | None]:
    """Return the servers of all applications, with `just test-redis`; None otherwise."""
    fleet = start_wanted(tmp_path_factory.mktemp("redis-fleet"))
    yield fleet
    if fleet is not None:
        fleet.close()


@pytest.fixture(scope="session")
async def start_app(
    environment: dict[str, str],
    pgbouncer: PgBouncer | None,
    redis_fleet: SentinelFleet | ClusterFleet | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Started]:
    """Start an application with a changed environment; all are stopped at the end.

    One with background jobs runs until the end of the file, so a fixture of the session must not start it.
    """
    started: list[Services] = []

    async def start(*, background: bool = False, **changes: str) -> ApiClient:
        variables = environment | ({"REDIS_URL": redis_fleet.url} if redis_fleet else {}) | changes
        settings = load_settings(pgbouncer.routed(variables) if pgbouncer else variables)
        log_path = tmp_path_factory.mktemp("log") / "stdout"
        log = Log("debug", os.open(log_path, os.O_WRONLY | os.O_CREAT))
        app: App[Services] = build_app(settings, log)
        app.services = await start_services(settings, log, background=background)
        (_background if background else started).append(app.services)
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 4000))
        client = new_client(transport, "http://localhost:3000")
        return ApiClient(transport, client, app.services, load_settings(variables), log_path)  # tests connect directly

    yield start
    for services in started:
        await stop_services(services)


@pytest.fixture(scope="session")
async def api(start_app: Started) -> ApiClient:
    """Return an application with default settings."""
    return await start_app()


@pytest.fixture(scope="session")
async def tenant(api: ApiClient) -> dict[str, Any]:
    """Return a tenant with default settings; tests must not change it."""
    return await api.tenant()


@pytest.fixture(scope="session")
def raw_asgi(api: ApiClient) -> RawAsgi:
    """Return a raw ASGI client of the default application."""
    return RawAsgi(api)


# Area codes 202 to 499: among the higher ones are personal, toll-free and premium numbers, which are rejected. And of
# those only the United States': others belong to Canada and to islands. Areas 201 and 212 and some endings are left to
# tests that write a number out or generate one: applications of a whole run share one Twilio server.
_AREAS = [area for area in range(202, 500) if area != 212 and parse_phone(f"+1{area}5550100").country == "US"]
_ENDINGS = sorted(set(range(100)) - {0, 1, 23, 42, 43, 99})
_numbers = itertools.count(secrets.randbelow(len(_AREAS) * len(_ENDINGS)))


@pytest.fixture
def phone() -> str:
    """Return a fictional number (+1 NXX 555 01xx) that no other test uses."""
    return new_phone()


def new_phone() -> str:
    area, ending = divmod(next(_numbers), len(_ENDINGS))
    return f"+1{_AREAS[area % len(_AREAS)]}55501{_ENDINGS[ending]:02d}"
