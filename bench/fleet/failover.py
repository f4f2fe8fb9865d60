"""Log in while the primary of a Patroni cluster is switched over and killed.

    just failover [--rate 5] [--asynchronous | --synchronous] [--fault NAME] [--json FILE]

Two instances of Auth1 serve the same database. One connects through HAProxy, the other by several hosts in
DATABASE_URL. At each of them, `--rate` logins begin each second. The client retries 503 and lost connections for a
minute, each time after one to two seconds. Faults, first with synchronous replication and then without it:

    switch-over      planned, through Patroni's REST API
    kill PostgreSQL  SIGKILL to all processes of the primary; Patroni stays and gives its place up
    kill node        SIGKILL to Patroni and PostgreSQL of the primary; it is replaced when its lease (ttl) ends

It prints, for each fault: the seconds from the fault to the promotion, and from the promotion to the first successful
request of each instance, which is a write; the retries; logins that failed in spite of them; acknowledged logins
whose user or session is not in the database afterwards; and logins that are in the database, although the verification
failed: an earlier attempt was committed and got no response. It takes some six minutes.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter

import asyncpg
import msgspec
import uvloop

from auth1.core.postgres.migrations import migrate
from bench.fleet.logins import Logins, listed
from bench.fleet.patroni import DATABASE, Cluster, Node, patroni_cluster
from bench.phones import COUNT, phones
from bench.stage import Serving, Stage, set_up

PATIENCE_S = 60.0
STEADY_S = 5.0
ROUTES = ("HAProxy", "several hosts")


class Outcome(msgspec.Struct):
    """A fault. `served_s`: from the promotion to the first successful request, by route."""

    fault: str
    synchronous: bool
    promoted_s: float
    served_s: dict[str, float]
    logins: int
    retried: dict[str, int]
    failed: dict[str, int]
    acknowledged: int
    lost: int
    committed: int  # failed verifications whose login was committed all the same


Fault = Callable[[Cluster, Node], None]


def switch_over(cluster: Cluster, primary: Node) -> None:
    """Switch over."""
    cluster.switch_over(primary)


def kill_postgresql(cluster: Cluster, primary: Node) -> None:
    """Kill the processes of PostgreSQL."""
    del cluster
    primary.crash_postgres()


def kill_node(cluster: Cluster, primary: Node) -> None:
    """Kill Patroni and PostgreSQL."""
    del cluster
    primary.kill()


FAULTS: dict[str, Fault] = {"switch-over": switch_over, "kill PostgreSQL": kill_postgresql, "kill node": kill_node}


class Failover:
    """Runs faults, one after the other, under the logins of both instances."""

    def __init__(self, cluster: Cluster, loads: Sequence[Logins]) -> None:
        self._cluster = cluster
        self._loads = loads
        # Processes end with the thread that started them, so the blocking calls share one.
        self._thread = ThreadPoolExecutor(1)

    async def run(self, name: str, *, synchronous: bool) -> Outcome:
        """Run one fault; return when the cluster is whole again."""
        primary = self._cluster.primary()
        assert primary is not None
        await asyncio.sleep(STEADY_S)
        begun = self._begun()
        for load in self._loads:
            load.retried.clear()
            load.failed.clear()
        standbys = [node for node in self._cluster.nodes if node is not primary]
        watches = [asyncio.create_task(promotion(node)) for node in standbys]
        await asyncio.sleep(1.0)  # they are connected
        started = perf_counter()
        fault = asyncio.get_running_loop().run_in_executor(self._thread, FAULTS[name], self._cluster, primary)
        done, pending = await asyncio.wait(watches, timeout=PATIENCE_S * 2, return_when=asyncio.FIRST_COMPLETED)
        for watch in pending:
            watch.cancel()
        if not done:
            raise RuntimeError(f"{name}: no standby was promoted")
        promoted = done.pop().result()
        served = dict(zip(ROUTES, [await self._first_served(load, promoted) for load in self._loads], strict=True))
        await fault
        if not primary.running:
            await self._call(primary.start)
        await self._call(partial(self._cluster.wait_until_whole, synchronous=synchronous))
        await asyncio.sleep(STEADY_S)
        lost, acknowledged = await self._count_lost()
        committed = await self._count_committed()
        return Outcome(
            fault=name,
            synchronous=synchronous,
            promoted_s=promoted - started,
            served_s={route: at - promoted for route, at in served.items()},
            logins=self._begun() - begun,
            retried=dict(sum((load.retried for load in self._loads), Counter[str]())),
            failed=dict(sum((load.failed for load in self._loads), Counter[str]())),
            acknowledged=acknowledged,
            lost=lost,
            committed=committed,
        )

    async def set_synchronous(self, enabled: bool) -> None:
        await self._call(partial(self._cluster.set_synchronous, enabled))

    def close(self) -> None:
        self._thread.shutdown()

    def _begun(self) -> int:
        return sum(load.begun for load in self._loads)

    async def _call(self, act: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, act)

    async def _first_served(self, load: Logins, promoted: float) -> float:
        """Return when the first request after the promotion succeeded. Every request of a login writes."""
        while perf_counter() < promoted + PATIENCE_S:
            if first := next((at for at in load.served if at > promoted), None):
                return first
            await asyncio.sleep(0.05)
        return float("inf")

    async def _count_lost(self) -> tuple[int, int]:
        """Return the number of acknowledged logins without their rows, and of all since the last fault."""
        primary = self._cluster.primary()
        assert primary is not None
        logins = [login for load in self._loads for login in load.acknowledged]
        for load in self._loads:
            load.acknowledged.clear()
        connection = await asyncpg.connect(primary.url(DATABASE, "postgres"))
        try:
            sql = """select count(*) from unnest($1::text[], $2::text[]) as login (user_id, session_id)
                join users on users.id = login.user_id
                join sessions on sessions.id = login.session_id and sessions.user_id = users.id"""
            users, sessions = [[login.session[name] for login in logins] for name in ("user_id", "session_id")]
            kept = await connection.fetchval(sql, users, sessions)
        finally:
            await connection.close()
        return len(logins) - kept, len(logins)

    async def _count_committed(self) -> int:
        """Return how many failed verifications since the last fault were committed. A phone logs in once."""
        primary = self._cluster.primary()
        assert primary is not None
        phones = [phone for load in self._loads for phone in load.without_session]
        for load in self._loads:
            load.without_session.clear()
        connection = await asyncpg.connect(primary.url(DATABASE, "postgres"))
        try:
            sql = """select count(distinct c.identifier) from challenges c
                where c.identifier = any($1::text[]) and c.status = 'answered'"""
            committed: int = await connection.fetchval(sql, phones)
        finally:
            await connection.close()
        return committed


async def promotion(node: Node) -> float:
    """Return when a standby accepts writes."""
    connection = await asyncpg.connect(node.url(DATABASE, "postgres"))
    try:
        while await connection.fetchval("select pg_is_in_recovery()"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return perf_counter()
    finally:
        connection.terminate()


async def create_database(cluster: Cluster) -> None:
    """Create the role and the database, and migrate it, on all nodes by replication."""
    primary = cluster.primary()
    assert primary is not None
    connection = await asyncpg.connect(primary.url("postgres", "postgres"))
    try:
        await connection.execute("create role auth1 login")
        await connection.execute(f"create database {DATABASE} owner auth1")
    finally:
        await connection.close()
    await migrate(cluster.proxy_url)


async def measure(
    stage: Stage,
    servers: Sequence[Serving],
    cluster: Cluster,
    rate: float,
    modes: Sequence[bool],
    faults: Sequence[str],
) -> list[Outcome]:
    """Run faults in each mode of replication."""
    outcomes = []
    async with AsyncExitStack() as stack:
        loads = []
        for number, server in enumerate(servers):
            key, numbers = server.tenant()["api_key"], phones(number * COUNT // len(servers))
            load = Logins(server.port, stage.twilio.port, key, rate, numbers=numbers, patience_s=PATIENCE_S)
            loads.append(await stack.enter_async_context(load))
        failover = Failover(cluster, loads)
        for synchronous in modes:
            await failover.set_synchronous(synchronous)
            for name in faults:
                outcomes.append(await failover.run(name, synchronous=synchronous))
                print(line(outcomes[-1]), flush=True)
    failover.close()
    return outcomes


def line(outcome: Outcome) -> str:
    """Format a row of the table."""
    served = " / ".join(f"{outcome.served_s[route]:.1f}" for route in ROUTES)
    mode = "synchronous" if outcome.synchronous else "asynchronous"
    retried, failed = listed(Counter(outcome.retried)), listed(Counter(outcome.failed))
    return (
        f"| {outcome.fault}, {mode} | {outcome.promoted_s:.1f} | {served} | {outcome.logins} | {retried} | {failed} | "
        f"{outcome.lost} of {outcome.acknowledged} | {outcome.committed} |"
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5.0, help="logins that begin each second, at each instance")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--synchronous", action="store_const", const=[True], dest="modes", help="only this mode")
    modes.add_argument("--asynchronous", action="store_const", const=[False], dest="modes", help="only this mode")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="this one (default: all)")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    options = parser.parse_args()
    with ExitStack() as stack:
        cluster = stack.enter_context(patroni_cluster())
        asyncio.run(create_database(cluster))
        stage = stack.enter_context(set_up())
        urls = (cluster.proxy_url, cluster.hosts_url)
        servers = [stack.enter_context(stage.serve(DATABASE_URL=url)) for url in urls]
        print(
            f"| fault | to the promotion, s | served after it, s ({' / '.join(ROUTES)}) | logins | retried | failed "
            "| acknowledged logins lost | verifications that failed, but were committed |\n" + "|---" * 8 + "|",
            flush=True,
        )
        chosen: list[bool] = options.modes or [True, False]
        outcomes = uvloop.run(measure(stage, servers, cluster, options.rate, chosen, options.fault or list(FAULTS)))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(outcomes))


if __name__ == "__main__":
    main()
