"""What can be done with tenants and keys, for the routes and for the command line alike.

Each act is committed with its event, told on stdout, and announced to all workers.
"""

import msgspec

from auth1.callers import keys
from auth1.callers.tenant import TenantSettings
from auth1.core import schemas
from auth1.errors import Conflict, FieldError, NotFound, ValidationFailed
from auth1.events.types import Event, EventType, tell
from auth1.messaging import texts
from auth1.services import Services
from auth1.sessions import tokens
from auth1.tenants import store
from auth1.tenants.schemas import (
    KeyCreated,
    KeyIn,
    KeyOut,
    KeyRotation,
    TenantCreated,
    TenantIn,
    TenantOut,
    TenantPatch,
)

OPERATOR = "operator"


async def create_tenant(app: Services, wanted: TenantIn) -> TenantCreated:
    """Make a tenant and its three first keys. Raises ValidationFailed, and Conflict when the slug is taken."""
    texts.check(wanted.settings)
    first_keys = {kind: keys.make(kind, wanted.slug) for kind in keys.KINDS}
    made = await store.create_tenant(
        app.postgres,
        slug=wanted.slug,
        name=wanted.name,
        settings=wanted.settings,
        first_keys=first_keys,
        actor=OPERATOR,
    )
    if made is None:
        raise Conflict(f"The slug {wanted.slug} is taken.")
    tenant, event_id = made
    tell(app.log, Event(event_id, EventType.TENANT_CREATED, tenant.tenant_id, OPERATOR, tenant.tenant_id))
    return TenantCreated(
        tenant_id=tenant.tenant_id,
        api_key=first_keys["pk"].text,
        secret_key=first_keys["sk"].text,
        test_key=first_keys["test"].text,
        jwt_secret=tokens.signing_secret(app.keyring, tenant.tenant_id, 1),
        name=tenant.name,
        slug=tenant.slug,
        settings=tenant.settings,
        created_at=tenant.created_at,
    )


async def update_tenant(app: Services, tenant_id: str, patch: TenantPatch) -> TenantOut:
    """Change name or settings. Raises NotFound, ValidationFailed."""
    changes = {} if patch.settings is msgspec.UNSET else patch.settings
    name = None if patch.name is msgspec.UNSET else patch.name
    unknown = sorted(set(changes) - set(TenantSettings.__struct_fields__))
    try:
        if unknown:
            raise msgspec.ValidationError(f"Object contains unknown field `{unknown[0]}`")
        updated = await store.update_tenant(app.postgres, tenant_id, name, changes, OPERATOR)
    except msgspec.ValidationError as error:
        field, message = schemas.field_error(str(error))
        raise ValidationFailed(errors=[FieldError(f"settings.{field}".rstrip("."), message)]) from None
    if updated is None:
        raise NotFound
    tenant, event_id = updated
    await _announce(app, EventType.TENANT_UPDATED, event_id, tenant_id, tenant_id)
    return tenant


async def suspend_tenant(app: Services, tenant_id: str, *, suspend: bool) -> TenantOut:
    """Refuse all calls of a tenant, or answer them again. Raises NotFound."""
    outcome = await store.suspend_tenant(app.postgres, tenant_id, suspend, OPERATOR)
    if outcome is None:
        raise NotFound
    changed, event_id = outcome
    if changed:
        event_type = EventType.TENANT_SUSPENDED if suspend else EventType.TENANT_RESUMED
        await _announce(app, event_type, event_id, tenant_id, tenant_id)
    return await get_tenant(app, tenant_id)


async def delete_tenant(app: Services, tenant_id: str) -> None:
    """End a tenant and all its keys. Raises NotFound."""
    event_id = await store.delete_tenant(app.postgres, tenant_id, OPERATOR)
    if event_id is None:
        raise NotFound
    await _announce(app, EventType.TENANT_DELETED, event_id, tenant_id, tenant_id)


async def get_tenant(app: Services, tenant_id: str) -> TenantOut:
    """Raises NotFound."""
    found = await store.get_tenant(app.postgres, tenant_id=tenant_id)
    if found is None:
        raise NotFound
    return found[0]


async def create_key(app: Services, tenant_id: str, wanted: KeyIn) -> KeyCreated:
    """Make one more key. Raises NotFound, ValidationFailed."""
    # At the edges of the calendar a moment may have no UTC.
    if wanted.expires_at is not None and not 2000 <= wanted.expires_at.year <= 9998:
        raise ValidationFailed(errors=[FieldError("expires_at", "Must be a moment of the years 2000 to 9998")])
    tenant = await get_tenant(app, tenant_id)
    key = keys.make(wanted.kind, tenant.slug)
    made = await store.create_key(
        app.postgres, tenant_id, key, wanted.kind, wanted.allowed_origins, wanted.expires_at, OPERATOR
    )
    if made is None:
        raise NotFound
    return await _created(app, EventType.KEY_CREATED, tenant_id, made, key)


async def rotate_key(app: Services, tenant_id: str, key_id: str, rotation: KeyRotation) -> KeyCreated:
    """Replace a key; the old one works a while longer. Raises NotFound, and Conflict when it has ended already."""
    found = await store.find_key(app.postgres, tenant_id, key_id)
    if found is None:
        raise NotFound
    key = keys.make(*found)
    made = await store.rotate_key(app.postgres, tenant_id, key_id, key, rotation.grace_in, OPERATOR)
    if made is None:
        raise Conflict("This key has ended; create a new one.")
    return await _created(app, EventType.KEY_ROTATED, tenant_id, made, key, subject=key_id)


async def revoke_key(app: Services, tenant_id: str, key_id: str) -> None:
    """End a key at once. Raises NotFound."""
    outcome = await store.revoke_key(app.postgres, tenant_id, key_id, OPERATOR)
    if outcome is None:
        raise NotFound
    changed, event_id = outcome
    if changed:
        await _announce(app, EventType.KEY_REVOKED, event_id, tenant_id, key_id)


async def _created(
    app: Services,
    event_type: EventType,
    tenant_id: str,
    made: tuple[KeyOut, str],
    key: keys.NewKey,
    subject: str | None = None,
) -> KeyCreated:
    shown, event_id = made
    await _announce(app, event_type, event_id, tenant_id, subject or shown.key_id)
    return KeyCreated(**msgspec.structs.asdict(shown), api_key=key.text)


async def _announce(app: Services, event_type: EventType, event_id: str, tenant_id: str, subject: str) -> None:
    tell(app.log, Event(event_id, event_type, tenant_id, OPERATOR, subject))
    await app.tenants.announce(tenant_id)
