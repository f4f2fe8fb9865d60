"""SQL of tenants and keys, by name."""

from datetime import datetime
from typing import NamedTuple

import asyncpg
import msgspec

from auth1.api_keys import Kind, NewKey
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries
from auth1.tenants.schemas import KeyOut, KeyPatch, TenantOut
from auth1.tenants.setting_rules import check_settings
from auth1.tenants.settings import BUDGETS, TenantSettings, read_settings

_QUERIES = Queries("tenants")


class UpdatedKey(NamedTuple):
    """What `update_key` found and did."""

    key: KeyOut
    ended: bool
    changed: bool
    event_id: str


async def create_tenant(
    postgres: Postgres, *, slug: str, name: str, settings: TenantSettings, first_keys: dict[Kind, NewKey], actor: str
) -> tuple[TenantOut, str] | None:
    """Make a tenant with its first keys; returns it and the id of its event, None when the slug is taken."""
    event_id = new_id("evt")
    row = await postgres.row(
        _QUERIES["create_tenant"],
        *(new_id("tn"), slug, name, _json(settings), event_id, actor),
        [new_id("key") for _ in first_keys],
        [key.digest for key in first_keys.values()],
        list(first_keys),
        [key.hint for key in first_keys.values()],
    )
    return (_tenant(row), event_id) if row else None


async def list_tenants(postgres: Postgres, after: str, limit: int) -> list[TenantOut]:
    return [_tenant(row) for row in await postgres.rows(_QUERIES["list_tenants"], after, limit)]


async def get_tenant(postgres: Postgres, *, tenant_id: str = "", slug: str = "") -> tuple[TenantOut, int] | None:
    """Return a tenant by id or slug, and the version of its signing key."""
    row = await postgres.row(_QUERIES["get_tenant"], tenant_id, slug)
    return (_tenant(row), row["jwt_version"]) if row else None


async def update_tenant(
    postgres: Postgres, tenant_id: str, name: str | None, changes: dict[str, object], actor: str
) -> tuple[TenantOut, str] | None:
    """Merge changes into a tenant under its lock; a setting of None goes back to its default.

    Raises msgspec.ValidationError or ValidationFailed when the merged settings are not valid.
    """
    event_id = new_id("evt")
    async with postgres.transaction() as transaction:
        row = await transaction.row(_QUERIES["lock_tenant"], tenant_id)
        if row is None:
            return None
        merged = msgspec.json.decode(row["settings"]) | changes
        kept = {key: value for key, value in merged.items() if value is not None}
        settings = msgspec.convert(kept, TenantSettings)
        before = read_settings(row["settings"])
        rebudgeted = any(getattr(before, name) != getattr(settings, name) for name in BUDGETS)
        check_settings(settings, changes)
        changed = [*(["name"] if name is not None else []), *(f"settings.{key}" for key in changes)]
        row = await transaction.row(
            _QUERIES["update_tenant"],
            *(tenant_id, name or row["name"], _json(settings), event_id, actor, changed, rebudgeted),
        )
    return (_tenant(row), event_id) if row else None


async def suspend_tenant(postgres: Postgres, tenant_id: str, suspend: bool, actor: str) -> tuple[bool, str] | None:
    """Suspend or resume; returns whether anything changed and the id of the event, None when there is no tenant."""
    event_id = new_id("evt")
    row = await postgres.row(_QUERIES["suspend_tenant"], tenant_id, suspend, event_id, actor)
    return (row["changed"], event_id) if row else None


async def delete_tenant(postgres: Postgres, tenant_id: str, actor: str) -> str | None:
    """Mark a tenant deleted; returns the id of the event, None when there is none."""
    event_id = new_id("evt")
    row = await postgres.row(_QUERIES["delete_tenant"], tenant_id, event_id, actor)
    return event_id if row else None


async def get_jwt_versions(postgres: Postgres, tenant_id: str, actor: str) -> tuple[list[int], str] | None:
    """Return the versions of the signing key that verify, the current one first, and the event; None: no tenant."""
    event_id = new_id("evt")
    row = await postgres.row(_QUERIES["get_jwt_versions"], tenant_id, event_id, actor)
    return (row["versions"], event_id) if row else None


async def rotate_jwt(postgres: Postgres, tenant_id: str, grace_in: int, actor: str) -> tuple[int, str] | None:
    """Raise the version of the signing key; returns it and the id of the event."""
    event_id = new_id("evt")
    row = await postgres.row(_QUERIES["rotate_jwt"], tenant_id, grace_in, event_id, actor)
    return (row["jwt_version"], event_id) if row else None


async def create_key(
    postgres: Postgres,
    tenant_id: str,
    key: NewKey,
    kind: Kind,
    allowed_origins: tuple[str, ...],
    expires_at: datetime | None,
    actor: str,
) -> tuple[KeyOut, str] | None:
    """Add a key; returns it and the id of the event, None when there is no tenant."""
    event_id = new_id("evt")
    row = await postgres.row(
        _QUERIES["create_key"],
        *(tenant_id, new_id("key"), key.digest, kind, key.hint),
        *(list(allowed_origins), expires_at, event_id, actor),
    )
    return (_key(row), event_id) if row else None


async def list_keys(postgres: Postgres, tenant_id: str, after: str, limit: int) -> list[KeyOut]:
    return [_key(row) for row in await postgres.rows(_QUERIES["list_keys"], tenant_id, after, limit)]


async def find_key(postgres: Postgres, tenant_id: str, key_id: str) -> tuple[Kind, str] | None:
    """Return the kind of a key and the slug of its tenant."""
    row = await postgres.row(_QUERIES["find_key_by_id"], tenant_id, key_id)
    return (row["kind"], row["slug"]) if row else None


async def rotate_key(
    postgres: Postgres, tenant_id: str, key_id: str, key: NewKey, grace_in: int, actor: str
) -> tuple[KeyOut, str] | None:
    """Replace a key that still works; returns the new one and the id of the event."""
    event_id = new_id("evt")
    row = await postgres.row(
        _QUERIES["rotate_key"],
        *(tenant_id, key_id, new_id("key"), key.digest, key.hint, grace_in, event_id, actor),
    )
    return (_key(row), event_id) if row else None


async def update_key(postgres: Postgres, tenant_id: str, key_id: str, patch: KeyPatch, actor: str) -> UpdatedKey | None:
    """Change a key, unless it has ended; None when there is no such key."""
    event_id = new_id("evt")
    origins, end = patch.allowed_origins, patch.expires_at
    row = await postgres.row(
        _QUERIES["update_key"],
        *(tenant_id, key_id),
        *((False, []) if origins is msgspec.UNSET else (True, list(origins))),
        *((False, None) if end is msgspec.UNSET else (True, end)),
        *(event_id, actor),
    )
    return UpdatedKey(_key(row), row["ended"], row["changed"], event_id) if row else None


async def revoke_key(postgres: Postgres, tenant_id: str, key_id: str, actor: str) -> tuple[bool, str] | None:
    event_id = new_id("evt")
    row = await postgres.row(_QUERIES["revoke_key"], tenant_id, key_id, event_id, actor)
    return (row["changed"], event_id) if row else None


def _tenant(row: asyncpg.Record) -> TenantOut:
    return TenantOut(
        tenant_id=row["id"],
        name=row["name"],
        slug=row["slug"],
        settings=read_settings(row["settings"]),
        created_at=row["created_at"],
        suspended_at=row["suspended_at"],
    )


def _key(row: asyncpg.Record) -> KeyOut:
    return KeyOut(
        key_id=row["id"],
        kind=row["kind"],
        hint=row["hint"],
        allowed_origins=row["allowed_origins"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )


def _json(settings: TenantSettings) -> str:
    return msgspec.json.encode(settings).decode()
