"""The output of `auth1 serve` at startup, and its exit codes on failure."""

import socket
from pathlib import Path

import asyncpg
import pytest

from auth1.core.postgres.migrations import migrations
from auth1.dev.postgres import PostgresServer
from auth1.dev.processes import free_port
from auth1.dev.redis import RedisServer
from tests.conftest import JWT_SECRET
from tests.faults.conftest import Launcher, redis_command
from tests.support.api_client import ADMIN_TOKEN
from tests.support.process import Auth1, until
from tests.support.providers.twilio import AUTH_TOKEN, TwilioServer


async def ending(process: Auth1) -> tuple[int, list[str]]:
    """Run to the end; return the exit code and the output."""
    process.spawn()
    try:
        return await process.exit_code(), process.text().splitlines()
    finally:
        process.end()
        await process.client.aclose()


async def test_startup_prints_four_lines_without_passwords(
    module_launcher: Launcher, own_database_url: str, own_redis: RedisServer
) -> None:
    await redis_command(own_redis, "CONFIG", "SET", "requirepass", "redis-secret")
    try:
        async with module_launcher(
            new_interpreter=True,
            DATABASE_URL=own_database_url.replace("auth1@", "auth1:database-secret@"),
            REDIS_URL=own_redis.url().replace("redis://", "redis://:redis-secret@"),
        ) as server:
            assert (await server.client.get("/health")).json()["status"] == "healthy"
            text = server.text()
    finally:
        await redis_command(own_redis, "CONFIG", "SET", "requirepass", "", password="redis-secret")
    assert text.splitlines()[:4] == [
        f"Auth1 server running on port {server.port}",
        "Database connected: auth1_db",
        f"Redis connected: redis://127.0.0.1:{own_redis.port}/0",
        f"Migrations applied: {len(migrations())} migrations",
    ]
    for secret in ("database-secret", "redis-secret", JWT_SECRET, ADMIN_TOKEN, AUTH_TOKEN):
        assert secret not in text


async def test_empty_database_is_migrated_at_startup(module_launcher: Launcher, own_postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(own_postgres.url())
    await connection.execute('create database "my app"')
    await connection.close()

    async with module_launcher(DATABASE_URL=own_postgres.url("my app")) as server:
        assert await server.status("/health/ready") == 200
        assert "Database connected: my app\n" in server.text()


async def test_port_in_use_is_reported_in_one_line(module_launcher: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]

        code, lines = await ending(module_launcher(PORT=str(port)))

    assert code == 1
    assert lines == [f"auth1: cannot listen on 127.0.0.1:{port}: Address already in use; set PORT to another port"]


async def test_all_configuration_errors_are_reported_together(module_launcher: Launcher) -> None:
    code, lines = await ending(
        module_launcher(
            DATABASE_URL="",
            REDIS_URL="http://redis",
            JWT_SECRET="your-256-bit-secret-here",
            WORKERS="many",
            TWILIO_AUTH_TOKEN="your_auth_token_here",
            LOG_LEVEL="loud",
            TRUSTED_PROXIES="10.0.0.0/33",
        )
    )

    assert code == 2
    text = "\n".join(lines)
    for name in (
        *("DATABASE_URL is required", "REDIS_URL must be a URL", "JWT_SECRET is the sample", "WORKERS must be a whole"),
        *("TWILIO_AUTH_TOKEN is the sample", "LOG_LEVEL must be one of", "TRUSTED_PROXIES: '10.0.0.0/33'"),
    ):
        assert name in text
    assert len(lines) == 7
    assert all(line.startswith("auth1: ") for line in lines)


@pytest.mark.parametrize("sample", ["your-256-bit-secret-here", "31-bytes-are-one-byte-too-short", ""])
async def test_weak_jwt_secret_is_rejected(module_launcher: Launcher, sample: str) -> None:
    code, lines = await ending(module_launcher(JWT_SECRET=sample))

    assert code == 2
    [line] = lines
    assert line.startswith("auth1: JWT_SECRET ")
    assert not sample or sample not in line


async def test_secrets_are_read_from_files(
    module_launcher: Launcher, tmp_path: Path, own_environment: dict[str, str]
) -> None:
    changes: dict[str, str] = {}
    for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET", "ADMIN_TOKEN", "TWILIO_AUTH_TOKEN"):
        file = tmp_path / name.lower()
        file.write_text(own_environment[name] + "\n")
        changes |= {f"{name}_FILE": str(file), name: ""}

    async with module_launcher(**changes) as server:
        assert (await server.client.get("/health")).json()["status"] == "healthy"
        assert (await server.tenant())["api_key"]  # the operator's token was read too


async def test_missing_secret_file_is_reported(module_launcher: Launcher, tmp_path: Path) -> None:
    code, lines = await ending(module_launcher(JWT_SECRET="", JWT_SECRET_FILE=str(tmp_path / "none")))

    assert code == 2
    [line] = lines
    assert line.startswith(f"auth1: JWT_SECRET_FILE={tmp_path}/none cannot be read: ")


async def test_unavailable_database_stops_startup_with_one_line(module_launcher: Launcher) -> None:
    url = f"postgresql://auth1:database-secret@127.0.0.1:{free_port()}/auth1_db"

    code, lines = await ending(module_launcher(DATABASE_URL=url, TIMEOUT_SCALE="1"))

    assert code == 1
    [line] = lines
    assert line.startswith("auth1: the database cannot be reached: ")
    assert "127.0.0.1" in line
    assert line.endswith("; check DATABASE_URL")
    assert "database-secret" not in line


async def test_hanging_database_stops_startup_with_one_line(
    module_launcher: Launcher, own_postgres: PostgresServer
) -> None:
    own_postgres.freeze()
    try:
        code, lines = await ending(module_launcher(TIMEOUT_SCALE="1"))
    finally:
        own_postgres.thaw()

    assert code == 1
    [line] = lines
    assert line.startswith("auth1: the database cannot be reached: no answer from 127.0.0.1:")


async def test_startup_waits_for_a_starting_database(module_launcher: Launcher, own_postgres: PostgresServer) -> None:
    own_postgres.stop()
    server = module_launcher()
    server.spawn()
    try:
        own_postgres.start()
        async with server.client:
            await until(server.answers)
    finally:
        server.end()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("/auth1_db", "/nowhere"), 'database "nowhere" does not exist'),
        (("auth1@", "missing:database-secret@"), 'role "missing" does not exist'),
    ],
)
async def test_database_connection_error_is_quoted(
    module_launcher: Launcher, own_database_url: str, change: tuple[str, str], reason: str
) -> None:
    code, lines = await ending(module_launcher(DATABASE_URL=own_database_url.replace(*change)))

    assert code == 1
    [line] = lines
    assert line.startswith("auth1: ")
    assert reason in line
    assert line.endswith("; check DATABASE_URL")
    assert "database-secret" not in line


async def test_missing_permission_is_no_problem_of_the_url(
    module_launcher: Launcher, own_postgres: PostgresServer, own_database_url: str
) -> None:
    connection = await asyncpg.connect(own_postgres.url())
    await connection.execute("create role reader login")
    await connection.close()

    code, lines = await ending(module_launcher(DATABASE_URL=own_database_url.replace("auth1@", "reader@")))

    assert code == 1
    [line] = lines
    assert line.startswith("auth1: the database cannot be migrated: permission denied for ")
    assert "DATABASE_URL" not in line


async def test_wrong_database_password_is_reported(
    module_launcher: Launcher, own_postgres: PostgresServer, own_database_url: str
) -> None:
    connection = await asyncpg.connect(own_postgres.url())
    await connection.execute("create role guest login password 'right'")
    path = Path(await connection.fetchval("show hba_file"))
    hba = own_postgres.data_dir / "data" / path.name
    kept = hba.read_text()
    hba.write_text("host all guest 127.0.0.1/32 scram-sha-256\n" + kept)
    await connection.execute("select pg_reload_conf()")
    await connection.close()
    url = own_database_url.replace("auth1@", "guest:wrong-secret@")

    code, lines = await ending(module_launcher(DATABASE_URL=url))

    hba.write_text(kept)
    assert code == 1
    [line] = lines
    assert 'password authentication failed for user "guest"' in line
    assert "wrong-secret" not in line


async def test_server_without_twilio_starts_with_a_warning(module_launcher: Launcher, carrier: TwilioServer) -> None:
    nothing = {"TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": "", "TWILIO_MESSAGING_SERVICE_SID": ""}

    async with module_launcher(**nothing) as server:
        assert await server.status("/health/ready") == 200
        await until(lambda: "No SMS provider is configured" in server.text(), explain=server.text)
