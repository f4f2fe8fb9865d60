"""The client that an address needs.

redis-py is imported for Sentinel and Redis Cluster only: it takes 0.1 s of CPU and 5 MiB of memory.
"""

import importlib
from typing import Any

from auth1 import metrics
from auth1.core.redis.address import DEFAULT_TIMEOUTS, Address, Timeouts
from auth1.core.redis.client import Redis
from auth1.core.redis.cluster import Cluster
from auth1.core.redis.server import FixedLocator, Server
from auth1.core.telemetry.log import Log


def open_redis(url: str, log: Log, *, name: str = "auth1", timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Redis:
    """Return the client of a URL that the settings have checked. Start it before use."""
    address = Address.parse(url)
    options: dict[str, Any] = {"name": name, "timeouts": timeouts, "on_change": metrics.REDIS_UP.set}
    if address.kind == "single":
        return Server(address, FixedLocator(address.endpoints[0]), log, **options)
    discovery = importlib.import_module("auth1.core.redis.discovery")
    if address.kind == "sentinel":
        return Server(address, discovery.SentinelLocator(address, timeouts), log, **options)
    return Cluster(address, discovery.ClusterDiscovery(address, timeouts), log, **options)
