"""The statements of tenants and keys."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from auth1.api_keys import Kind, NewKey
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Transaction
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.row_keys import TenantKey
from auth1.tenants.schemas import KeyOut, KeyPatch, TenantOut
from auth1.tenants.setting_rules import check_logo, check_settings
from auth1.tenants.settings import BUDGETS, TenantSettings, read_settings
from auth1.tenants.statements import (
    CREATE_KEY,
    CREATE_TENANT,
    DELETE_TENANT,
    FIND_KEY_BY_ID,
    GET_JWT_VERSIONS,
    GET_TENANT,
    LIST_KEYS,
    LIST_TENANTS,
    LOCK_TENANT,
    REVOKE_KEY,
    ROTATE_JWT,
    ROTATE_KEY,
    SUSPEND_TENANT,
    UPDATE_KEY,
    UPDATE_TENANT,
    ChangedKeyRow,
    ChangedTenantRow,
    CreateKey,
    CreateTenant,
    FindKeyById,
    GetTenant,
    GetTenantRow,
    KeyRow,
    ListKeys,
    ListTenants,
    RevokeKey,
    RotateJwt,
    RotateKey,
    SuspendTenant,
    TenantEvent,
    TenantRow,
    UpdateKey,
    UpdateKeyRow,
    UpdateTenant,
)

Events = list[RecordedEvent]


class UpdatedKey(NamedTuple):
    """The result of `update_key`."""

    key: KeyOut
    ended: bool
    events: Events


async def create_tenant(
    postgres: Postgres,
    *,
    slug: str,
    name: str,
    settings: TenantSettings,
    first_keys: dict[Kind, NewKey],
    context: EventContext,
) -> tuple[TenantOut, Events] | None:
    """Make a tenant with its first keys; returns it and its event, None when the slug is taken."""
    row = await postgres.row(
        CREATE_TENANT,
        CreateTenant(
            *(new_id("tn"), slug, name, _json(settings), new_id("evt"), *context),
            [new_id("key") for _ in first_keys],
            [key.digest for key in first_keys.values()],
            list(first_keys),
            [key.hint for key in first_keys.values()],
        ),
    )
    return (_tenant(row), read_events(row.events)) if row else None


async def list_tenants(postgres: Postgres, after: str, limit: int) -> list[TenantOut]:
    return [_tenant(row) for row in await postgres.rows(LIST_TENANTS, ListTenants(after, limit))]


async def get_tenant(postgres: Postgres, *, tenant_id: str = "", slug: str = "") -> tuple[TenantOut, int] | None:
    """Return a tenant by id or slug, and the version of its signing key."""
    row = await postgres.row(GET_TENANT, GetTenant(tenant_id, slug))
    return (_tenant(row), row.jwt_version) if row else None


async def update_tenant(
    postgres: Postgres, tenant_id: str, name: str | None, changes: dict[str, object], context: EventContext
) -> tuple[TenantOut, Events] | None:
    """Merge changes into a tenant under its lock; None restores the default of a setting.

    Raises msgspec.ValidationError or ValidationFailed when the merged settings are not valid.
    """

    async def work(transaction: Transaction) -> tuple[TenantOut, Events] | None:
        row = await transaction.row(LOCK_TENANT, TenantKey(tenant_id))
        if row is None:
            return None
        merged = msgspec.json.decode(row.settings) | changes
        kept = {key: value for key, value in merged.items() if value is not None}
        settings = msgspec.convert(kept, TenantSettings)
        before = read_settings(row.settings)
        resets_budget = any(getattr(before, name) != getattr(settings, name) for name in BUDGETS)
        check_settings(settings, changes)
        check_logo(settings, before.logo)
        changed = [*(["name"] if name is not None else []), *(f"settings.{key}" for key in changes)]
        params = UpdateTenant(
            tenant_id, name or row.name, _json(settings), new_id("evt"), *context, changed, resets_budget
        )
        updated = await transaction.row(UPDATE_TENANT, params)
        return (_tenant(updated), read_events(updated.events)) if updated else None

    return await postgres.in_transaction(work)


async def suspend_tenant(postgres: Postgres, tenant_id: str, suspend: bool, context: EventContext) -> Events | None:
    """Suspend or resume; returns the event if anything changed, None when there is no tenant."""
    row = await postgres.row(SUSPEND_TENANT, SuspendTenant(tenant_id, suspend, new_id("evt"), *context))
    return read_events(row.events) if row else None


async def delete_tenant(postgres: Postgres, tenant_id: str, context: EventContext) -> Events | None:
    """Mark a tenant deleted; returns the event, None when there is none."""
    row = await postgres.row(DELETE_TENANT, TenantEvent(tenant_id, new_id("evt"), *context))
    return read_events(row.events) if row else None


async def get_jwt_versions(
    postgres: Postgres, tenant_id: str, context: EventContext
) -> tuple[list[int], Events] | None:
    """Return the versions of the signing key that verify, the current one first, and the event; None: no tenant."""
    row = await postgres.row(GET_JWT_VERSIONS, TenantEvent(tenant_id, new_id("evt"), *context))
    return (row.versions, read_events(row.events)) if row else None


async def rotate_jwt(
    postgres: Postgres, tenant_id: str, grace_in: int, context: EventContext
) -> tuple[int, Events] | None:
    """Raise the version of the signing key; returns it and the event."""
    row = await postgres.row(ROTATE_JWT, RotateJwt(tenant_id, grace_in, new_id("evt"), *context))
    return (row.jwt_version, read_events(row.events)) if row else None


async def create_key(
    postgres: Postgres,
    tenant_id: str,
    key: NewKey,
    kind: Kind,
    allowed_origins: tuple[str, ...],
    expires_at: datetime | None,
    context: EventContext,
) -> tuple[KeyOut, Events] | None:
    """Add a key; returns it and the event, None when there is no tenant."""
    row = await postgres.row(
        CREATE_KEY,
        CreateKey(
            tenant_id=tenant_id,
            key_id=new_id("key"),
            digest=key.digest,
            kind=kind,
            hint=key.hint,
            allowed_origins=list(allowed_origins),
            expires_at=expires_at,
            event_id=new_id("evt"),
            **context._asdict(),
        ),
    )
    return (_key(row), read_events(row.events)) if row else None


async def list_keys(postgres: Postgres, tenant_id: str, after: str, limit: int) -> list[KeyOut]:
    return [_key(row) for row in await postgres.rows(LIST_KEYS, ListKeys(tenant_id, after, limit))]


async def find_key(postgres: Postgres, tenant_id: str, key_id: str) -> tuple[Kind, str] | None:
    """Return the kind of a key and the slug of its tenant."""
    row = await postgres.row(FIND_KEY_BY_ID, FindKeyById(tenant_id, key_id))
    return (row.kind, row.slug) if row else None


async def rotate_key(
    postgres: Postgres, tenant_id: str, key_id: str, key: NewKey, grace_in: int, context: EventContext
) -> tuple[KeyOut, Events] | None:
    """Replace a key that still works; returns the new one and the event."""
    row = await postgres.row(
        ROTATE_KEY,
        RotateKey(tenant_id, key_id, new_id("key"), key.digest, key.hint, grace_in, new_id("evt"), *context),
    )
    return (_key(row), read_events(row.events)) if row else None


async def update_key(
    postgres: Postgres, tenant_id: str, key_id: str, patch: KeyPatch, context: EventContext
) -> UpdatedKey | None:
    """Change a key, unless it has ended; None when there is no such key."""
    origins, end = patch.allowed_origins, patch.expires_at
    row = await postgres.row(
        UPDATE_KEY,
        UpdateKey(
            tenant_id=tenant_id,
            key_id=key_id,
            changes_origins=origins is not msgspec.UNSET,
            allowed_origins=[] if origins is msgspec.UNSET else list(origins),
            changes_end=end is not msgspec.UNSET,
            expires_at=None if end is msgspec.UNSET else end,
            event_id=new_id("evt"),
            **context._asdict(),
        ),
    )
    return UpdatedKey(_key(row), row.ended, read_events(row.events)) if row else None


async def revoke_key(postgres: Postgres, tenant_id: str, key_id: str, context: EventContext) -> Events | None:
    row = await postgres.row(REVOKE_KEY, RevokeKey(tenant_id, key_id, new_id("evt"), *context))
    return read_events(row.events) if row else None


def _tenant(row: TenantRow | ChangedTenantRow | GetTenantRow) -> TenantOut:
    return TenantOut(
        tenant_id=row.id,
        name=row.name,
        slug=row.slug,
        settings=read_settings(row.settings),
        created_at=row.created_at,
        suspended_at=row.suspended_at,
    )


def _key(row: KeyRow | ChangedKeyRow | UpdateKeyRow) -> KeyOut:
    return KeyOut(
        key_id=row.id,
        kind=row.kind,
        hint=row.hint,
        allowed_origins=row.allowed_origins,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _json(settings: TenantSettings) -> str:
    return msgspec.json.encode(settings).decode()
