"""Hosts of tenants: a map of this process from the Host header to the tenant, and from its paths to those of routes.

A host has the pages and OAuth endpoints of its tenant without `/t/{slug}`, the links of its emails, and logos. Nothing
else is there. The map is read again after each change of a tenant, and every 30 s. It may lag behind: whether a host
still belongs to its tenant, the tenant itself says, whose entry every worker drops at once.
"""

import time
from typing import Any, NamedTuple

from auth1.authn import store
from auth1.authn.tenants import TenantCache
from auth1.core.http.request import Request, Site
from auth1.core.postgres import Postgres
from auth1.errors import NotFound
from auth1.services import Services
from auth1.tenants.settings import Tenant

ISSUER_PATH = "/t/{slug}"
METADATA_PATH = "/.well-known/oauth-authorization-server"  # RFC 8414 puts the path of the issuer behind it
COMMON_PATHS = ("/api/auth/link/", "/logos/")  # the same at each host
LIFE_S = 30.0


class OwnHost(NamedTuple):
    """A verified host of a tenant."""

    host: str
    slug: str

    def find_path(self, path: str) -> str:
        """Return the path of the route: below the tenant's issuer, unless it is the same at each host."""
        if path.startswith(COMMON_PATHS):
            return path
        issuer = ISSUER_PATH.format(slug=self.slug)
        if path == METADATA_PATH or path.startswith(f"{METADATA_PATH}/"):
            return METADATA_PATH + issuer + path.removeprefix(METADATA_PATH)
        return issuer + path


class OwnHosts:
    """The verified hosts of all tenants, by Host header. `app_host` is that of APP_URL, which is no tenant's."""

    def __init__(self, postgres: Postgres, tenants: TenantCache, app_host: str | None) -> None:
        self._postgres = postgres
        self._tenants = tenants
        self._app_host = app_host
        self._generation = -1
        self._known_until = 0.0
        self.sites: dict[bytes | None, Site] = {}

    async def refresh(self) -> None:
        """Read the hosts if a tenant has changed, or some time has passed. Raises Unavailable."""
        generation = self._tenants.generation
        if generation == self._generation and time.monotonic() < self._known_until:
            return
        rows = await store.list_own_hosts(self._postgres)
        sites: dict[bytes | None, Site] = {}
        for row in rows:
            if row.host != self._app_host:
                # Some clients name the default port.
                sites[row.host.encode()] = sites[f"{row.host}:443".encode()] = OwnHost(row.host, row.slug)
        self.sites = sites
        self._generation, self._known_until = generation, time.monotonic() + LIFE_S


async def find_tenant_of_host(app: Services, request: Request[Any]) -> Tenant | None:
    """Return the tenant whose host a request names; None at any other host. Raises NotFound for a removed host."""
    site = request.site
    if not isinstance(site, OwnHost):
        return None
    tenant = await app.tenants.find_slug(site.slug, sandbox=False)
    check_host(request, tenant)
    return tenant


def check_host(request: Request[Any], tenant: Tenant | None) -> None:
    """Raise NotFound for a tenant that does not have the host of the request. At APP_URL all tenants are served."""
    if request.site is not None and (tenant is None or request.site.host not in tenant.hosts):
        raise NotFound
