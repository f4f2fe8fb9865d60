"""Manage the hooks of a tenant."""

from msgspec import UNSET

from auth1.core.http.request import Request
from auth1.core.outbound.guard import UrlNotAllowed
from auth1.core.standard_webhooks import format_secret
from auth1.errors import FieldError, NotFound, ValidationFailed
from auth1.events.log import log_events
from auth1.hooks import store
from auth1.hooks.config import NAMES, HookName
from auth1.hooks.schemas import HookIn, HookOut, HookSaved
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin


async def get_hook(app: Services, request: Request[TenantAdmin]) -> HookOut:
    """Return a hook without its secret."""
    name = _name_of(request)
    row = await store.get_hook(app.postgres, request.caller.tenant_id, name)
    return HookOut(name, row.url, row.on_error, row.timeout_ms / 1000, row.previous_secret_until, row.created_at)


async def put_hook(app: Services, request: Request[TenantAdmin], body: HookIn) -> HookSaved:
    """Create a hook, or replace its settings. Returns the secret when it is created or rotated."""
    name, caller = _name_of(request), request.caller
    try:
        app.guard.check_url(body.url)
    except UrlNotAllowed as error:
        raise ValidationFailed(errors=[FieldError("url", str(error))]) from None
    saved = await store.save_hook(app.postgres, app.keyring, caller.tenant_id, name, body, caller.context)
    if saved.events:
        log_events(app.log, saved.events)
        await app.tenants.publish_invalidation(caller.tenant_id)
    row = await store.get_hook(app.postgres, caller.tenant_id, name)
    return HookSaved(
        name,
        row.url,
        row.on_error,
        row.timeout_ms / 1000,
        row.previous_secret_until,
        row.created_at,
        secret=format_secret(saved.secret) if saved.secret is not None else UNSET,
    )


async def delete_hook(app: Services, request: Request[TenantAdmin]) -> None:
    """Delete a hook. A new one gets another secret."""
    caller = request.caller
    log_events(app.log, await store.delete_hook(app.postgres, caller.tenant_id, _name_of(request), caller.context))
    await app.tenants.publish_invalidation(caller.tenant_id)


def _name_of(request: Request[TenantAdmin]) -> HookName:
    name = request.parameters["hook"]
    if name not in NAMES:
        raise NotFound
    return name
