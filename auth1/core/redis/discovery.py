"""Find the servers of Sentinel or Redis Cluster, through redis-py.

redis-py only finds servers. Commands go over our own connections (`connection.py` says why).
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisClusterException, RedisError, ResponseError

from auth1.core.redis.address import Address, Endpoint, RedisUnavailable, Timeouts, failure_reason
from auth1.core.redis.client import Node
from auth1.core.redis.cluster import Topology

# Of a whole search, during which servers that do not answer are passed over one after the other.
SEARCH_S = 2.0
_Found = TypeVar("_Found")
_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError)


class _Searches:
    """Searches that end by themselves: redis-py 8.1 may ignore a cancellation, and then leaves connections open."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def finish(self, search: Coroutine[Any, Any, _Found]) -> _Found:
        """Return the result of a search. If the caller is cancelled, the search ends in the background."""
        task = asyncio.create_task(search)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # a cancelled caller does not read it

    async def close(self) -> None:
        """Wait for searches that run."""
        if self._running:
            await asyncio.wait(self._running)


class SentinelLocator(_Searches):
    """The primary of a service, as its sentinels name it."""

    def __init__(self, address: Address, timeouts: Timeouts) -> None:
        super().__init__()
        self._address = address
        self._timeouts = timeouts
        options = _options(address, timeouts, address.sentinel_username, address.sentinel_password)
        options["retry"] = Retry(NoBackoff(), 0)
        hosts = [(host, port) for host, port, _ in address.endpoints]
        self._sentinel = Sentinel(hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]  # it has no types

    async def locate(self) -> Endpoint:
        return await self.finish(self._locate())

    async def _locate(self) -> Endpoint:
        try:
            async with asyncio.timeout(SEARCH_S):
                host, port = await self._sentinel.discover_master(self._address.service)
        except _ERRORS as error:
            raise RedisUnavailable(await self._reason()) from error
        return Endpoint(host, port)

    async def is_current(self, endpoint: Endpoint) -> bool:
        return await self.locate() == endpoint

    def reject(self) -> None:
        """Ask another sentinel next: not all of them know a new primary at the same time."""
        sentinels = self._sentinel.sentinels
        sentinels.append(sentinels.pop(0))

    async def nodes(self) -> list[Node]:
        sentinels = [Node(endpoint, "sentinel") for endpoint in self._address.endpoints]
        primary = Node(await self.locate(), "primary")
        replicas = await self._sentinel.discover_replicas(self._address.service)
        return [*sentinels, primary, *(Node(Endpoint(str(host), int(port)), "replica") for host, port in replicas)]

    async def close(self) -> None:
        await super().close()
        with contextlib.suppress(*_ERRORS):
            await self._sentinel.aclose()

    async def _reason(self) -> str:
        """Return the reason that no sentinel names a primary. An answer is preferred to a failed connection."""
        service, reason = self._address.service, ""
        for sentinel in list(self._sentinel.sentinels):
            try:
                async with asyncio.timeout(SEARCH_S / 2):
                    masters = await sentinel.sentinel_masters()
            except (AuthenticationError, ResponseError):
                reason = "rejected by Sentinel: check sentinel_username and sentinel_password in REDIS_URL"
            except _ERRORS as error:
                reason = reason or f"no sentinel of REDIS_URL can be reached: {_cause(error, self._timeouts)}"
            else:
                assert isinstance(masters, dict), "so does RESP2 answer"
                if service in masters:
                    return f"Sentinel has no reachable primary of the service {service!r}"
                known = ", ".join(sorted(masters)) or "none"
                return f"Sentinel has no service {service!r}, which REDIS_URL names; it has: {known}"
        return reason


class ClusterDiscovery(_Searches):
    """The servers of a cluster and their slots, as the first server that answers lists them."""

    def __init__(self, address: Address, timeouts: Timeouts) -> None:
        super().__init__()
        self._address = address
        self._timeouts = timeouts
        self._options = _options(address, timeouts, address.username, address.password)

    async def find(self, known: Iterable[Endpoint]) -> Topology:
        """Ask the servers that are known, and those of the URL. Raises RedisUnavailable with the reason."""
        return await self.finish(self._find(known))

    async def _find(self, known: Iterable[Endpoint]) -> Topology:
        hosts = dict.fromkeys((*known, *self._address.endpoints))
        nodes = [ClusterNode(host, port) for host, port, _ in hosts]
        cluster = RedisCluster(startup_nodes=nodes, require_full_coverage=False, **self._options)
        manager = cluster.nodes_manager  # RedisCluster.initialize would also read the documentation of all commands
        try:
            async with asyncio.timeout(SEARCH_S):
                await manager.initialize()
        except (*_ERRORS, LookupError) as error:
            raise RedisUnavailable(self._reason(error)) from error
        finally:
            with contextlib.suppress(*_ERRORS):  # the connections are closed even where it takes too long
                await manager.aclose()
                await manager.aclose("startup_nodes")
        slots: defaultdict[Endpoint, list[int]] = defaultdict(list)
        for slot, (primary, *_) in manager.slots_cache.items():
            slots[Endpoint(primary.host, int(primary.port))].append(slot)
        others = [Endpoint(node.host, int(node.port)) for node in manager.nodes_cache.values()]
        return Topology(dict(slots), [endpoint for endpoint in others if endpoint not in slots])

    def _reason(self, error: BaseException) -> str:
        """Return the reason that the cluster cannot be used. redis-py wraps the answer of the last server."""
        if isinstance(error, LookupError):
            return "the cluster has no slots: create it with redis-cli --cluster create"
        while isinstance(error, RedisClusterException) and (error.__cause__ or error.__context__):
            error = error.__cause__ or error.__context__  # type: ignore[assignment]  # one of them is set
        if isinstance(error, NoPermissionError | AuthenticationError):
            return "rejected by Redis: check user name and password in REDIS_URL"
        if isinstance(error, ResponseError):
            return "the server of REDIS_URL is not in cluster mode: use redis://"
        return f"no server of the cluster can be reached: {_cause(error, self._timeouts)}"


def _options(address: Address, timeouts: Timeouts, username: str, password: str) -> dict[str, Any]:
    """Return the options of redis-py's connections."""
    options: dict[str, Any] = {
        "username": username or None,
        "password": password or None,
        "protocol": 2,
        "client_name": "auth1-discovery",
        "socket_connect_timeout": timeouts.connect_s,
        "socket_timeout": timeouts.connect_s,  # a list of slots may take longer than a call
    }
    if (tls := address.tls) is not None:
        options |= {
            "ssl": True,
            "ssl_ca_certs": tls.ca_certs or None,
            "ssl_certfile": tls.certfile or None,
            "ssl_keyfile": tls.keyfile or None,
            "ssl_cert_reqs": "required" if tls.verify else "none",
            "ssl_check_hostname": tls.check_hostname and tls.verify,
        }
    return options


def _cause(error: BaseException, timeouts: Timeouts) -> str:
    """Return the cause of a network error. redis-py adds the address, which must not be logged."""
    inner = error.__cause__ or error.__context__
    if isinstance(inner, OSError | TimeoutError):
        return failure_reason(inner, timeouts)
    return failure_reason(error if isinstance(error, OSError) else TimeoutError(), timeouts)
