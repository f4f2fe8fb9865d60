"""Health checks for operators (`/health`) and for Kubernetes (live, ready); metrics for Prometheus."""

import asyncio
import os
import time
from pathlib import Path
from typing import Literal

from auth1 import __version__, metrics
from auth1.core.http.request import Request, Response
from auth1.core.postgres import Queries
from auth1.core.postgres.migrations import MigrationError, missing
from auth1.core.schemas import Out
from auth1.services import Services

DATABASE_STATE = Queries("migrate")["describe_database"]
RANK_EVERY_S = 60.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Health(Out):
    """The response of `/health`. `uptime` is in seconds; `memory_mb` is this worker's resident memory.

    `providers`: `ok`, or `failing` while this worker skips a provider after repeated failures (open circuit breaker).
    """

    status: str
    uptime: int
    database: str
    redis: str
    version: str
    memory_mb: int
    providers: dict[str, Literal["ok", "failing"]]


class Readiness(Out):
    """Readiness; `reason` if the instance is not ready."""

    ready: bool
    reason: str | None = None


class Liveness(Out):
    """Liveness."""

    alive: bool = True


async def health(app: Services, request: Request[None]) -> Response:
    """Report the state of all dependencies; 503 only without the database, because logins continue without Redis."""
    database = await _database_state(app)
    redis = app.redis.connected
    report = Health(
        status="unhealthy" if database is not None else "healthy" if redis else "degraded",
        uptime=int(time.monotonic() - app.started_at),
        database="disconnected" if database == "unreachable" else "connected",
        redis="connected" if redis else "disconnected",
        version=__version__,
        memory_mb=resident_bytes() // 1_000_000,
        providers={name: "ok" if state == "closed" else "failing" for name, state in app.messenger.breakers.items()},
    )
    return Response(report, 503 if database is not None else 200)


async def live(app: Services, request: Request[None]) -> Liveness:
    """Report that the process is alive. Dependencies are not checked, because a restart would not repair them."""
    return Liveness()


async def ready(app: Services, request: Request[None]) -> Response:
    """Report whether the database is reachable, accepts writes and has every migration.

    A worker that is stopping is not ready.
    """
    state = "stopping" if app.stopping.is_set() else await _database_state(app)
    return Response(Readiness(ready=state is None, reason=state), 503 if state is not None else 200)


async def scrape(app: Services, request: Request[None]) -> Response:
    """Render the metrics of all workers."""
    text = await asyncio.to_thread(metrics.render)  # with many workers this reads many files
    return Response(text, content_type=b"text/plain; version=0.0.4; charset=utf-8")


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


async def measure_memory(app: Services) -> None:
    """Update this worker's share of `auth1_resident_memory_bytes`: a scrape reaches only one worker."""
    metrics.MEMORY.set(resident_bytes())


async def rank_tenants(_: Services) -> None:
    """Choose the tenants with metrics of their own."""
    metrics.TENANTS.rank()


async def _database_state(app: Services) -> str | None:
    """Return None if the database is usable, else `unreachable`, `read-only` or the problem of the migrations."""
    rows = await app.database_probe.rows()
    if rows is None:
        return "unreachable"
    try:
        lacking = missing({row["name"]: row["digest"] for row in rows})
    except MigrationError as error:
        return str(error)
    if any(row["read_only"] for row in rows):
        app.database_probe.disconnect()
        return "read-only"
    return f"migrations missing: {len(lacking)}" if lacking else None
