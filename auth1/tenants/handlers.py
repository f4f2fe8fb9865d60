"""Tenants, for the operator; a tenant's settings and keys, for whoever manages it."""

from auth1.core.http.pagination import page
from auth1.core.http.request import Request
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
from auth1.tenants.settings import Operator, TenantAdmin, TenantSettings


async def create_tenant(app: Services, request: Request[Operator], body: TenantIn) -> TenantCreated:
    """Make a tenant; its keys and its JWT secret are shown this once."""
    return await service.create_tenant(app, body, request.request_id)


async def list_tenants(app: Services, request: Request[Operator]) -> TenantPage:
    """List tenants, oldest first."""
    wanted = page(request)
    tenants = await store.list_tenants(app.postgres, wanted.after, wanted.rows)
    return TenantPage(*wanted.split(tenants, lambda tenant: tenant.tenant_id))


async def get_tenant(app: Services, request: Request[Operator]) -> TenantOut:
    """Show a tenant."""
    return await service.get_tenant(app, request.parameters["tenant_id"])


async def update_tenant(app: Services, request: Request[TenantAdmin], body: TenantPatch) -> TenantOut:
    """Change a tenant's name or some of its settings."""
    return await service.update_tenant(app, request.caller, body)


async def delete_tenant(app: Services, request: Request[TenantAdmin]) -> None:
    """End a tenant; its data is purged."""
    await service.delete_tenant(app, request.caller)


async def suspend_tenant(app: Services, request: Request[TenantAdmin]) -> TenantOut:
    """Refuse all calls of a tenant until it is resumed."""
    return await service.suspend_tenant(app, request.caller, suspend=True)


async def resume_tenant(app: Services, request: Request[TenantAdmin]) -> TenantOut:
    """Resume a suspended tenant."""
    return await service.suspend_tenant(app, request.caller, suspend=False)


async def get_settings(app: Services, request: Request[TenantAdmin]) -> TenantSettings:
    """Show what a tenant has decided."""
    return (await service.get_tenant(app, request.caller.tenant_id)).settings


async def update_settings(app: Services, request: Request[TenantAdmin], body: SettingsPatch) -> TenantSettings:
    """Change some of a tenant's settings; one given as null goes back to its default."""
    return await service.update_settings(app, request.caller, body)


async def preview_text(app: Services, request: Request[TenantAdmin], body: TextPreviewIn) -> TextPreview:
    """Show what a person would get; of an SMS also as how many segments it is billed."""
    tenant = await service.get_tenant(app, request.caller.tenant_id)
    return previews.preview(tenant, body, app.settings.app_url)


async def get_jwt_secret(app: Services, request: Request[TenantAdmin]) -> JwtSecrets:
    """Show the secret that a tenant's tokens are signed with. It changes with the operator's JWT_SECRET, too."""
    return await service.get_jwt_secret(app, request.caller)


async def rotate_jwt_secret(app: Services, request: Request[TenantAdmin], body: JwtRotation) -> JwtSecret:
    """Replace the secret that a tenant's tokens are signed with; what the old one signed is good for a while."""
    return await service.rotate_jwt_secret(app, request.caller, body)


async def create_key(app: Services, request: Request[TenantAdmin], body: KeyIn) -> KeyCreated:
    """Make one more key; it is shown this once."""
    return await service.create_key(app, request.caller, body)


async def list_keys(app: Services, request: Request[TenantAdmin]) -> KeyPage:
    """List a tenant's keys, the ended ones too."""
    wanted = page(request)
    keys = await store.list_keys(app.postgres, request.caller.tenant_id, wanted.after, wanted.rows)
    return KeyPage(*wanted.split(keys, lambda key: key.key_id))


async def update_key(app: Services, request: Request[TenantAdmin], body: KeyPatch) -> KeyOut:
    """Change where a key may be used from, or until when."""
    return await service.update_key(app, request.caller, request.parameters["key_id"], body)


async def rotate_key(app: Services, request: Request[TenantAdmin], body: KeyRotation) -> KeyCreated:
    """Replace a key; the old one works for a while longer."""
    return await service.rotate_key(app, request.caller, request.parameters["key_id"], body)


async def revoke_key(app: Services, request: Request[TenantAdmin]) -> None:
    """End a key at once."""
    await service.revoke_key(app, request.caller, request.parameters["key_id"])
