"""Authenticate the caller of a route, and apply its rate limit, before the body is read."""

from typing import Any

from auth1.authn import store
from auth1.authn.limits import GUESSES
from auth1.authn.tenants import find_tenant
from auth1.core import crypto
from auth1.core.http import client_ip
from auth1.core.http.request import Request
from auth1.core.http.router import Auth
from auth1.core.ratelimit import ClientRateLimit
from auth1.errors import (
    AdminDisabled,
    BadRequest,
    Forbidden,
    InvalidApiKey,
    InvalidToken,
    NotAuthenticated,
    NotFound,
    RateLimited,
    TenantMoved,
    TenantSuspended,
)
from auth1.services import Services
from auth1.tenants.settings import OPERATOR, Operator, Tenant, TenantAdmin

ANY_KEY = (("publishableKey",), ("secretKey",), ("testKey",))
KEY_ERRORS = (NotAuthenticated, InvalidApiKey, TenantSuspended, TenantMoved, RateLimited, BadRequest)
OPERATOR_ERRORS = (NotAuthenticated, InvalidToken, AdminDisabled, RateLimited)
_FORWARDED_FOR = ("auth1-forwarded-for",)


async def _public(app: Services, request: Request[None], rate_limit: ClientRateLimit | None) -> None:
    if rate_limit is not None:
        await app.limiter.acquire_for_client(request, app.settings, rate_limit)


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
    await _check_bearer(app, request, app.settings.admin_token, "ADMIN_TOKEN")
    return Operator()


async def _operator_for_tenant(
    app: Services, request: Request[TenantAdmin], rate_limit: ClientRateLimit | None
) -> TenantAdmin:
    return await _operator_for(app, request, is_moved_allowed=False)


async def _operator_for_stored_tenant(
    app: Services, request: Request[TenantAdmin], rate_limit: ClientRateLimit | None
) -> TenantAdmin:
    return await _operator_for(app, request, is_moved_allowed=True)


async def _operator_for(app: Services, request: Request[TenantAdmin], *, is_moved_allowed: bool) -> TenantAdmin:
    tenant_id = request.parameters["tenant_id"]
    await _check_bearer(app, request, app.settings.admin_token, "ADMIN_TOKEN")
    is_moved = await store.is_tenant_moved(app.postgres, tenant_id)
    if is_moved is None:
        raise NotFound
    if is_moved and not is_moved_allowed:
        raise TenantMoved
    request.log["tenant_id"] = request.limit_key = tenant_id
    return TenantAdmin(tenant_id, OPERATOR, request.request_id, request.network)


async def _metrics_reader(app: Services, request: Request[None], rate_limit: ClientRateLimit | None) -> None:
    if app.settings.metrics_token is not None:
        await _check_bearer(app, request, app.settings.metrics_token, "METRICS_TOKEN")
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
any_key = Auth("any_key", find_tenant, ANY_KEY, KEY_ERRORS, _FORWARDED_FOR)
# A tenant's server: by its secret key, or by its test key for the sandbox.
secret_or_test_key = Auth(
    "secret_or_test_key", _secret_or_test_key, (("secretKey",), ("testKey",)), (*KEY_ERRORS, Forbidden), _FORWARDED_FOR
)
# A tenant that manages itself, by its secret key.
tenant_admin = Auth("tenant_admin", _tenant_admin, (("secretKey",),), (*KEY_ERRORS, Forbidden), _FORWARDED_FOR)
# The holder of ADMIN_TOKEN.
operator = Auth("operator", _operator, (("adminToken",),), OPERATOR_ERRORS)
# The holder of ADMIN_TOKEN, for the tenant that the path names.
operator_for_tenant = Auth(
    "operator_for_tenant", _operator_for_tenant, (("adminToken",),), (*OPERATOR_ERRORS, NotFound, TenantMoved)
)
# The same for its rows in this database, also after it has moved: the installation that serves it is not affected.
operator_for_stored_tenant = Auth(
    "operator_for_stored_tenant", _operator_for_stored_tenant, (("adminToken",),), (*OPERATOR_ERRORS, NotFound)
)
# A scraper: by METRICS_TOKEN, or from a private or loopback address where none is set.
metrics_reader = Auth(
    "metrics_reader", _metrics_reader, ((), ("metricsToken",)), (NotAuthenticated, InvalidToken, RateLimited)
)


def bearer_token(request: Request[Any], expected: str) -> str:
    """Return the token of the Authorization header (RFC 6750, 2.1). Raises NotAuthenticated with what is `expected`."""
    scheme, _, token = (request.header(b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        detail = f"This needs the header Authorization: Bearer with {expected}."
        raise NotAuthenticated(detail, headers={"www-authenticate": "Bearer"})
    return token.strip()


async def _check_bearer(app: Services, request: Request[Any], expected: str | None, variable: str) -> None:
    """Compare the bearer token; after too many wrong ones from an address not even the right one is accepted."""
    if expected is None:
        raise AdminDisabled
    token = bearer_token(request, f"the operator's {variable}")
    app.limiter.check_known_full(request, app.settings, GUESSES)
    if not crypto.equal(token, expected):
        await app.limiter.acquire_for_client(request, app.settings, GUESSES)
        raise InvalidToken(f"The bearer token is not the operator's {variable}.")
