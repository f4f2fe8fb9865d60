"""Find the tenant of a request by its API key: in a cache of this process, or in the database.

Only a key that is not in the cache is parsed, and its kind and checksum checked.

A change is published on a Redis channel, and every worker drops the tenant at once. An entry expires after 30 s, which
limits the delay of a change while Redis is unavailable. Each (re)connection empties the cache, because messages may be
lost. A failed publication is retried until it succeeds.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Any

from auth1 import api_keys
from auth1.authn import store
from auth1.authn.guesses import find_limited
from auth1.authn.limits import GUESSES, MINUTE_MS, TEST_KEY_REQUESTS, UNKNOWN_NAMES
from auth1.core import crypto
from auth1.core.http import client_ip
from auth1.core.http.request import Request
from auth1.core.postgres import Postgres
from auth1.core.ratelimit import ClientRateLimit, RateLimit, raise_if_limited
from auth1.core.redis import Redis, RedisUnavailable, Server
from auth1.core.schemas import encode
from auth1.errors import (
    BadRequest,
    InvalidApiKey,
    NotAuthenticated,
    OriginNotAllowed,
    TenantMoved,
    TenantSuspended,
    Unavailable,
)
from auth1.fraud.policy import DEFAULT_POLICY
from auth1.hooks.config import NO_HOOKS
from auth1.services import Services
from auth1.tenants.settings import Tenant

CHANNEL = "auth1:tenants"
ALL_TENANTS = ""
LIFE_S = 30.0
RETRY_AFTER_S = 1  # while a tenant is being moved
ENTRY_BYTES = 2048
MAX_BYTES = 24 * 1024 * 1024


class TenantCache:
    """Finds tenants. `listener` is a separate connection, because a subscribed connection accepts no other commands."""

    def __init__(self, postgres: Postgres, redis: Redis, listener: Server) -> None:
        self._postgres = postgres
        self._redis = redis
        self._listener = listener
        self._entries: OrderedDict[bytes, tuple[float, Tenant, int]] = OrderedDict()
        self.size = 0  # bytes, estimated
        self.generation = 0  # the number of changes of tenants that were announced
        self._unpublished: set[str] = set()
        self._moved: set[str] = set()
        self._moved_known_until = 0.0
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
        if tenant.key_expires_at is not None and tenant.key_expires_at <= self._postgres.now():
            return None
        return tenant

    async def find(self, key_digest: bytes) -> Tenant | None:
        """Return the tenant of a key from the database; None for an invalid key."""
        generation = self.generation
        tenant = await store.find_tenant(self._postgres, key_digest)
        if tenant is not None and generation == self.generation:  # else it may be older than a change
            self._store(key_digest, tenant)
        return tenant

    async def refresh_moved(self) -> None:
        """Read which tenants have moved, after each change of a tenant and every 30 s."""
        if time.monotonic() >= self._moved_known_until:
            self._moved_known_until = time.monotonic() + LIFE_S
            self._moved = await store.list_moved_tenants(self._postgres)

    def check_not_moved(self, tenant_id: str) -> None:
        """Raise TenantMoved where a request without an API key is about a tenant that has moved."""
        if tenant_id.removesuffix(":test") in self._moved:
            raise TenantMoved

    def get_cached_slug(self, slug: str, *, sandbox: bool) -> Tenant | None:
        """Return the cached tenant of a slug, or its sandbox; None if there is none."""
        return self.get_cached(_slug_digest(slug, sandbox=sandbox))

    async def find_slug(self, slug: str, *, sandbox: bool) -> Tenant | None:
        """Return the tenant of a slug, or its sandbox; None if there is none."""
        if (tenant := self.get_cached_slug(slug, sandbox=sandbox)) is not None:
            return tenant
        generation = self.generation
        tenant = await store.find_tenant_by_slug(self._postgres, slug, sandbox=sandbox)
        if tenant is not None and generation == self.generation:
            self._store(_slug_digest(slug, sandbox=sandbox), tenant)
        return tenant

    def _store(self, key_digest: bytes, tenant: Tenant) -> None:
        """Cache a tenant; the oldest entries are evicted above the memory limit.

        A tenant that is being moved is not cached: it is served again within seconds.
        """
        if tenant.closed_until > self._postgres.now():
            return
        # As Python strings they take about twice as much. The default policy is one object.
        size = ENTRY_BYTES + 2 * len(encode(tenant.settings))
        if tenant.policy is not DEFAULT_POLICY:
            size += 4 * len(encode(tenant.policy))
        if tenant.hooks is not NO_HOOKS:
            size += 4 * len(encode(tenant.hooks))
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
        """Publish that a tenant, its settings or its keys changed, or ALL_TENANTS. Call it after the commit."""
        self._drop(tenant_id)
        self._unpublished.add(tenant_id)
        await self.retry_publish()

    async def retry_publish(self) -> None:
        """Retry failed publications."""
        for tenant_id in list(self._unpublished):
            # Before the call: a change that happens during the call adds the tenant again, and is published too.
            self._unpublished.discard(tenant_id)
            try:
                await self._redis.call("PUBLISH", CHANNEL, tenant_id)
            except RedisUnavailable:
                self._unpublished.add(tenant_id)
                return
            except asyncio.CancelledError:
                self._unpublished.add(tenant_id)
                raise

    def _drop(self, tenant_id: str) -> None:
        """Drop a tenant, or ALL_TENANTS."""
        self.generation += 1
        self._moved_known_until = 0.0
        if tenant_id == ALL_TENANTS:
            self._entries.clear()
            self.size = 0
            return
        for key_digest, (_, tenant, _) in list(self._entries.items()):
            if tenant.id.removesuffix(":test") == tenant_id:
                self._remove(key_digest)


def _slug_digest(slug: str, *, sandbox: bool) -> bytes:
    return crypto.digest(f"slug\0{slug}\0{sandbox}")


async def find_tenant(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Tenant:
    """Return the tenant of the API key, and acquire the route's rate limit.

    For an unknown key the limit is acquired before the database is read, so that guessing keys is limited; guesses of
    secret and test keys have a separate limit. A route without a rate limit counts only misses. A secret key is exempt
    unless it names the user's address, because a backend calls for all its users from one address. A test key has its
    own limit, so that an app's tests meet the same limits on any machine. A page of an origin that the key does not
    allow is not counted.

    Raises NotAuthenticated, InvalidApiKey, TenantSuspended, TenantMoved, OriginNotAllowed, RateLimited, BadRequest.
    """
    key = request.header(b"x-api-key")
    if not key:
        raise NotAuthenticated("The x-api-key header is missing.")
    tenant = app.tenants.get_cached(crypto.digest(key))
    if tenant is None:
        tenant = await _find_uncached(app, request, key, rate_limit)
    else:
        # Checked first: a page of another origin must not use up the limit of its visitors.
        if tenant.allowed_origins:
            _check_origin(app, request, tenant)
        if rate_limit is not None and tenant.key_kind == "pk":
            await app.limiter.acquire_for_client(request, app.settings, rate_limit)
    request.log["tenant_id"] = request.limit_key = tenant.id
    check_served(app, tenant)
    if tenant.key_kind == "test":
        key_limit = RateLimit("key", f"ratelimit:{{{tenant.id}}}:key:{tenant.key_id}", TEST_KEY_REQUESTS, MINUTE_MS)
        raise_if_limited(request, await app.limiter.acquire(key_limit))
    elif tenant.key_kind == "sk" and (address := request.header(b"auth1-forwarded-for")) is not None:
        await _set_user_address(app, request, tenant, address, rate_limit)
    return tenant


def check_served(app: Services, tenant: Tenant) -> None:
    """Raise TenantMoved, TenantSuspended, or Unavailable while a tenant is being moved."""
    if tenant.moved:
        raise TenantMoved
    if tenant.closed_until > app.postgres.now():
        raise Unavailable("This tenant is being moved; retry.", retry_after=RETRY_AFTER_S)
    if tenant.suspended:
        raise TenantSuspended


async def _find_uncached(app: Services, request: Request[Any], key: str, rate_limit: ClientRateLimit | None) -> Tenant:
    """Find the tenant of a key in the database, unless too many keys were guessed before."""
    kind, client_limit = api_keys.kind_of(key), None

    async def find() -> Tenant | None:
        return await app.tenants.find(crypto.digest(key)) if kind else None

    if kind in ("sk", "test"):
        tenant = await find_limited(app, request, GUESSES, find)
    elif rate_limit is None:
        tenant = await find_limited(app, request, UNKNOWN_NAMES, find)
    else:
        client_limit = await app.limiter.acquire_for_client(request, app.settings, rate_limit)
        tenant = await find()
    if tenant is None:
        raise InvalidApiKey
    _check_origin(app, request, tenant, client_limit)
    return tenant


def _check_origin(app: Services, request: Request[Any], tenant: Tenant, client_limit: RateLimit | None = None) -> None:
    """Check the page's origin against those of the key, byte by byte: browsers write an origin in one way only.

    Releases a limit that was acquired for the request. Raises OriginNotAllowed.
    """
    request.origins = tenant.allowed_origins
    origin = request.header(b"origin")
    if origin is None or not tenant.allowed_origins or origin in tenant.allowed_origins:
        return
    request.log["tenant_id"] = tenant.id
    if client_limit is not None:
        app.limiter.release_later(client_limit)
    raise OriginNotAllowed


async def _set_user_address(
    app: Services, request: Request[Any], tenant: Tenant, address: str, rate_limit: ClientRateLimit | None
) -> None:
    """Use the address that a server names as the client's address. Raises BadRequest, RateLimited."""
    parsed = client_ip.parse_address(address)
    if parsed is None:
        raise BadRequest("auth1-forwarded-for must be one IP address.")
    request.set_client(str(parsed))
    if rate_limit is not None:
        # In the tenant's own scope: a tenant must not use up a user's limit at other tenants.
        await app.limiter.acquire_for_client(request, app.settings, rate_limit, tenant.id)
