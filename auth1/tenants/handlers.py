"""Manage tenants, and the settings and keys of a tenant."""

from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.events.log import event_context
from auth1.services import Services
from auth1.tenants import previews, service, store
from auth1.tenants.schemas import (
    JwtRotation,
    JwtSecret,
    JwtSecrets,
    KeyCreated,
    KeyIn,
    KeyOut,
    KeyPage,
    KeyPatch,
    KeyRotation,
    SettingsPatch,
    TenantCreated,
    TenantIn,
    TenantOut,
    TenantPage,
    TenantPatch,
    TextPreview,
    TextPreviewIn,
)
from auth1.tenants.settings import OPERATOR, Operator, TenantAdmin, TenantSettings


async def create_tenant(app: Services, request: Request[Operator], body: TenantIn) -> TenantCreated:
    """Create a tenant. Its keys and its JWT secret are shown only in this response."""
    return await service.create_tenant(app, body, event_context(request, OPERATOR))


async def list_tenants(app: Services, request: Request[Operator], query: PageQuery) -> TenantPage:
    """List tenants, oldest first."""
    tenants = await store.list_tenants(app.postgres, query.cursor, query.rows)
    return TenantPage(*query.split(tenants, lambda tenant: tenant.tenant_id))


async def get_tenant(app: Services, request: Request[Operator]) -> TenantOut:
    """Return a tenant."""
    return await service.get_tenant(app, request.parameters["tenant_id"])


async def update_tenant(app: Services, request: Request[TenantAdmin], body: TenantPatch) -> TenantOut:
    """Update a tenant's name or some of its settings."""
    return await service.update_tenant(app, request.caller, body)


async def delete_tenant(app: Services, request: Request[TenantAdmin]) -> None:
    """Delete a tenant. Its data is purged."""
    await service.delete_tenant(app, request.caller)


async def suspend_tenant(app: Services, request: Request[TenantAdmin]) -> TenantOut:
    """Suspend a tenant: all its requests are rejected until it is resumed."""
    return await service.suspend_tenant(app, request.caller, suspend=True)


async def resume_tenant(app: Services, request: Request[TenantAdmin]) -> TenantOut:
    """Resume a suspended tenant."""
    return await service.suspend_tenant(app, request.caller, suspend=False)


async def get_settings(app: Services, request: Request[TenantAdmin]) -> TenantSettings:
    """Return a tenant's settings."""
    return (await service.get_tenant(app, request.caller.tenant_id)).settings


async def update_settings(app: Services, request: Request[TenantAdmin], body: SettingsPatch) -> TenantSettings:
    """Update some of a tenant's settings. A setting of null is reset to its default."""
    return await service.update_settings(app, request.caller, body)


async def preview_text(app: Services, request: Request[TenantAdmin], body: TextPreviewIn) -> TextPreview:
    """Preview a message. For an SMS the response includes the number of billed segments."""
    tenant = await service.get_tenant(app, request.caller.tenant_id)
    served = await app.tenants.find_slug(tenant.slug, sandbox=False)
    url = app.settings.app_url
    return previews.preview(tenant, body, url if served is None else served.base_url(url))


async def get_jwt_secret(app: Services, request: Request[TenantAdmin]) -> JwtSecrets:
    """Return the secret that signs a tenant's tokens. It also changes with the operator's JWT_SECRET."""
    return await service.get_jwt_secret(app, request.caller)


async def rotate_jwt_secret(app: Services, request: Request[TenantAdmin], body: JwtRotation) -> JwtSecret:
    """Rotate the secret that signs a tenant's tokens. Tokens signed with the old one stay valid for `grace_in`."""
    return await service.rotate_jwt_secret(app, request.caller, body)


async def create_key(app: Services, request: Request[TenantAdmin], body: KeyIn) -> KeyCreated:
    """Create an API key. It is shown only in this response."""
    return await service.create_key(app, request.caller, body)


async def list_keys(app: Services, request: Request[TenantAdmin], query: PageQuery) -> KeyPage:
    """List a tenant's keys, including revoked and expired ones."""
    keys = await store.list_keys(app.postgres, request.caller.tenant_id, query.cursor, query.rows)
    return KeyPage(*query.split(keys, lambda key: key.key_id))


async def update_key(app: Services, request: Request[TenantAdmin], body: KeyPatch) -> KeyOut:
    """Update the allowed origins or the expiry of a key."""
    return await service.update_key(app, request.caller, request.parameters["key_id"], body)


async def rotate_key(app: Services, request: Request[TenantAdmin], body: KeyRotation) -> KeyCreated:
    """Rotate a key. The old one stays valid for `grace_in`."""
    return await service.rotate_key(app, request.caller, request.parameters["key_id"], body)


async def revoke_key(app: Services, request: Request[TenantAdmin]) -> None:
    """Revoke a key at once."""
    await service.revoke_key(app, request.caller, request.parameters["key_id"])
