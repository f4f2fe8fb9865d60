"""Cache tenants by API key in the process.

A change is published on a Redis channel, and every worker drops the tenant at once. An entry expires after 30 s, which
limits the delay of a change while Redis is unavailable. Each (re)connection empties the cache, because messages may be
lost. A failed publication is retried until it succeeds.
"""

import time
from collections import OrderedDict

from auth1.authn import store
from auth1.core.postgres import Postgres
from auth1.core.redis import Redis
from auth1.core.redis_connection import RedisUnavailable
from auth1.core.schemas import encode
from auth1.tenants.settings import Tenant

CHANNEL = "auth1:tenants"
LIFE_S = 30.0
ENTRY_BYTES = 2048
MAX_BYTES = 32 * 1024 * 1024


class TenantCache:
    """Finds tenants. `listener` is a separate connection, because a subscribed connection accepts no other commands."""

    def __init__(self, postgres: Postgres, redis: Redis, listener: Redis) -> None:
        self._postgres = postgres
        self._redis = redis
        self._listener = listener
        self._entries: OrderedDict[bytes, tuple[float, Tenant, int]] = OrderedDict()
        self.size = 0  # bytes, estimated
        self._generation = 0
        self._unpublished: set[str] = set()
        listener.subscribe(CHANNEL, self._drop)

    async def start(self) -> None:
        await self._listener.start()

    async def stop(self) -> None:
        await self._listener.stop()

    def get_cached(self, key_digest: bytes) -> Tenant | None:
        """Return the cached tenant of a key, None if there is none."""
        entry = self._entries.get(key_digest)
        if entry is None or entry[0] < time.monotonic():
            return None
        tenant = entry[1]
        if tenant.key_expires_at is not None and tenant.key_expires_at <= time.time():
            return None
        return tenant

    async def find(self, key_digest: bytes) -> Tenant | None:
        """Return the tenant of a key from the database; None for an invalid key."""
        generation = self._generation
        tenant = await store.find_tenant(self._postgres, key_digest)
        if tenant is not None and generation == self._generation:  # else it may be older than a change
            self._store(key_digest, tenant)
        return tenant

    def _store(self, key_digest: bytes, tenant: Tenant) -> None:
        """Cache a tenant; the oldest entries are evicted above the memory limit."""
        size = ENTRY_BYTES + 2 * len(encode(tenant.settings))  # as Python strings they take about twice as much
        self._remove(key_digest)
        self._entries[key_digest] = (time.monotonic() + LIFE_S, tenant, size)
        self.size += size
        while self.size > MAX_BYTES:
            self._remove(next(iter(self._entries)))

    def _remove(self, key_digest: bytes) -> None:
        entry = self._entries.pop(key_digest, None)
        if entry is not None:
            self.size -= entry[2]

    async def publish_invalidation(self, tenant_id: str) -> None:
        """Publish that a tenant, its settings or its keys changed. Call it after the commit."""
        self._drop(tenant_id)
        self._unpublished.add(tenant_id)
        await self.retry_publish()

    async def retry_publish(self) -> None:
        """Retry failed publications."""
        for tenant_id in list(self._unpublished):
            try:
                await self._redis.call("PUBLISH", CHANNEL, tenant_id)
            except RedisUnavailable:
                return
            self._unpublished.discard(tenant_id)

    def _drop(self, tenant_id: str) -> None:
        """Drop a tenant; all tenants for ""."""
        self._generation += 1
        if not tenant_id:
            self._entries.clear()
            self.size = 0
            return
        for key_digest, (_, tenant, _) in list(self._entries.items()):
            if tenant.id.removesuffix(":test") == tenant_id:
                self._remove(key_digest)
