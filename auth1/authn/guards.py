"""Authenticate the caller of a route, and apply its rate limit, before the body is read."""

import math
from typing import Any

from auth1 import api_keys
from auth1.authn import store
from auth1.core import crypto
from auth1.core.http import client_ip
from auth1.core.http.request import Request
from auth1.core.http.router import Auth
from auth1.core.ratelimit import ClientRateLimit, Decision, RateLimit
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
POLLS = 600  # per minute and address: 256 random bits need no stricter limit

PER_IP = ClientRateLimit("ip", lambda settings: (settings.rate_limit_max, settings.rate_limit_window_ms))
# Wrong credentials. Apart from PER_IP, so that publishable keys in use at an address do not lock out its servers.
GUESSES = ClientRateLimit("guess", lambda settings: (settings.rate_limit_max, settings.rate_limit_window_ms))
POLLING = ClientRateLimit("poll", lambda settings: (POLLS, MINUTE_MS))

ANY_KEY = (("publishableKey",), ("secretKey",), ("testKey",))
KEY_ERRORS = (NotAuthenticated, InvalidApiKey, TenantSuspended, RateLimited, BadRequest)
_FORWARDED_FOR = ("auth1-forwarded-for",)


async def _public(app: Services, request: Request[None], rate_limit: ClientRateLimit | None) -> None:
    if rate_limit is not None:
        await _acquire(app, request, rate_limit)


async def _any_key(app: Services, request: Request[Tenant], rate_limit: ClientRateLimit | None) -> Tenant:
    return await find_tenant(app, request, rate_limit)


async def _secret_or_test_key(app: Services, request: Request[Tenant], rate_limit: ClientRateLimit | None) -> Tenant:
    tenant = await find_tenant(app, request, rate_limit)
    if tenant.key_kind == "pk":
        raise Forbidden("This needs a secret key: call from your server.")
    return tenant


async def _tenant_admin(
    app: Services, request: Request[TenantAdmin], rate_limit: ClientRateLimit | None
) -> TenantAdmin:
    tenant = await find_tenant(app, request, rate_limit)
    if tenant.key_kind != "sk":
        raise Forbidden("This needs a secret key: call from your server.")
    return TenantAdmin(tenant.id, tenant.key_id, request.request_id, request.network)


async def _operator(app: Services, request: Request[Operator], rate_limit: ClientRateLimit | None) -> Operator:
    await _check_bearer(app, request, app.settings.admin_token)
    return Operator()


async def _operator_for_tenant(
    app: Services, request: Request[TenantAdmin], rate_limit: ClientRateLimit | None
) -> TenantAdmin:
    tenant_id = request.parameters["tenant_id"]
    await _check_bearer(app, request, app.settings.admin_token)
    if not await store.tenant_exists(app.postgres, tenant_id):
        raise NotFound
    request.log["tenant_id"] = request.limit_key = tenant_id
    return TenantAdmin(tenant_id, OPERATOR, request.request_id, request.network)


async def _metrics_reader(app: Services, request: Request[None], rate_limit: ClientRateLimit | None) -> None:
    if app.settings.metrics_token is not None:
        await _check_bearer(app, request, app.settings.metrics_token)
        return
    address = client_ip.parse_address(request.client)
    is_outside = address is not None and not (address.is_private or address.is_loopback)
    # Behind a proxy that is not trusted, every client has the proxy's private address.
    if is_outside or not request.client_is_certain:
        detail = "Set METRICS_TOKEN to read the metrics from outside or through a proxy."
        raise NotAuthenticated(detail, headers={"www-authenticate": "Bearer"})


# No credential.
public = Auth("public", _public)
# A tenant, by any of its keys.
any_key = Auth("any_key", _any_key, ANY_KEY, KEY_ERRORS, _FORWARDED_FOR)
# A tenant's server: by its secret key, or by its test key for the sandbox.
secret_or_test_key = Auth(
    "secret_or_test_key", _secret_or_test_key, (("secretKey",), ("testKey",)), (*KEY_ERRORS, Forbidden), _FORWARDED_FOR
)
# A tenant that manages itself, by its secret key.
tenant_admin = Auth("tenant_admin", _tenant_admin, (("secretKey",),), (*KEY_ERRORS, Forbidden), _FORWARDED_FOR)
# The holder of ADMIN_TOKEN.
operator = Auth("operator", _operator, (("adminToken",),), (NotAuthenticated, InvalidToken, AdminDisabled, RateLimited))
# The holder of ADMIN_TOKEN, for the tenant that the path names.
operator_for_tenant = Auth(
    "operator_for_tenant",
    _operator_for_tenant,
    (("adminToken",),),
    (NotAuthenticated, InvalidToken, AdminDisabled, NotFound, RateLimited),
)
# A scraper: by METRICS_TOKEN, or from a private or loopback address where none is set.
metrics_reader = Auth(
    "metrics_reader", _metrics_reader, ((), ("metricsToken",)), (NotAuthenticated, InvalidToken, RateLimited)
)


async def find_tenant(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Tenant:
    """Return the tenant of the API key, and take a slot of the rate limit.

    The slot of an unknown key is taken before the database is read, so that guessing keys is limited; guesses of secret
    and test keys have a limit of their own. On a route without a rate limit only guesses take one. A secret key is
    exempt unless it names the user's address, because a backend calls for all its users from one address. A test key
    has a limit of its own, so that an app's tests meet the same limits on any machine. A page of an origin that the key
    does not allow takes no slot.

    Raises NotAuthenticated, InvalidApiKey, TenantSuspended, OriginNotAllowed, RateLimited, BadRequest.
    """
    text = request.header(b"x-api-key")
    if not text:
        raise NotAuthenticated("The x-api-key header is missing.")
    kind = api_keys.kind_of(text)
    key_digest = crypto.digest(text)
    tenant = app.tenants.get_cached(key_digest) if kind else None
    if tenant is not None:
        # Before a slot is taken: a page elsewhere must not use up the slots of its visitors.
        _check_origin(app, request, tenant)
    exempt, slot = kind in ("sk", "test"), None
    if not exempt and (rate_limit is not None or tenant is None):
        slot = await _acquire(app, request, rate_limit or PER_IP)
    if tenant is None:
        tenant = await _find_uncached(app, request, key_digest if kind else None, count_guess=exempt)
        _check_origin(app, request, tenant, slot)
    request.log["tenant_id"] = request.limit_key = tenant.id
    if tenant.suspended:
        raise TenantSuspended
    if kind == "test":
        key_limit = RateLimit("key", f"slots:{{{tenant.id}}}:key:{tenant.key_id}", TEST_KEY_REQUESTS, MINUTE_MS)
        raise_if_limited(request, await app.limiter.acquire(key_limit))
    if kind == "sk" and (address := request.header(b"auth1-forwarded-for")) is not None:
        parsed = client_ip.parse_address(address)
        if parsed is None:
            raise BadRequest("auth1-forwarded-for must be one IP address.")
        request.set_client(str(parsed))
        if rate_limit is not None:
            # In the tenant's own scope: a tenant must not use up a user's slots elsewhere.
            await _acquire(app, request, rate_limit, tenant.id)
    return tenant


async def _find_uncached(
    app: Services, request: Request[Any], key_digest: bytes | None, *, count_guess: bool
) -> Tenant:
    """Find the tenant of a key in the database, unless too many keys were guessed before."""
    if count_guess:
        _check_guesses(app, request)
    tenant = await app.tenants.find(key_digest) if key_digest is not None else None
    if tenant is None:
        if count_guess:
            await _acquire(app, request, GUESSES)
        raise InvalidApiKey
    return tenant


def _check_guesses(app: Services, request: Request[Any]) -> None:
    """Check without a round trip whether the limit of wrong credentials is exceeded. Raises RateLimited."""
    if (full := app.limiter.known_full(GUESSES.of(app.settings, request.client))) is not None:
        raise_if_limited(request, full)


def bearer_token(request: Request[Any]) -> str:
    """Return the token of the Authorization header (RFC 6750, 2.1). Raises NotAuthenticated."""
    scheme, _, token = (request.header(b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("The Authorization header needs a bearer token.", headers={"www-authenticate": "Bearer"})
    return token.strip()


def raise_if_limited(request: Request[Any], decision: Decision) -> None:
    """Add the RateLimit headers (IETF draft 10) to the response. Raises RateLimited when a limit is exceeded."""
    shown = [level for level in decision.remaining if decision.limited_by in (None, level.rate_limit)]
    policy = ", ".join(
        f'"{limit.policy}";q={limit.limit};w={_seconds(limit.window_ms)}' for limit in (one.rate_limit for one in shown)
    )
    state = ", ".join(
        f'"{level.rate_limit.policy}";r={level.remaining};t={_seconds(level.reset_ms)}' for level in shown
    )
    request.headers += [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
    if decision.limited_by is not None:
        raise RateLimited(retry_after=_seconds(decision.retry_after_ms))


async def _check_bearer(app: Services, request: Request[Any], expected: str | None) -> None:
    """Compare the bearer token; after too many wrong ones from an address not even the right one is accepted."""
    if expected is None:
        raise AdminDisabled
    token = bearer_token(request)
    _check_guesses(app, request)
    if not crypto.equal(token, expected):
        await _acquire(app, request, GUESSES)
        raise InvalidToken


def _check_origin(app: Services, request: Request[Any], tenant: Tenant, slot: RateLimit | None = None) -> None:
    """Check the page's origin against those of the key, byte by byte: browsers write an origin in one way only.

    Releases the slot that was taken meanwhile. Raises OriginNotAllowed.
    """
    request.origins = tenant.allowed_origins
    origin = request.header(b"origin")
    if origin is None or not tenant.allowed_origins or origin in tenant.allowed_origins:
        return
    request.log["tenant_id"] = tenant.id
    if slot is not None:
        app.limiter.release_later(slot)
    raise OriginNotAllowed


async def _acquire(app: Services, request: Request[Any], rate_limit: ClientRateLimit, scope: str = "") -> RateLimit:
    """Take a slot for the client's address. Raises RateLimited."""
    limit = rate_limit.of(app.settings, request.client, scope)
    raise_if_limited(request, await app.limiter.acquire(limit))
    return limit


def _seconds(milliseconds: int) -> int:
    return max(1, math.ceil(milliseconds / 1000))
