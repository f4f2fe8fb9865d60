"""Checks of PostgreSQL, Redis and the backup marker for `auth1 doctor`."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from auth1.config.checklist import Finding, Status
from auth1.config.settings import Settings
from auth1.core.postgres.migrations import MigrationError, migrations, pending
from auth1.core.postgres.pooler import pooler_problem
from auth1.core.postgres.queries import Queries
from auth1.core.redis import Node, Redis, RedisUnavailable
from auth1.core.redis.slots import SLOTS
from auth1.core.telemetry.log import Log
from auth1.services import new_redis

MAX_CLOCK_SKEW_S = 2.0  # tokens and rate limits compare clocks in whole seconds
MAX_LATENCY_MS = {"PostgreSQL": 10.0, "Redis": 5.0}  # a login needs two calls of each
MIN_POSTGRES = 140_000
MIN_MAXMEMORY = 64 * 1024 * 1024
SAMPLES = 7
DAY_S = 24 * 3600
_QUERIES = Queries("doctor")
_EVICTION_POLICIES = ("allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu", "volatile-ttl")


async def check_database(settings: Settings) -> list[Finding]:
    """Check version, role, TLS, connections, clock and latency of PostgreSQL."""
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=5, statement_cache_size=0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        problem = str(error) or "no answer"
        return [Finding("database", "fail", f"PostgreSQL is unavailable: {problem}.", "check DATABASE_URL")]
    try:
        before = time.time()
        facts = await connection.fetchrow(_QUERIES["database_facts"].text)
        middle = (before + time.time()) / 2
        milliseconds = await _latency_ms(lambda: connection.execute("select 1"))
    finally:
        await connection.close()
    assert facts is not None, "the statement returns one row"
    needed = settings.database_pool_size + (2 if settings.workers else 0)
    findings = [
        _finding(
            "database",
            facts["version_number"] >= MIN_POSTGRES,
            f"PostgreSQL {facts['version']} answers.",
            "upgrade PostgreSQL to 14 or later",
        ),
        _finding(
            "database role",
            not facts["superuser"],
            "The role is a superuser." if facts["superuser"] else "The role is not a superuser.",
            "connect as a role that owns the database and is not a superuser",
        ),
        _finding(
            "database connections",
            facts["max_connections"] >= 2 * needed,
            f"max_connections is {facts['max_connections']}; this instance uses up to {needed}.",
            "raise max_connections, lower DATABASE_POOL_SIZE or use PgBouncer: a restart needs both instances' pools",
        ),
        Finding("database connection", "ok", f"The connection {'uses' if facts['tls'] else 'does not use'} TLS."),
        _clock("PostgreSQL", facts["now"].timestamp() - middle),
        _latency("PostgreSQL", milliseconds),
    ]
    return findings


async def check_pooler(settings: Settings) -> list[Finding]:
    """Check that the statement cache is off where a pooler, such as PgBouncer, is between Auth1 and PostgreSQL."""
    findings = []
    for name, url in (("DATABASE_URL", settings.database_url), ("DATABASE_READ_URL", settings.database_read_url)):
        if url is None:
            continue
        try:
            problem = await pooler_problem(url, settings.database_statement_cache_size)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if name == "DATABASE_READ_URL":  # check_database reports the other
                reason = str(error) or "no answer"
                fix = "check DATABASE_READ_URL; until then reads go to DATABASE_URL"
                findings.append(Finding("replica", "warn", f"The replica is unavailable: {reason}.", fix))
        else:
            if problem is not None:
                message = f"{name}: {problem}."
                findings.append(Finding("database pooler", "fail", message, "set DATABASE_STATEMENT_CACHE_SIZE=0"))
    return findings


async def check_migrations(settings: Settings) -> list[Finding]:
    """Check that all migrations are applied and unchanged."""
    return [
        finding._replace(status="fail", fix="run auth1 migrate") if finding.status == "warn" else finding
        for finding in await check_migrations_to_apply(settings)
    ]


async def check_migrations_to_apply(settings: Settings) -> list[Finding]:
    """Check that the applied migrations are unchanged. Missing ones are a warning: the deployment applies them."""
    try:
        missing = await pending(settings.database_url)
    except MigrationError as error:
        return [Finding("migrations", "fail", str(error), "install the version that migrated this database")]
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []  # check_database reports it
    message = f"Missing: {', '.join(missing[:3])}{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}."
    ok = f"All {len(migrations())} migrations are applied."
    return [_finding("migrations", not missing, message if missing else ok, "back up; the deployment applies them")]


async def check_redis(settings: Settings) -> list[Finding]:
    """Check topology, memory, eviction, clock and latency of Redis, on each server that accepts writes."""
    redis = new_redis(settings, Log("error"), "auth1-doctor")
    try:
        if not await redis.start() and not await _is_connected(redis):
            message = f"Redis is unavailable ({redis.failure}): rate limits are kept per process."
            return [Finding("Redis", "fail", message, "check REDIS_URL"), *_topology(await _nodes(redis))]
        nodes = await _nodes(redis)
        checked = [await _check_redis_server(server, str(server.endpoint)) for server in redis.primaries()]
    except RedisUnavailable as error:
        return [Finding("Redis", "fail", f"Redis rejected a command: {error}.", "check the user's permissions")]
    finally:
        await redis.stop()
    return [*_topology(nodes), *(finding for findings in checked for finding in findings)]


async def _nodes(redis: Redis) -> list[Node]:
    try:
        return await redis.topology()
    except RedisUnavailable:
        return []


def _topology(nodes: list[Node]) -> list[Finding]:
    """Describe sentinels, primaries and replicas; a single server has no findings."""
    if len(nodes) < 2:
        return []
    slots = sum(node.slots for node in nodes)
    findings = []
    for role in ("sentinel", "primary", "replica"):
        names = [
            f"{node.endpoint} ({node.slots} slots)" if node.slots else str(node.endpoint)
            for node in nodes
            if node.role == role
        ]
        if names:
            plural = "primaries" if role == "primary" and len(names) > 1 else role + "s" * (len(names) > 1)
            findings.append(Finding("Redis topology", "ok", f"{len(names)} {plural}: {', '.join(names)}."))
    sentinels = sum(node.role == "sentinel" for node in nodes)
    if slots:
        fix = "assign all slots: redis-cli --cluster fix"
        findings.append(_finding("Redis slots", slots == SLOTS, f"{slots} of {SLOTS} slots are served.", fix, "fail"))
    elif sentinels:
        fix = "list three sentinels on three machines, or losing one stops failovers"
        findings.append(_finding("Redis sentinels", sentinels > 2, f"REDIS_URL lists {sentinels} sentinels.", fix))
    replicas = any(node.role == "replica" for node in nodes)
    fix = "add a replica for each primary, or losing one loses its counters until it is back"
    found = "Replicas can take over." if replicas else "There is no replica."
    return [*findings, _finding("Redis replicas", replicas, found, fix)]


async def _check_redis_server(redis: Redis, name: str) -> list[Finding]:
    """Check one server. Raises RedisUnavailable."""
    before = time.time()
    seconds, micros = await redis.call("TIME")
    skew_s = int(seconds) + int(micros) / 1e6 - (before + time.time()) / 2
    lines = (await redis.call("INFO")).decode(errors="replace").splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    milliseconds = await _latency_ms(lambda: redis.call("PING"))
    return [
        Finding("Redis", "ok", f"Redis {info.get('redis_version', '')} answers at {name}."),
        *_memory(int(info.get("maxmemory", 0)), info.get("maxmemory_policy", "unknown")),
        _clock("Redis", skew_s),
        _latency("Redis", milliseconds),
    ]


def check_backup(marker: str | None, days: int) -> Finding:
    """Check the time of a file that the backup job touches after each success."""
    if marker is None:
        fix = "touch a file after each successful backup, and pass it: --backup-marker FILE"
        return Finding("backup", "warn", "No backup marker was given.", fix)
    try:
        age_days = (time.time() - Path(marker).stat().st_mtime) / DAY_S
    except OSError as error:
        return Finding("backup", "fail", f"{marker} cannot be read: {error.strerror}.", "check the backup job")
    message = f"The last backup is {max(age_days, 0):.1f} days old."
    return _finding("backup", age_days <= days, message, f"check the backup job: it must run every {days} days", "fail")


def _memory(maxmemory: int, policy: str) -> list[Finding]:
    """Check that Redis has a memory limit and evicts at it: Auth1 keeps counters and caches there, nothing else."""
    fix = "set maxmemory 128mb and maxmemory-policy allkeys-lru"
    limit = f"{maxmemory // 1024 // 1024} MB" if maxmemory else "unlimited"
    return [
        _finding("Redis memory", maxmemory >= MIN_MAXMEMORY, f"maxmemory is {limit}.", fix),
        _finding("Redis eviction", policy in _EVICTION_POLICIES, f"maxmemory-policy is {policy}.", fix),
    ]


def _clock(server: str, skew_s: float) -> Finding:
    message = f"The clocks of this machine and {server} differ by {abs(skew_s):.1f} s."
    return _finding("clock", abs(skew_s) <= MAX_CLOCK_SKEW_S, message, "synchronise both with NTP", "fail")


def _latency(server: str, milliseconds: float) -> Finding:
    message = f"{server} answers in {milliseconds:.1f} ms (median of {SAMPLES})."
    return _finding("latency", milliseconds <= MAX_LATENCY_MS[server], message, f"run Auth1 closer to {server}")


async def _is_connected(redis: Redis) -> bool:
    """Wait until the background task has connected: one attempt may time out."""
    for _ in range(30):
        if redis.connected:
            return True
        await asyncio.sleep(0.1)
    return False


async def _latency_ms(call: Callable[[], Awaitable[object]]) -> float:
    samples = []
    for _ in range(SAMPLES):
        started = time.perf_counter()
        await call()
        samples.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.01)
    return statistics.median(samples)


def _finding(check: str, is_ok: bool, message: str, fix: str, worst: Status = "warn") -> Finding:
    return Finding(check, "ok" if is_ok else worst, message, "" if is_ok else fix)
