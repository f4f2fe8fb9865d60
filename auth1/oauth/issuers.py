"""The issuer of a request: a tenant or its sandbox, by the slug in the path or by the host.

An issuer has one address: at the tenant's canonical host, or else at APP_URL. Pages and metadata at another address
redirect there. What applications call directly is served at each address, because a redirect drops their credentials.
"""

from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from auth1.authn.guesses import find_limited
from auth1.authn.limits import UNKNOWN_NAMES
from auth1.authn.own_hosts import ISSUER_PATH, METADATA_PATH, check_host
from auth1.authn.tenants import check_served
from auth1.config.urls import host_of
from auth1.core.http.request import EarlyResponse, Request, Response
from auth1.core.http.router import Auth
from auth1.core.ratelimit import ClientRateLimit
from auth1.errors import Forbidden, NotFound, RateLimited, TenantMoved, TenantSuspended
from auth1.pages.fetch_metadata import check_site
from auth1.services import Services
from auth1.tenants.settings import Tenant

PATH = ISSUER_PATH
SANDBOX = "/test"  # after the path of the tenant
_QUERY_CHARACTERS = "!#$%&'()*+,-./:;=?@[]_~"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Issuer(msgspec.Struct, frozen=True):
    """A tenant that issues OAuth tokens, or its sandbox, and its address. `tenant.id` is the sandbox's there.

    Tokens that it issued at its `other_urls` are accepted too.
    """

    tenant: Tenant
    url: str
    other_urls: tuple[str, ...] = ()

    @property
    def owner_id(self) -> str:
        """Return the id of the tenant that owns the applications: the sandbox has the same ones."""
        return self.tenant.id.removesuffix(":test")

    @property
    def urls(self) -> tuple[str, ...]:
        """Return all its addresses."""
        return (self.url, *self.other_urls)


async def _live(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return await _find(app, request, rate_limit, sandbox=False)


async def _sandbox(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return await _find(app, request, rate_limit, sandbox=True)


async def _canonical(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return _at_its_address(app, request, await _find(app, request, rate_limit, sandbox=False))


async def _canonical_sandbox(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return _at_its_address(app, request, await _find(app, request, rate_limit, sandbox=True))


async def _form(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    check_site(request)
    return await _canonical(app, request, rate_limit)


async def _sandbox_form(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    check_site(request)
    return await _canonical_sandbox(app, request, rate_limit)


async def _metadata(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return _of_metadata(app, request, await _find(app, request, rate_limit, sandbox=False))


async def _sandbox_metadata(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None) -> Issuer:
    return _of_metadata(app, request, await _find(app, request, rate_limit, sandbox=True))


async def _find(app: Services, request: Request[Any], rate_limit: ClientRateLimit | None, *, sandbox: bool) -> Issuer:
    slug = request.parameters["slug"]
    if rate_limit is not None:
        await app.limiter.acquire_for_client(request, app.settings, rate_limit)
        tenant = await app.tenants.find_slug(slug, sandbox=sandbox)
    elif (tenant := app.tenants.get_cached_slug(slug, sandbox=sandbox)) is None:
        find = partial(app.tenants.find_slug, slug, sandbox=sandbox)
        tenant = await find_limited(app, request, UNKNOWN_NAMES, find)
    check_host(request, tenant)
    if tenant is None:
        raise NotFound
    request.log["tenant_id"] = tenant.id
    check_served(app, tenant)
    return issuer_of(app, tenant, slug)


def issuer_of(app: Services, tenant: Tenant, slug: str) -> Issuer:
    """Return the issuer of a tenant or its sandbox, with its addresses."""
    sandbox = SANDBOX if tenant.sandbox else ""
    shared = f"{app.settings.app_url}{PATH.format(slug=slug)}{sandbox}"
    if not tenant.hosts:
        return Issuer(tenant, shared)
    url = shared if tenant.canonical_host is None else f"https://{tenant.canonical_host}{sandbox}"
    urls = (shared, *(f"https://{host}{sandbox}" for host in tenant.hosts))
    return Issuer(tenant, url, tuple(other for other in urls if other != url))


def _at_its_address(app: Services, request: Request[Any], issuer: Issuer) -> Issuer:
    """Return the issuer where it is served. Redirects from its other addresses; raises NotFound at an unknown host."""
    host = None if request.site is None else request.site.host
    is_elsewhere = host is None and not _is_app_host(app, request)
    if is_elsewhere and not _is_same_machine(app, request):
        request.log["reason"] = "unknown_host"
        raise NotFound
    if is_elsewhere or host != issuer.tenant.canonical_host:
        query = f"?{quote(request.query_string, safe=_QUERY_CHARACTERS)}" if request.query_string else ""
        location = _address(issuer, request.path, request.parameters["slug"]) + query
        request.headers += [(b"location", location.encode()), (b"cache-control", b"no-store")]
        raise EarlyResponse(Response(b"", 308))
    return issuer


def _of_metadata(app: Services, request: Request[Any], issuer: Issuer) -> Issuer:
    """Return the issuer for its metadata. They are also served at internal names of the service, to its backends."""
    is_known = request.site is not None or _is_app_host(app, request)
    return _at_its_address(app, request, issuer) if is_known else issuer


def _is_app_host(app: Services, request: Request[Any]) -> bool:
    """Return whether the Host header is that of APP_URL. Other headers do not count."""
    parts = urlsplit(app.settings.app_url)
    named = request.request_headers.get(b"host", b"").decode("latin-1").lower()
    port = _DEFAULT_PORTS[parts.scheme]
    return named.removesuffix(port) == parts.netloc.lower().removesuffix(port)


def _is_same_machine(app: Services, request: Request[Any]) -> bool:
    """Return whether the Host header and APP_URL are different loopback names, as in development."""
    named = request.request_headers.get(b"host", b"").decode("latin-1").lower()
    host = named if named.startswith("[") and named.endswith("]") else named.rpartition(":")[0] or named
    return host in _LOOPBACK and host_of(app.settings.app_url) in _LOOPBACK


def _address(issuer: Issuer, path: str, slug: str) -> str:
    """Return the address of a route of the issuer where the issuer is served."""
    is_metadata = path.startswith(METADATA_PATH)
    sandbox = SANDBOX if issuer.tenant.sandbox else ""
    below = path.removeprefix(METADATA_PATH).removeprefix(PATH.format(slug=slug) + sandbox)
    if not is_metadata:
        return issuer.url + below
    parts = urlsplit(issuer.url)
    return f"{parts.scheme}://{parts.netloc}{METADATA_PATH}{parts.path}"


_ERRORS = (TenantSuspended, TenantMoved, RateLimited)
_REDIRECT: tuple[tuple[int, Any], ...] = ((308, None),)
# The issuer that the path or the host names. The handler authenticates the client.
issuer = Auth("issuer", _live, ((),), _ERRORS)
sandbox_issuer = Auth("sandbox_issuer", _sandbox, ((),), _ERRORS)
# The same at its own address only, for pages.
canonical_issuer = Auth("canonical_issuer", _canonical, ((),), _ERRORS, responses=_REDIRECT)
canonical_sandbox = Auth("canonical_sandbox", _canonical_sandbox, ((),), _ERRORS, responses=_REDIRECT)
# The same for forms of its own pages. Those of other sites are rejected before they count.
form_issuer = Auth("form_issuer", _form, ((),), (*_ERRORS, Forbidden), responses=_REDIRECT)
form_sandbox = Auth("form_sandbox", _sandbox_form, ((),), (*_ERRORS, Forbidden), responses=_REDIRECT)
# Metadata are at its own address, and at internal names of the service.
metadata_issuer = Auth("metadata_issuer", _metadata, ((),), _ERRORS, responses=_REDIRECT)
metadata_sandbox = Auth("metadata_sandbox", _sandbox_metadata, ((),), _ERRORS, responses=_REDIRECT)
