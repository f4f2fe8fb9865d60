"""`auth1 doctor` checks the production checklist: messages, JSON, and exit codes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from auth1.cli import provider_checks, service_checks
from auth1.cli.doctor import report
from auth1.config.checklist import Finding
from auth1.config.settings import load_settings
from auth1.dev.postgres import PostgresServer
from auth1.dev.processes import free_port
from auth1.dev.redis import RedisServer
from tests.cli.conftest import Run
from tests.support.commands import Ended
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer, answer


def checks(ended: Ended) -> dict[str, dict[str, Any]]:
    """Return the worst finding of each check."""
    rank = {"ok": 0, "warn": 1, "fail": 2}
    found: dict[str, dict[str, Any]] = {}
    for finding in ended.json()["checks"]:
        name = finding["check"]
        if name not in found or rank[finding["status"]] > rank[found[name]["status"]]:
            found[name] = finding
    return found


async def test_report_covers_services_and_settings(run: Run, tmp_path: Path) -> None:
    marker = tmp_path / "backup"
    marker.touch()
    async with TwilioServer(behaviour=answer(200, b'{"status":"active"}')) as twilio:
        ended = await run("doctor", "--json", "--backup-marker", str(marker), TWILIO_API_URL=twilio.url)

    found = checks(ended)
    assert ended.code == 1, ended.out
    assert ended.json()["status"] == "warn"
    for name in ("secrets", "admin token", "database", "migrations", "clock", "Redis", "Twilio", "backup"):
        assert found[name]["status"] == "ok", found[name]
    for name in ("APP_URL", "CORS", "database role", "Redis memory", "Redis eviction"):
        assert found[name]["status"] == "warn", found[name]
        assert found[name]["fix"]


async def test_failures_exit_with_2_and_print_the_fix(run: Run) -> None:
    async with TwilioServer(behaviour=answer(401, b"{}")) as twilio:
        ended = await run(
            "doctor",
            TWILIO_API_URL=twilio.url,
            SMS_PROVIDERS="twilio,console",
            ADMIN_TOKEN="short",
            REDIS_URL=f"redis://127.0.0.1:{free_port()}",
            DATABASE_URL=f"postgresql://auth1@127.0.0.1:{free_port()}/auth1_db",
        )

    assert ended.code == 2
    lines = ended.out.splitlines()
    for name in ("admin token", "SMS", "Twilio", "Redis", "database"):
        [line] = [line for line in lines if line.startswith(f"FAIL  {name}: ")]
        assert "To do: " in line


async def test_missing_migrations_and_public_url_do_not_fail_before_a_deployment(
    run: Run, postgres_server: PostgresServer
) -> None:
    """A first deployment has an empty database, and no response at APP_URL yet."""
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute("create database auth1_before_deploy")
    await connection.close()
    environment = {
        "DATABASE_URL": postgres_server.url("auth1_before_deploy"),
        "APP_URL": f"https://127.0.0.2:{free_port()}",
    }

    async with TwilioServer(behaviour=answer(200, b'{"status":"active"}')) as twilio:
        usual = await run("doctor", "--json", TWILIO_API_URL=twilio.url, **environment)
        before = await run("doctor", "--json", "--before-deploy", TWILIO_API_URL=twilio.url, **environment)

    assert (usual.code, checks(usual)["migrations"]["status"]) == (2, "fail")
    assert checks(usual)["public URL"]["status"] == "warn"
    assert (before.code, checks(before)["migrations"]["status"]) == (0, "warn"), before.out
    assert checks(usual).keys() - checks(before).keys() == {"public URL"}


async def test_failures_exit_with_2_before_a_deployment(run: Run) -> None:
    ended = await run("doctor", "--before-deploy", DATABASE_URL=f"postgresql://auth1@127.0.0.1:{free_port()}/auth1_db")

    assert ended.code == 2
    assert "FAIL  database: PostgreSQL is unavailable" in ended.out


async def test_invalid_settings_are_findings(run: Run) -> None:
    ended = await run("doctor", "--json", REDIS_URL="redis://redis/abc", HOST="example.com")

    assert ended.code == 2
    assert [finding["status"] for finding in ended.json()["checks"]] == ["fail", "fail"]


def test_backup_marker_must_be_recent(tmp_path: Path) -> None:
    marker = tmp_path / "backup"
    assert service_checks.check_backup(None, 2).status == "warn"
    assert service_checks.check_backup(str(marker), 2).status == "fail"
    marker.touch()
    assert service_checks.check_backup(str(marker), 2).status == "ok"
    three_days_ago = time.time() - 3 * 24 * 3600
    os.utime(marker, (three_days_ago, three_days_ago))
    assert service_checks.check_backup(str(marker), 2).status == "fail"


async def test_redis_with_limit_and_eviction_is_ok(tmp_path: Path, environment: dict[str, str]) -> None:
    limits = ("--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru")
    with RedisServer(tmp_path / "redis", arguments=limits) as redis:
        found = await service_checks.check_redis(load_settings(environment | {"REDIS_URL": redis.url()}))

    assert {(finding.check, finding.status) for finding in found} >= {("Redis memory", "ok"), ("Redis eviction", "ok")}


@pytest.mark.parametrize(("limit_ms", "status"), [("50", "fail"), ("5000", "ok")])
async def test_redis_check_uses_the_configured_time_limits(
    environment: dict[str, str], redis_server: RedisServer, limit_ms: str, status: str
) -> None:
    limits = {"REDIS_CONNECT_TIMEOUT_MS": limit_ms, "REDIS_CALL_TIMEOUT_MS": limit_ms}
    async with slow_relay(redis_server.port, 0.2) as port:
        settings = load_settings(environment | limits | {"REDIS_URL": f"redis://127.0.0.1:{port}"})
        found = await service_checks.check_redis(settings)

    assert [finding.status for finding in found if finding.check == "Redis"] == [status]


@asynccontextmanager
async def slow_relay(to_port: int, delay_s: float) -> AsyncIterator[int]:
    """Relay connections to a port, and delay each reply."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_s: float) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(wait_s)
                writer.write(data)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.append(asyncio.current_task())
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(copy(reader, redis_writer, 0), copy(redis_reader, writer, delay_s))

    relays: list[asyncio.Task[None] | None] = []
    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, relays))


@pytest.mark.parametrize("user", ["", "wrong:password@"])
async def test_smtp_is_checked_without_a_message(environment: dict[str, str], user: str) -> None:
    async with SmtpServer() as mail:
        url = mail.url.replace("smtp://", f"smtp://{user}") if user else mail.url
        settings = load_settings(environment | {"SMTP_URL": url, "EMAIL_FROM": "no-reply@example.com"})
        [finding] = await provider_checks.check_smtp(settings)

    assert finding.status == ("fail" if user else "ok"), finding


def test_report_has_one_line_for_each_finding() -> None:
    found = [Finding("a", "ok", "Fine.", "nothing"), Finding("b", "fail", "Broken.", "mend it")]

    assert report(found) == "ok    a: Fine.\nFAIL  b: Broken. To do: mend it."
    assert msgspec.json.encode(found[0]._asdict())
