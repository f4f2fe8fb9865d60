"""Redis Cluster: one connection for each primary, chosen by the slot of a command's key.

A server without the slot of a command answers with a redirection and executes nothing. So the command may be sent
again. While a server is unavailable, commands of its slots fail at once, until its replica is promoted.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import hiredis

from auth1 import metrics
from auth1.core.redis.address import Address, Endpoint, RedisUnavailable, Timeouts
from auth1.core.redis.client import Node, Redis
from auth1.core.redis.connection import Reply
from auth1.core.redis.script import command_span
from auth1.core.redis.server import REPORT_EVERY_S, FixedLocator, Server
from auth1.core.redis.slots import SLOTS, key_slot
from auth1.core.telemetry.log import Log

REFRESH_S = 10.0  # between two reads of the topology while nothing has failed
RETRY_S = 0.25  # while something has
MAX_REDIRECTS = 5
# While keys of a slot move one by one, a script finds some of them here and some there, and answers TRYAGAIN. The time
# begins with the first such answer, for all commands of the slot: requests of a busy tenant must not pile up.
TRY_AGAIN_S = 1.0
TRY_AGAIN_FIRST_S = 0.01  # doubled after each attempt: many waiting commands must not slow down the move
TRY_AGAIN_MAX_S = 0.16
KEYLESS = frozenset({"PUBLISH", "PING", "TIME", "INFO"})  # any server answers
_SCRIPTS = frozenset({"EVALSHA", "EVAL"})  # EVALSHA digest 1 key …


class Topology(NamedTuple):
    """The slots of each primary, and the other servers."""

    slots: dict[Endpoint, list[int]]
    replicas: list[Endpoint]


class Discovery(Protocol):
    """Finds the topology."""

    async def find(self, known: Iterable[Endpoint]) -> Topology:
        """Return the topology. Raises RedisUnavailable with the reason."""

    async def close(self) -> None:
        """Wait for a search that runs."""


class MemberLocator:
    """Any server of a cluster: each of them receives every publication."""

    def __init__(self, reachable: Callable[[], Sequence[Endpoint]], nodes: Callable[[], list[Node]]) -> None:
        self._reachable = reachable
        self._nodes = nodes

    async def locate(self) -> Endpoint:
        reachable = self._reachable()
        if not reachable:
            raise RedisUnavailable("no server of the cluster is known")
        return random.choice(reachable)

    async def is_current(self, endpoint: Endpoint) -> bool:
        return endpoint in [node.endpoint for node in self._nodes()]

    def reject(self) -> None:
        """Do nothing: the next choice is random."""

    async def nodes(self) -> list[Node]:
        return self._nodes()

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class Cluster(Redis):
    """The cluster that some of its servers lead to."""

    def __init__(
        self,
        address: Address,
        discovery: Discovery,
        log: Log,
        *,
        name: str,
        timeouts: Timeouts,
        on_change: Callable[[bool], None] = lambda is_connected: None,
    ) -> None:
        super().__init__(log, name)
        self._address = address
        self._discovery = discovery
        self._timeouts = timeouts
        self._on_change = on_change
        self._servers: dict[Endpoint, Server] = {}
        self._retired: list[Server] = []
        self._slots: list[Server | None] = [None] * SLOTS
        self._topology = Topology({}, [])
        self._redirected_to: set[Endpoint] = set()  # since the last look at the topology
        self._moving_until: dict[int, float] = {}  # slots that answered TRYAGAIN since then
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure = ""
        self._report_at = 0.0

    @property
    def connected(self) -> bool:
        return bool(self._topology.slots) and all(server.connected for server in self.primaries())

    @property
    def failure(self) -> str:
        return self._failure or next((server.failure for server in self.primaries() if server.failure), "")

    async def start(self) -> bool:
        if not await self._refresh():
            await self._refresh()
        for server in self.primaries():
            with contextlib.suppress(RedisUnavailable):
                await server.wait_connected()
        self._task = asyncio.create_task(self._stay_current(), name=f"redis {self._name}")
        return self.connected

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._discovery.close()
        servers, self._servers = [*self._servers.values(), *self._retired], {}
        for server in servers:
            await server.stop()

    def listener(self, name: str) -> Server:
        locator = MemberLocator(self._reachable, self._nodes)
        return Server(self._address, locator, self._log, name=name, timeouts=self._timeouts)

    def primaries(self) -> Sequence[Server]:
        return [self._servers[endpoint] for endpoint in self._topology.slots if endpoint in self._servers]

    async def topology(self) -> list[Node]:
        return self._nodes()

    async def call(self, *words: str | bytes | int) -> Reply:
        """Send a command to the server of its key, and follow redirections. Raises RedisUnavailable."""
        slot = _slot_of(words)
        server = self._slots[slot] if slot is not None else self._any_connected()
        is_asking, redirects, pause_s = False, 0, TRY_AGAIN_FIRST_S
        while True:
            reply = await self._send(server, words, is_asking)
            if not isinstance(reply, hiredis.ReplyError):
                return reply
            message = str(reply)
            code = message.partition(" ")[0]
            if slot is not None and code in ("MOVED", "ASK") and redirects < MAX_REDIRECTS:
                redirects += 1
                server, is_asking = await self._follow(server, slot, message), code == "ASK"
            elif slot is not None and code == "TRYAGAIN" and self._may_wait(slot):
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, TRY_AGAIN_MAX_S)
                server, is_asking = self._slots[slot], False
            else:
                if code in ("CLUSTERDOWN", "MASTERDOWN", "READONLY", "MOVED"):
                    self._stale.set()
                self._raise_for_error(message)

    def _may_wait(self, slot: int) -> bool:
        """Return whether commands of a slot that is being moved may still wait for its keys."""
        now = time.monotonic()
        return now < self._moving_until.setdefault(slot, now + TRY_AGAIN_S)

    async def _send(self, server: Server | None, words: tuple[str | bytes | int, ...], is_asking: bool) -> Reply:
        """Send a command to a server; return also an error reply."""
        if server is None or server.connection is None:
            self._stale.set()
            raise RedisUnavailable("not connected")
        self.round_trips += 1
        connection = server.connection
        if is_asking:
            connection.call("ASKING")  # for the next command only, which follows it in the same write
        try:
            with command_span(words):
                return await connection.call(*words)
        except RedisUnavailable:
            metrics.REDIS_ERRORS.inc()
            raise

    async def _follow(self, server: Server | None, slot: int, message: str) -> Server:
        """Return the server that a redirection names: `MOVED slot host:port` for good, `ASK slot host:port` once."""
        code, _, address = message.split(" ", 2)
        host, _, port = address.rpartition(":")
        if not host and server is not None and server.endpoint is not None:
            host = server.endpoint.host  # the same as that of the server which answered
        endpoint = Endpoint(host.strip("[]"), int(port))
        named = self._server_at(endpoint)
        self._redirected_to.add(endpoint)
        if code == "MOVED":
            self._slots[slot] = named
            self._stale.set()
        if not named.connected:
            await named.wait_connected()
        return named

    def _any_connected(self) -> Server | None:
        connected = [server for server in self.primaries() if server.connected]
        return random.choice(connected) if connected else None

    def _server_at(self, endpoint: Endpoint) -> Server:
        server = self._servers.get(endpoint)
        if server is None:
            server = self._servers[endpoint] = Server(
                self._address,
                FixedLocator(endpoint),
                self._log,
                name=self._name,
                timeouts=self._timeouts,
                on_change=self._server_changed,
            )
            server.start_later()
        return server

    def _server_changed(self, is_connected: bool) -> None:
        if not is_connected:
            self._stale.set()
        self._on_change(self.connected)

    async def _stay_current(self) -> None:
        while True:
            if self.connected:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_S * random.uniform(0.8, 1.2)):
                        await self._stale.wait()
            await self._refresh()
            await asyncio.sleep(RETRY_S)

    async def _refresh(self) -> bool:
        """Read the topology. Return whether a server has answered."""
        self._stale.clear()
        for server in self._retired:  # their pending replies have arrived by now
            await server.stop()
        self._retired = []
        try:
            topology = await self._discovery.find(self._reachable())
        except RedisUnavailable as error:
            self._report(str(error))
            return False
        self._failure = ""
        self._apply(topology)
        return True

    def _apply(self, topology: Topology) -> None:
        slots: list[Server | None] = [None] * SLOTS
        for endpoint, owned in topology.slots.items():
            server = self._server_at(endpoint)
            for slot in owned:
                slots[slot] = server
        self._topology, self._slots = topology, slots
        self._moving_until.clear()
        # A server that receives its first slot is not in the topology yet.
        kept, self._redirected_to = topology.slots.keys() | self._redirected_to, set()
        self._retired = [self._servers.pop(endpoint) for endpoint in list(self._servers) if endpoint not in kept]
        self._on_change(self.connected)

    def _report(self, reason: str) -> None:
        """Log the reason that the topology cannot be read, once a minute."""
        self._failure, now = reason, time.monotonic()
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            self._log.warn("redis connection failed", connection=self._name, reason=reason)

    def _reachable(self) -> list[Endpoint]:
        """Return the servers that are connected; all that are known where none is."""
        connected = [endpoint for endpoint, server in self._servers.items() if server.connected]
        return connected or [*self._topology.slots, *self._topology.replicas]

    def _nodes(self) -> list[Node]:
        primaries = [Node(endpoint, "primary", len(owned)) for endpoint, owned in self._topology.slots.items()]
        return [*primaries, *(Node(endpoint, "replica") for endpoint in self._topology.replicas)]


def _slot_of(words: Sequence[str | bytes | int]) -> int | None:
    """Return the slot of a command's first key, None for a command without keys."""
    command = words[0]
    if command in _SCRIPTS:
        return key_slot(str(words[3]))
    return None if command in KEYLESS else key_slot(str(words[1]))
