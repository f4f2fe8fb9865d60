"""SQL of API keys, by name."""

from auth1.core.postgres import Postgres, Queries
from auth1.tenants.settings import Tenant, read_settings

_QUERIES = Queries("callers")


async def find_tenant(postgres: Postgres, key_digest: bytes) -> Tenant | None:
    """Find the tenant that a key names, unless the key is revoked or expired or the tenant deleted."""
    row = await postgres.row(_QUERIES["find_key"], key_digest)
    if row is None:
        return None
    return Tenant(
        id=f"{row['tenant_id']}:test" if row["kind"] == "test" else row["tenant_id"],
        name=row["name"],
        settings=read_settings(row["settings"]),
        jwt_version=row["jwt_version"],
        retired_versions=dict(zip(row["retired_versions"], row["retired_at"], strict=True)),
        sessions_from=row["sessions_from"],
        suspended=row["suspended"],
        key_id=row["key_id"],
        key_kind=row["kind"],
        allowed_origins=tuple(row["allowed_origins"]),
        key_expires_at=row["key_expires_at"],
    )


async def tenant_exists(postgres: Postgres, tenant_id: str) -> bool:
    """Whether there is a tenant of this id."""
    return await postgres.row(_QUERIES["tenant_exists"], tenant_id) is not None
