"""The issuer of a request: a tenant or its sandbox, by the slug in the path."""

from typing import Any

import msgspec

from auth1.authn.tenants import check_served
from auth1.core.http.request import Request
from auth1.core.http.router import Auth
from auth1.core.ratelimit import ClientRateLimit
from auth1.errors import NotFound, TenantMoved, TenantSuspended
from auth1.services import Services
from auth1.tenants.settings import Tenant

PATH = "/t/{slug}"
SANDBOX = "/test"  # after the path of the tenant


class Issuer(msgspec.Struct, frozen=True):
    """A tenant that issues OAuth tokens, or its sandbox, and its address. `tenant.id` is the sandbox's there."""

    tenant: Tenant
    url: str

    @property
    def owner_id(self) -> str:
        """Return the id of the tenant that owns the applications: the sandbox has the same ones."""
        return self.tenant.id.removesuffix(":test")


async def _live(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return await _find(app, request, rate_limit, sandbox=False)


async def _sandbox(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return await _find(app, request, rate_limit, sandbox=True)


async def _find(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None, *, sandbox: bool) -> Issuer:
    slug = request.parameters["slug"]
    if rate_limit is not None:
        await app.limiter.acquire_for_client(request, app.settings, rate_limit)
    tenant = await app.tenants.find_slug(slug, sandbox=sandbox)
    if tenant is None:
        raise NotFound
    request.log["tenant_id"] = tenant.id
    check_served(tenant)
    return Issuer(tenant, issuer_url(app, slug, sandbox=sandbox))


def issuer_url(app: Services, slug: str, *, sandbox: bool) -> str:
    """Return the address of the issuer of a tenant or its sandbox."""
    return f"{app.settings.app_url}{PATH.format(slug=slug)}{SANDBOX if sandbox else ''}"


# The issuer that the path names. The handler authenticates the client.
issuer = Auth("issuer", _live, ((),), (TenantSuspended, TenantMoved))
sandbox_issuer = Auth("sandbox_issuer", _sandbox, ((),), (TenantSuspended, TenantMoved))
