"""What a route requires of its caller, checked before the body is read."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

from auth1 import api_keys
from auth1.authn import store
from auth1.core import crypto
from auth1.core.http import client_ip
from auth1.core.http.request import Request
from auth1.core.ratelimit import Decision, RateLimit
from auth1.errors import (
    AdminDisabled,
    BadRequest,
    Forbidden,
    InvalidApiKey,
    InvalidToken,
    NotAuthenticated,
    NotFound,
    OriginNotAllowed,
    RateLimited,
    TenantSuspended,
)
from auth1.services import Services
from auth1.tenants.settings import OPERATOR, Operator, Tenant, TenantAdmin

MINUTE_MS = 60_000
TEST_KEY_REQUESTS = 600
POLLS = 600  # a minute and address: what is asked for with 256 bits needs no narrower door


async def anyone(app: Services, request: Request[None]) -> None:
    """No credential."""


async def tenant_at_the_door(app: Services, request: Request[Tenant]) -> Tenant:
    """A tenant by any of its keys; and one slot of RATE_LIMIT_MAX for the client's address.

    The slot is taken before the database is asked for an unknown key, so that guessing keys costs slots. A secret key
    is exempt, unless it names the person's address: a backend calls for all its users from one address. A test key has
    a limit of its own: an app's tests should see the limits of the app and not those of the machine they run on. A page
    of an origin that is not the key's takes none.
    """
    return await find_tenant(app, request, _take_door_slot)


async def tenant_who_polls(app: Services, request: Request[Tenant]) -> Tenant:
    """A tenant as at the door, but with room to ask again and again what became of a challenge."""
    return await find_tenant(app, request, _take_poll_slot)


async def server(app: Services, request: Request[Tenant]) -> Tenant:
    """A tenant's own server: by its secret key, or by a test key for the sandbox."""
    tenant = await find_tenant(app, request)
    if tenant.key_kind == "pk":
        raise Forbidden("This needs a secret key: call from your server.")
    return tenant


async def manager(app: Services, request: Request[TenantAdmin]) -> TenantAdmin:
    """A tenant that manages itself, by its secret key."""
    tenant = await find_tenant(app, request)
    if tenant.key_kind != "sk":
        raise Forbidden("This needs a secret key: call from your server.")
    return TenantAdmin(tenant.id, tenant.key_id, request.request_id)


async def operator_of_tenant(app: Services, request: Request[TenantAdmin]) -> TenantAdmin:
    """The operator, who manages the tenant that the path names."""
    tenant_id = request.parameters["tenant_id"]
    _bearer(request, app.settings.admin_token, AdminDisabled)
    if not await store.tenant_exists(app.postgres, tenant_id):
        raise NotFound
    request.log["tenant_id"] = request.limit_key = tenant_id
    return TenantAdmin(tenant_id, OPERATOR, request.request_id)


async def person_at_the_door(app: Services, request: Request[None]) -> None:
    """Anybody; and one slot of RATE_LIMIT_MAX for the client's address."""
    await _take_door_slot(app, request, request.client, "")


async def operator(app: Services, request: Request[Operator]) -> Operator:
    """The holder of ADMIN_TOKEN."""
    return _bearer(request, app.settings.admin_token, AdminDisabled)


async def scraper(app: Services, request: Request[None]) -> None:
    """Whoever may read the metrics: by METRICS_TOKEN, or where none is set from a private or loopback address."""
    token = app.settings.metrics_token
    if token is not None:
        _bearer(request, token, AdminDisabled)
        return
    address = client_ip.parse_address(request.client)
    if address is not None and not (address.is_private or address.is_loopback):
        detail = "Set METRICS_TOKEN to read the metrics from outside."
        raise NotAuthenticated(detail, headers={"www-authenticate": "Bearer"})


async def find_tenant(app: Services, request: Request[Any], take_slot: "_TakeSlot | None" = None) -> Tenant:
    """The tenant whose key the caller has, and the slot that the call costs; without one only guessing costs any.

    Raises NotAuthenticated, InvalidApiKey, TenantSuspended, OriginNotAllowed, RateLimited, BadRequest.
    """
    text = request.header(b"x-api-key")
    if not text:
        raise NotAuthenticated("The x-api-key header is missing.")
    kind = api_keys.kind_of(text)
    key_digest = crypto.digest(text)
    tenant = app.tenants.get_cached(key_digest) if kind else None
    if tenant is not None:
        # Before anything is spent: a page elsewhere must not use up the slots of those who look at it.
        _check_origin(app, request, tenant)
    take, exempt, slot = take_slot or _take_door_slot, kind in ("sk", "test"), None
    if not exempt and (take_slot is not None or tenant is None):
        slot = await take(app, request, request.client, "")
    if tenant is None:
        tenant = await app.tenants.find(key_digest) if kind else None
        if tenant is None:
            if exempt:
                await take(app, request, request.client, "")
            raise InvalidApiKey
        _check_origin(app, request, tenant, slot)
    request.log["tenant_id"] = request.limit_key = tenant.id
    if tenant.suspended:
        raise TenantSuspended
    if kind == "test":
        key_bucket = RateLimit("key", f"slots:{{{tenant.id}}}:key:{tenant.key_id}", TEST_KEY_REQUESTS, MINUTE_MS)
        raise_if_limited(request, await app.limiter.acquire(key_bucket))
    if kind == "sk" and (person := request.header(b"auth1-forwarded-for")) is not None:
        address = client_ip.parse_address(person)
        if address is None:
            raise BadRequest("auth1-forwarded-for must be one IP address.")
        request.client = str(address)
        if take_slot is not None:
            # A bucket of this tenant's own: it must not be able to use up a person's slots elsewhere.
            await take_slot(app, request, request.client, tenant.id)
    return tenant


def bearer_token(request: Request[Any]) -> str:
    """The token of the Authorization header (RFC 6750, 2.1). Raises NotAuthenticated."""
    scheme, _, token = (request.header(b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("The Authorization header needs a bearer token.", headers={"www-authenticate": "Bearer"})
    return token.strip()


def _bearer(request: Request[Any], expected: str | None, disabled: type[AdminDisabled]) -> Operator:
    if expected is None:
        raise disabled
    if not crypto.equal(bearer_token(request), expected):
        raise InvalidToken
    return Operator()


def _check_origin(app: Services, request: Request[Any], tenant: Tenant, slot: RateLimit | None = None) -> None:
    """Hold a page to the origins of its key, compared as they are: browsers spell an origin in one way only.

    A slot that was taken meanwhile is given back. Raises OriginNotAllowed.
    """
    request.origins = tenant.allowed_origins
    origin = request.header(b"origin")
    if origin is None or not tenant.allowed_origins or origin in tenant.allowed_origins:
        return
    request.log["tenant_id"] = tenant.id
    if slot is not None:
        app.limiter.release_later(slot)
    raise OriginNotAllowed


_TakeSlot = Callable[[Services, Request[Any], str, str], Awaitable[RateLimit]]


async def _take_poll_slot(app: Services, request: Request[Any], client: str, scope: str) -> RateLimit:
    bucket = RateLimit("poll", f"slots:{{{scope}{client_ip.rate_limit_prefix(client)}}}:poll", POLLS, MINUTE_MS)
    raise_if_limited(request, await app.limiter.acquire(bucket))
    return bucket


async def _take_door_slot(app: Services, request: Request[Any], client: str, scope: str) -> RateLimit:
    settings = app.settings
    key = f"slots:{{{scope}{client_ip.rate_limit_prefix(client)}}}:ip"
    bucket = RateLimit("ip", key, settings.rate_limit_max, settings.rate_limit_window_ms)
    raise_if_limited(request, await app.limiter.acquire(bucket))
    return bucket


def raise_if_limited(request: Request[Any], slots: Decision) -> None:
    """Put the limits into the response (IETF RateLimit headers, draft 10). Raises RateLimited when one is full."""
    shown = [level for level in slots.remaining if slots.limited_by in (None, level.rate_limit)]
    policy = ", ".join(f'"{bucket.policy}";q={bucket.limit};w={_seconds(bucket.window_ms)}' for bucket, _, _ in shown)
    state = ", ".join(
        f'"{level.rate_limit.policy}";r={level.remaining};t={_seconds(level.reset_ms)}' for level in shown
    )
    request.headers += [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
    if slots.limited_by is not None:
        raise RateLimited(retry_after=_seconds(slots.retry_after_ms))


def _seconds(milliseconds: int) -> int:
    return max(1, math.ceil(milliseconds / 1000))
