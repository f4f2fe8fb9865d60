"""Operations on tenants and keys, for the routes and for the command line.

Each operation is committed with its event, logged, and published to all workers.
"""

from datetime import datetime

import msgspec

from auth1 import api_keys
from auth1.core import schemas, timestamps
from auth1.errors import Conflict, FieldError, Forbidden, NotFound, ValidationFailed
from auth1.events.log import EventContext, RecordedEvent, log_events
from auth1.services import Services
from auth1.tenants import setting_rules, store
from auth1.tenants.schemas import (
    JwtRotation,
    JwtSecret,
    JwtSecrets,
    KeyCreated,
    KeyIn,
    KeyOut,
    KeyPatch,
    KeyRotation,
    SettingsPatch,
    TenantCreated,
    TenantIn,
    TenantOut,
    TenantPatch,
)
from auth1.tenants.settings import OPERATOR, OPERATOR_SETTINGS, TenantAdmin, TenantSettings


async def create_tenant(app: Services, wanted: TenantIn, context: EventContext | None = None) -> TenantCreated:
    """Create a tenant and its first three keys. Raises ValidationFailed, and Conflict when the slug is taken."""
    setting_rules.check_name(wanted.name)
    setting_rules.check_settings(wanted.settings, TenantSettings.__struct_fields__)
    setting_rules.check_logo(wanted.settings, None)
    first_keys = {kind: api_keys.make(kind, wanted.slug) for kind in api_keys.KINDS}
    made = await store.create_tenant(
        app.postgres,
        slug=wanted.slug,
        name=wanted.name,
        settings=wanted.settings,
        first_keys=first_keys,
        context=context or EventContext(OPERATOR),
    )
    if made is None:
        raise Conflict(f"The slug {wanted.slug} is taken.")
    tenant, events = made
    log_events(app.log, events)
    return TenantCreated(
        tenant_id=tenant.tenant_id,
        api_key=first_keys["pk"].text,
        secret_key=first_keys["sk"].text,
        test_key=first_keys["test"].text,
        jwt_secret=app.signer.secrets(tenant.tenant_id, 1)[0],
        name=tenant.name,
        slug=tenant.slug,
        settings=tenant.settings,
        created_at=tenant.created_at,
    )


async def update_tenant(app: Services, manager: TenantAdmin, patch: TenantPatch) -> TenantOut:
    """Change name or settings. Raises NotFound, ValidationFailed, and Forbidden for what only the operator decides."""
    tenant_id = manager.tenant_id
    changes = {} if patch.settings is msgspec.UNSET else patch.settings
    if not manager.is_operator and (kept_back := sorted(OPERATOR_SETTINGS.intersection(changes))):
        raise Forbidden(f"Only the operator may change {' and '.join(kept_back)}.")
    name = None if patch.name is msgspec.UNSET else patch.name
    if name is not None:
        setting_rules.check_name(name)
    if unknown := sorted(set(changes) - set(TenantSettings.__struct_fields__)):
        raise ValidationFailed(errors=[FieldError(f"settings.{unknown[0][:64]}", "Unknown field.")])
    try:
        updated = await store.update_tenant(app.postgres, tenant_id, name, changes, manager.context)
    except msgspec.ValidationError as error:
        field, message = schemas.field_error(error, TenantSettings)
        raise ValidationFailed(errors=[FieldError(f"settings.{field}".rstrip("."), message)]) from None
    if updated is None:
        raise NotFound
    tenant, events = updated
    await publish(app, manager, events)
    return tenant


async def update_settings(app: Services, manager: TenantAdmin, changes: SettingsPatch) -> TenantSettings:
    """Change settings. Raises what `update_tenant` raises, with the field names of a body of settings."""
    try:
        return (await update_tenant(app, manager, TenantPatch(settings=changes))).settings
    except ValidationFailed as failed:
        errors = [FieldError(error.field.removeprefix("settings."), error.message) for error in failed.errors]
        raise ValidationFailed(errors=errors) from None


async def suspend_tenant(app: Services, manager: TenantAdmin, *, suspend: bool) -> TenantOut:
    """Suspend or resume a tenant. Raises NotFound."""
    tenant_id = manager.tenant_id
    events = await store.suspend_tenant(app.postgres, tenant_id, suspend, manager.context)
    if events is None:
        raise NotFound
    if events:
        await publish(app, manager, events)
    return await get_tenant(app, tenant_id)


async def delete_tenant(app: Services, manager: TenantAdmin) -> None:
    """Delete a tenant and revoke its keys. Raises NotFound."""
    events = await store.delete_tenant(app.postgres, manager.tenant_id, manager.context)
    if events is None:
        raise NotFound
    await publish(app, manager, events)


async def get_tenant(app: Services, tenant_id: str) -> TenantOut:
    """Return a tenant. Raises NotFound."""
    found = await store.get_tenant(app.postgres, tenant_id=tenant_id)
    if found is None:
        raise NotFound
    return found[0]


async def get_jwt_secret(app: Services, manager: TenantAdmin) -> JwtSecrets:
    """Return the secrets that verify a tenant's tokens, the signing one first. Raises NotFound."""
    tenant_id = manager.tenant_id
    found = await store.get_jwt_versions(app.postgres, tenant_id, manager.context)
    if found is None:
        raise NotFound
    versions, events = found
    log_events(app.log, events)
    secrets = [
        JwtSecret(secret, f"{tenant_id}.{version}")
        for version in versions
        for secret in app.signer.secrets(tenant_id, version)
    ]
    return JwtSecrets(secrets[0].jwt_secret, secrets[0].kid, secrets[1:])


async def rotate_jwt_secret(app: Services, manager: TenantAdmin, rotation: JwtRotation) -> JwtSecret:
    """Replace a tenant's `jwt_secret`. Raises NotFound."""
    rotated = await store.rotate_jwt(app.postgres, manager.tenant_id, rotation.grace_in, manager.context)
    if rotated is None:
        raise NotFound
    version, events = rotated
    await publish(app, manager, events)
    return JwtSecret(app.signer.secrets(manager.tenant_id, version)[0], f"{manager.tenant_id}.{version}")


async def create_key(app: Services, manager: TenantAdmin, wanted: KeyIn) -> KeyCreated:
    """Create a key. Raises NotFound, ValidationFailed."""
    if wanted.expires_at is not None:
        timestamps.require_future("expires_at", wanted.expires_at)
    setting_rules.check_origins(wanted.allowed_origins)
    tenant = await get_tenant(app, manager.tenant_id)
    key = api_keys.make(wanted.kind, tenant.slug)
    made = await store.create_key(
        app.postgres, tenant.tenant_id, key, wanted.kind, wanted.allowed_origins, wanted.expires_at, manager.context
    )
    if made is None:
        raise NotFound
    return await _created(app, manager, made, key)


async def update_key(app: Services, manager: TenantAdmin, key_id: str, patch: KeyPatch) -> KeyOut:
    """Change a key's origins or expiry. Raises NotFound, ValidationFailed, and Conflict for an ended key."""
    if isinstance(patch.expires_at, datetime):
        timestamps.require_future("expires_at", patch.expires_at)
    if patch.allowed_origins is not msgspec.UNSET:
        setting_rules.check_origins(patch.allowed_origins)
    updated = await store.update_key(app.postgres, manager.tenant_id, key_id, patch, manager.context)
    if updated is None:
        raise NotFound("The tenant has no API key with this id.")
    if updated.ended:
        raise Conflict("This key is revoked or expired; create a new one.")
    if updated.events:
        await publish(app, manager, updated.events)
    return updated.key


async def rotate_key(app: Services, manager: TenantAdmin, key_id: str, rotation: KeyRotation) -> KeyCreated:
    """Replace a key; the old one works for its grace. Raises NotFound, and Conflict when it is revoked or expired."""
    tenant_id = manager.tenant_id
    found = await store.find_key(app.postgres, tenant_id, key_id)
    if found is None:
        raise NotFound("The tenant has no API key with this id.")
    key = api_keys.make(*found)
    made = await store.rotate_key(app.postgres, tenant_id, key_id, key, rotation.grace_in, manager.context)
    if made is None:
        raise Conflict("This key is revoked or expired; create a new one.")
    return await _created(app, manager, made, key)


async def revoke_key(app: Services, manager: TenantAdmin, key_id: str) -> None:
    """Revoke a key at once. Raises NotFound."""
    events = await store.revoke_key(app.postgres, manager.tenant_id, key_id, manager.context)
    if events is None:
        raise NotFound("The tenant has no API key with this id.")
    if events:
        await publish(app, manager, events)


async def _created(
    app: Services, manager: TenantAdmin, made: tuple[KeyOut, list[RecordedEvent]], key: api_keys.NewKey
) -> KeyCreated:
    shown, events = made
    await publish(app, manager, events)
    return KeyCreated(**msgspec.structs.asdict(shown), api_key=key.text)


async def publish(app: Services, manager: TenantAdmin, events: list[RecordedEvent]) -> None:
    """Log the events of a change, and let all workers forget what they know of the tenant."""
    log_events(app.log, events)
    await app.tenants.publish_invalidation(manager.tenant_id)
