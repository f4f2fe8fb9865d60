"""Manage the hosts of a tenant: for the tenant itself, and for the operator."""

from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.hosts import names, service, store
from auth1.hosts.schemas import HostIn, HostOut, HostPage, HostPatch
from auth1.hosts.store import Host
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin


async def add_host(app: Services, request: Request[TenantAdmin], body: HostIn) -> HostOut:
    """Add a host of your own. It is not served until it is verified. A tenant has at most 10 hosts."""
    return show_host(await service.add_host(app, request.caller, body.host))


async def list_hosts(app: Services, request: Request[TenantAdmin], query: PageQuery) -> HostPage:
    """List a tenant's hosts, oldest first. There are at most 10."""
    found = [show_host(host) for host in await store.list_hosts(app.postgres, request.caller.tenant_id)]
    return HostPage(*query.split([one for one in found if one.host_id > query.cursor], lambda one: one.host_id))


async def verify_host(app: Services, request: Request[TenantAdmin]) -> HostOut:
    """Verify a host by its TXT record. Without the record the response is 409; retry when the DNS has it."""
    return show_host(await service.verify_host(app, request.caller, request.parameters["host_id"]))


async def update_host(app: Services, request: Request[TenantAdmin], body: HostPatch) -> HostOut:
    """Make a verified host canonical, or no longer.

    The issuer changes with it: applications must be configured with the new one, and users sign in again.
    """
    host_id = request.parameters["host_id"]
    return show_host(await service.set_canonical(app, request.caller, host_id, canonical=body.canonical))


async def remove_host(app: Services, request: Request[TenantAdmin]) -> None:
    """Remove a host. Its pages, and links that were sent with it, stop working at once."""
    await service.remove_host(app, request.caller, request.parameters["host_id"])


def show_host(host: Host) -> HostOut:
    """Return the body that shows a host."""
    return HostOut(
        host_id=host.host_id,
        host=host.host,
        canonical=host.canonical,
        txt_name=names.record_name(host.host),
        txt_value=names.record_value(host.token),
        created_at=host.created_at,
        verified_at=host.verified_at,
    )
