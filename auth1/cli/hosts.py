"""The command `hosts`: add, verify and remove hosts of tenants, and choose the canonical one."""

from argparse import Namespace
from collections.abc import Awaitable, Callable

from auth1.cli.commands import run, show, tenant_admin_for
from auth1.core import schemas
from auth1.errors import NotFound
from auth1.hosts import service, store
from auth1.hosts.handlers import show_host
from auth1.hosts.schemas import HostIn, HostOut
from auth1.hosts.store import Host
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin


def add(options: Namespace) -> None:
    """Add a host."""

    async def operation(app: Services) -> HostOut:
        body = schemas.convert({"host": options.host}, HostIn)
        return show_host(await service.add_host(app, await tenant_admin_for(app, options), body.host))

    show(options, run(operation), "host_id", "host", "txt_name", "txt_value")


def verify(options: Namespace) -> None:
    """Verify a host."""
    _change(options, service.verify_host)


def make_canonical(options: Namespace) -> None:
    """Make a host the canonical one."""
    _change(options, lambda app, admin, host_id: service.set_canonical(app, admin, host_id, canonical=True))


def unset_canonical(options: Namespace) -> None:
    """Make a host no longer the canonical one."""
    _change(options, lambda app, admin, host_id: service.set_canonical(app, admin, host_id, canonical=False))


def remove(options: Namespace) -> None:
    """Remove a host."""

    async def operation(app: Services) -> None:
        admin, host_id = await _find(app, options)
        await service.remove_host(app, admin, host_id)

    run(operation)
    print('{"removed":true}' if options.json else f"removed: {options.host}")


def list(options: Namespace) -> None:  # noqa: A001  # the name of the subcommand
    """List all hosts of a tenant."""

    async def operation(app: Services) -> tuple[HostOut, ...]:
        admin = await tenant_admin_for(app, options)
        return tuple(map(show_host, await store.list_hosts(app.postgres, admin.tenant_id)))

    found = run(operation)
    if options.json:
        print(schemas.encode(found).decode())
        return
    for host in found:
        state = "canonical" if host.canonical else "pending" if host.verified_at is None else "verified"
        print(f"{host.host_id}  {state:9}  {host.host}")


def _change(options: Namespace, change: Callable[[Services, TenantAdmin, str], Awaitable[Host]]) -> None:
    async def operation(app: Services) -> HostOut:
        return show_host(await change(app, *await _find(app, options)))

    show(options, run(operation), "host_id", "host", "verified_at", "canonical")


async def _find(app: Services, options: Namespace) -> tuple[TenantAdmin, str]:
    """Return the admin of the tenant, and the id of the host that the command line names. Raises NotFound."""
    admin = await tenant_admin_for(app, options)
    for host in await store.list_hosts(app.postgres, admin.tenant_id):
        if host.host == options.host:
            return admin, host.host_id
    raise NotFound(f"The tenant has no host {options.host}.")
