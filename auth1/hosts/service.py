"""Manage the hosts of a tenant: for the API and the command line.

A TXT record with a random token shows that the tenant controls the DNS of the host. An address record that points to
Auth1 is no proof: the first tenant that claims an unused one would get the host of another company.
"""

import secrets

from auth1.config.urls import host_of
from auth1.errors import Conflict, Unavailable
from auth1.events.log import RecordedEvent, log_events
from auth1.hosts import names, store
from auth1.hosts.store import Host
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin

_TOKEN_BYTES = 16
_RETRY_AFTER_S = 5


async def add_host(app: Services, admin: TenantAdmin, host: str) -> Host:
    """Add a host, which is not verified yet. Raises ValidationFailed, Conflict, NotFound."""
    names.check_name(host, host_of(app.settings.app_url))
    token = secrets.token_hex(_TOKEN_BYTES)
    added, events = await store.add_host(app.postgres, admin.tenant_id, host, token, admin.context)
    log_events(app.log, events)
    return added


async def verify_host(app: Services, admin: TenantAdmin, host_id: str) -> Host:
    """Look for the TXT record of a host. A verified host stays so. Raises NotFound, Conflict, Unavailable."""
    host = await store.get_host(app.postgres, admin.tenant_id, host_id)
    if host.verified_at is not None:
        return host
    name, value = names.record_name(host.host), names.record_value(host.token)
    try:
        found = await app.text_records.find(name)
    except OSError:
        raise Unavailable("The DNS servers do not answer; retry.", retry_after=_RETRY_AFTER_S) from None
    if value not in found:
        raise Conflict(f"The DNS has no TXT record {name} with the text {value}. A new record may take minutes.")
    verified, events = await store.verify_host(app.postgres, admin.tenant_id, host, admin.context)
    await _publish(app, admin, events)
    return verified


async def set_canonical(app: Services, admin: TenantAdmin, host_id: str, *, canonical: bool) -> Host:
    """Make a host the address of the tenant's issuer, or no longer. Raises NotFound, Conflict."""
    host, events = await store.set_canonical(app.postgres, admin.tenant_id, host_id, admin.context, canonical=canonical)
    await _publish(app, admin, events)
    return host


async def remove_host(app: Services, admin: TenantAdmin, host_id: str) -> None:
    """Remove a host. It is no longer served. Raises NotFound."""
    await _publish(app, admin, await store.remove_host(app.postgres, admin.tenant_id, host_id, admin.context))


async def _publish(app: Services, admin: TenantAdmin, events: list[RecordedEvent]) -> None:
    log_events(app.log, events)
    await app.tenants.publish_invalidation(admin.tenant_id)
    await app.own_hosts.refresh()
