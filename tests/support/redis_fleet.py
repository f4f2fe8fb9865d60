"""Real Redis servers in numbers: a cluster, and a primary with its replica behind sentinels."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Any, Self

from auth1.core.redis.slots import SLOTS
from auth1.dev.processes import HOST, free_port, launch
from auth1.dev.redis import RedisServer, find_program
from tests.support.process import until
from tests.support.raw_redis import RawRedis

SERVICE = "auth1-primary"
PATIENCE_S = 60.0
DOWN_AFTER_MS = 3000  # a server that gets no CPU for a second is not down
WANTED = os.environ.get("AUTH1_TEST_REDIS", "")  # `just test-redis sentinel`, or cluster
FAST_REPLICATION = ["--repl-diskless-sync-delay", "0"]


class SentinelServer(RedisServer):
    """A sentinel of the service at `primary`, the port of a server on this machine."""

    name = "Sentinel"

    def __init__(self, data_dir: Path, primary: int, *, lines: Sequence[str] = (), program: Path | None = None) -> None:
        super().__init__(data_dir, program=program)
        self._lines = [
            f"sentinel monitor {SERVICE} {HOST} {primary} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            *lines,
        ]

    def _spawn(self, port: int, lock: int) -> Popen[bytes]:
        config = self.data_dir / "sentinel.conf"
        if not config.exists():  # afterwards the sentinel keeps its state there
            config.write_text("\n".join([f"port {port}", f"bind {HOST}", f"dir {self.data_dir}", *self._lines]) + "\n")
        command = [str(self._program or find_program()), str(config), "--sentinel"]
        return launch(command, log=self.log, keep_open=[lock], death_signal=self.stop_signal)


class Fleet:
    """Servers that stop together. `async with` starts them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """Start the servers; none runs after an error."""
        try:
            await self._form()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the servers."""
        self._stack.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def enter(self, server: RedisServer) -> RedisServer:
        return self._stack.enter_context(server)

    async def _form(self) -> None:
        """Start the servers; without any, they are started by `enter`."""


class ClusterFleet(Fleet):
    """Primaries that share the slots evenly, and a replica of the last one."""

    def __init__(self, directory: Path, *, primaries: int = 3, has_replica: bool = True) -> None:
        super().__init__(directory)
        self._count = primaries
        self._has_replica = has_replica

    def _server(self, name: str) -> RedisServer:
        arguments = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        arguments += ["--cluster-node-timeout", str(DOWN_AFTER_MS), "--cluster-replica-validity-factor", "0"]
        arguments += FAST_REPLICATION
        return self.enter(RedisServer(self.directory / name, arguments=arguments))

    async def _form(self) -> None:
        self.primaries = [self._server(f"primary{number}") for number in range(self._count)]
        self.replica = self._server("replica") if self._has_replica else None
        servers = [*self.primaries, *([self.replica] if self.replica else [])]
        for number, server in enumerate(self.primaries):
            first, last = SLOTS * number // self._count, SLOTS * (number + 1) // self._count - 1
            assert await send(server, "CLUSTER", "ADDSLOTSRANGE", first, last) == b"OK"
            assert await send(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1) == b"OK"
        for number, server in enumerate(servers):
            bus = (await send(server, "CONFIG", "GET", "cluster-port"))[1]
            for other in servers[:number]:  # every pair, because gossip takes seconds
                assert await send(other, "CLUSTER", "MEET", HOST, server.port, bus) == b"OK"
        await until(lambda: self._agree(servers, len(servers)), PATIENCE_S)
        if self.replica is not None:
            primary = await send(self.primaries[-1], "CLUSTER", "MYID")
            assert await send(self.replica, "CLUSTER", "REPLICATE", primary) == b"OK"
            await until(lambda: is_replicated(self.primaries[-1]), PATIENCE_S)
            await until(lambda: self._sees_replica(self.primaries[0]), PATIENCE_S)

    async def _agree(self, servers: Sequence[RedisServer], count: int) -> bool:
        infos = [await send(server, "CLUSTER", "INFO") for server in servers]
        return all(b"cluster_state:ok" in info and b"known_nodes:%d" % count in info for info in infos)

    async def _sees_replica(self, server: RedisServer) -> bool:
        return any(len(part) > 3 for part in await send(server, "CLUSTER", "SLOTS"))

    @property
    def url(self) -> str:
        """The URL names two of the servers, so that one may fail."""
        return f"redis+cluster://{HOST}:{self.primaries[0].port},{HOST}:{self.primaries[-1].port}"

    async def owner(self, slot: int) -> RedisServer:
        """Return the primary of a slot, as the first server sees it."""
        for first, last, primary, *_ in await send(self.primaries[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                servers = [*self.primaries, *([self.replica] if self.replica else [])]
                return next(server for server in servers if server.port == primary[1])
        raise AssertionError(f"slot {slot} has no server")


class SentinelFleet(Fleet):
    """A primary, its replica and three sentinels, of which two must agree."""

    async def _form(self) -> None:
        self.primary = self.enter(RedisServer(self.directory / "primary", arguments=FAST_REPLICATION))
        arguments = [*FAST_REPLICATION, "--replicaof", f"{HOST} {self.primary.port}"]
        self.replica = self.enter(RedisServer(self.directory / "replica", arguments=arguments))
        await until(lambda: is_replicated(self.primary), PATIENCE_S)
        self.sentinels = [
            self.enter(SentinelServer(self.directory / f"sentinel{number}", self.primary.port)) for number in range(3)
        ]
        for sentinel in self.sentinels:  # not each 10 s
            assert await send(sentinel, "SENTINEL", "DEBUG", "INFO-PERIOD", 500) == b"OK"
        await until(self._agree, PATIENCE_S)

    async def _agree(self) -> bool:
        for sentinel in self.sentinels:
            found = await send(sentinel, "SENTINEL", "MASTER", SERVICE)
            facts = dict(zip(found[::2], found[1::2], strict=True))
            if (facts[b"num-slaves"], facts[b"num-other-sentinels"]) != (b"1", b"2"):
                return False
        return True

    async def roles(self) -> tuple[RedisServer, RedisServer]:
        """Return the primary and its replica, once a failover can follow. An earlier failover may have changed them."""
        pairs = [(self.primary, self.replica), (self.replica, self.primary)]
        found: list[tuple[RedisServer, RedisServer]] = []

        async def can_fail_over() -> bool:
            for primary, replica in pairs:
                if await is_primary(primary) and await is_replicated(primary) and await self._knows(replica):
                    found.append((primary, replica))
            return bool(found)

        await until(can_fail_over, PATIENCE_S)
        return found[0]

    async def _knows(self, replica: RedisServer) -> bool:
        """Return whether every sentinel knows a server as a healthy replica."""
        for sentinel in self.sentinels:
            replies = await send(sentinel, "SENTINEL", "REPLICAS", SERVICE)
            replicas = [dict(zip(reply[::2], reply[1::2], strict=True)) for reply in replies]
            if not any(
                (int(facts[b"port"]), facts[b"flags"], facts[b"master-link-status"]) == (replica.port, b"slave", b"ok")
                for facts in replicas
            ):
                return False
        return True

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"


def start_wanted(directory: Path) -> SentinelFleet | ClusterFleet | None:
    """Start the servers of AUTH1_TEST_REDIS; the caller closes them. None without the variable."""
    if not WANTED:
        return None
    forms: dict[str, type[SentinelFleet] | type[ClusterFleet]] = {"sentinel": SentinelFleet, "cluster": ClusterFleet}
    fleet = forms[WANTED](directory)
    with ThreadPoolExecutor(1) as thread:  # an event loop of its own
        thread.submit(asyncio.run, fleet.start()).result()
    return fleet


async def send(server: RedisServer, *words: str | bytes | int) -> Any:
    """Send one command to a server and return its reply; an error reply too."""
    raw_redis = await RawRedis.connect(server.url())
    try:
        return await raw_redis.call(*words)
    finally:
        raw_redis.close()


async def is_replicated(primary: RedisServer) -> bool:
    """Return whether a replica has everything that the primary has."""
    return bool(await send(primary, "WAIT", 1, 100) == 1)


async def is_primary(server: RedisServer) -> bool:
    try:
        return bool((await send(server, "ROLE"))[0] == b"master")
    except ConnectionError:  # a failover closes connections
        return False


async def migrate_slot(
    slot: int, source: RedisServer, target: RedisServer, during: Callable[[], Awaitable[None]]
) -> None:
    """Move a slot as redis-cli does, key by key; `during` runs after the first half of its keys."""
    ids = [await send(server, "CLUSTER", "MYID") for server in (source, target)]
    assert await send(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0]) == b"OK"
    assert await send(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1]) == b"OK"
    keys = sorted(await send(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000))
    half = keys[: len(keys) // 2]
    await _move(half, source, target)
    await during()
    while keys := await send(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000):
        await _move(keys, source, target)
    for server in (target, source):
        assert await send(server, "CLUSTER", "SETSLOT", slot, "NODE", ids[1]) == b"OK"


async def _move(keys: Sequence[bytes], source: RedisServer, target: RedisServer) -> None:
    if keys:
        moved = await send(source, "MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)
        assert moved in (b"OK", b"NOKEY"), moved


def find_tls_server(directory: Path) -> Path | None:
    """Return a Redis server with TLS: Debian's, whose package redis-tools has it under another name."""
    if found := shutil.which("redis-server"):
        return Path(found)
    if (found := shutil.which("redis-check-rdb")) is None:
        return None
    link = directory / "redis-server"
    link.symlink_to(found)
    return link


async def pause() -> None:
    """Give other tasks a turn."""
    await asyncio.sleep(0.005)
