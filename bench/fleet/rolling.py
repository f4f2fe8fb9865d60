"""Log in through nginx while two instances are restarted in turn, and upgraded from another release.

    just rolling [--restarts 10] [--from REVISION] [--rate 10] [--no-upgrade] [--json FILE]

A rolling restart restarts both instances, one after the other, without a pause. For the upgrade, the database is
migrated by the other release, whose files come from git. Two instances of it serve, and each is replaced by one of this
checkout; the first one migrates. Without `--from`, the other release is the last commit before the newest migration.

The client retries nothing. A login is a code request, a verification, a read of the account, a refresh and a logout,
each on a connection of its own. nginx repeats a request at the other instance when its connection fails, as configured
in ops/nginx. During the upgrade, both releases also refresh sessions of the older one. TIMEOUT_SCALE is 5, so that a
busy machine fails no request.
"""

import argparse
import asyncio
import io
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from time import perf_counter

import asyncpg
import msgspec
import uvloop

from auth1.dev.processes import free_port
from bench.accounts import ROOT
from bench.fleet.instances import Instances
from bench.fleet.logins import Logins, listed
from bench.measure import percentiles
from bench.nginx import nginx
from bench.phones import COUNT, phones
from bench.stage import Stage, set_up

STEADY_S = 2.0
UPGRADED = "auth1_upgraded"


class Outcome(msgspec.Struct):
    """A phase. Latencies of successful requests in ms."""

    phase: str
    seconds: float
    logins: int
    requests: int
    failed: dict[str, int]
    p50_ms: float
    p99_ms: float


async def rolling_restarts(instances: Instances, proxy_port: int, stage: Stage, rate: float, restarts: int) -> Outcome:
    """Restart both instances so many times."""
    for port in instances.ports:
        await instances.start(port)
    load = await new_load(instances, proxy_port, stage, rate)
    started = perf_counter()
    async with load:
        await asyncio.sleep(STEADY_S)
        for _ in range(restarts):
            for port in instances.ports:
                await instances.replace(port)
        await asyncio.sleep(STEADY_S)
    return outcome(f"{restarts} rolling restarts", load, started)


async def upgrade(instances: Instances, proxy_port: int, stage: Stage, rate: float, release: Path) -> Outcome:
    """Replace two instances of another release by this one; both use sessions of the other release meanwhile."""
    url = stage.postgres.url(UPGRADED)
    for port in instances.ports:
        await instances.replace(port, DATABASE_URL=url, PYTHONPATH=str(release))
    load = await new_load(instances, proxy_port, stage, rate)
    older = Logins(proxy_port, stage.twilio.port, load.key, rate, numbers=phones(COUNT // 2))
    started = perf_counter()
    async with older:
        await asyncio.sleep(STEADY_S)
    load.failed.update(older.failed)
    sessions = [login.session for login in older.acknowledged]
    async with load:
        await asyncio.sleep(STEADY_S)
        for number, port in enumerate(instances.ports):
            await instances.replace(port, DATABASE_URL=url)
            for session in sessions[number::2]:
                await load.count(load.use(session))
        await asyncio.sleep(STEADY_S)
    return outcome("upgrade", load, started)


async def new_load(instances: Instances, proxy_port: int, stage: Stage, rate: float) -> Logins:
    tenant = await asyncio.to_thread(instances.first.tenant)
    return Logins(proxy_port, stage.twilio.port, tenant["api_key"], rate, uses_session=True)


def outcome(phase: str, load: Logins, started: float) -> Outcome:
    """Return what a load counted."""
    p50, p99 = percentiles(load.times_s)
    return Outcome(phase, perf_counter() - started, load.begun, load.requests, dict(load.failed), p50, p99)


def extract(revision: str, folder: Path) -> Path:
    """Write the files of a commit into a folder. Raises CalledProcessError outside of a git checkout."""
    command = ["git", "-C", str(ROOT), "archive", revision, "auth1", "sql"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def previous_release() -> str:
    """Return the last commit before the newest migration."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%H^", "--diff-filter=A", "--", "sql/migrations"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def create_older_database(stage: Stage, release: Path) -> None:
    """Create a database, and migrate it by another release."""
    connection = await asyncpg.connect(stage.postgres.url())
    try:
        await connection.execute(f"create database {UPGRADED}")
    finally:
        await connection.close()
    environment = {**stage.environment, "DATABASE_URL": stage.postgres.url(UPGRADED), "PYTHONPATH": str(release)}
    command = [sys.executable, "-m", "auth1", "migrate"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=release, stdout=subprocess.DEVNULL)
    if await process.wait() != 0:
        raise RuntimeError(f"{' '.join(command)} failed in {release}")


async def measure(stage: Stage, restarts: int, rate: float, revision: str) -> list[Outcome]:
    """Run the restarts, and the upgrade from a revision if there is one."""
    ports = (free_port(), free_port())
    instances = Instances(stage, ports)
    outcomes = []
    with nginx(stage.directory / "nginx", ports) as proxy:
        try:
            outcomes.append(await rolling_restarts(instances, proxy.port, stage, rate, restarts))
            print(line(outcomes[-1]), flush=True)
            if revision:
                release = extract(revision, stage.directory / "release")
                await create_older_database(stage, release)
                outcomes.append(await upgrade(instances, proxy.port, stage, rate, release))
                print(line(outcomes[-1]), flush=True)
        finally:
            await instances.close()
    return outcomes


def line(one: Outcome) -> str:
    """Format a row of the table."""
    failed = listed(Counter(one.failed))
    latencies = f"{one.p50_ms:.1f} | {one.p99_ms:.1f}"
    return f"| {one.phase} | {one.seconds:.0f} | {one.logins} | {one.requests} | {failed} | {latencies} |"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=10, help="of both instances (default: 10)")
    parser.add_argument("--rate", type=float, default=10.0, help="logins that begin each second (default: 10)")
    parser.add_argument("--from", dest="revision", help="the commit of the other release")
    parser.add_argument("--no-upgrade", action="store_true", help="only the restarts")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    options = parser.parse_args()
    revision = "" if options.no_upgrade else options.revision or previous_release()
    with set_up() as stage:
        print(f"upgrade from: {revision or 'none'}\n")
        print(
            "| phase | seconds | logins | requests | failed | p50 ms | p99 ms |\n|---|---|---|---|---|---|---|",
            flush=True,
        )
        outcomes = uvloop.run(measure(stage, options.restarts, options.rate, revision))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(outcomes))
    if any(one.failed for one in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
