"""The statements of API keys."""

from typing import NamedTuple

from auth1.api_keys import Kind
from auth1.core.postgres import NO_PARAMS, NoParams, Postgres, Queries
from auth1.fraud.policy import read_policy
from auth1.hooks.config import NO_HOOKS, read_hooks
from auth1.row_keys import TenantKey
from auth1.tenants.settings import Tenant, read_settings

_QUERIES = Queries("authn")


class _Sought(NamedTuple):
    digest: bytes | None = None
    slug: str | None = None
    kind: Kind | None = None


class _IsMoved(NamedTuple):
    is_moved: bool


class OwnHostRow(NamedTuple):
    """A verified host, and the slug of its tenant."""

    host: str
    slug: str


class _TenantRow(NamedTuple):
    tenant_id: str
    name: str
    settings: str
    jwt_version: int
    suspended: bool
    moved: bool
    closed_until: float
    retired_versions: list[int]
    sessions_from: float
    retired_at: list[float]
    key_id: str
    kind: Kind
    allowed_origins: list[str]
    key_expires_at: float | None
    policy: str | None
    has_own_policy: bool
    captcha_secret: bytes | None
    list_versions: list[int]
    hooks: str | None
    hosts: list[str]
    canonical_host: str | None


_FIND_TENANT = _QUERIES.statement("find_tenant", _Sought, _TenantRow)
_LIST_MOVED_TENANTS = _QUERIES.statement("list_moved_tenants", NoParams, TenantKey)
_IS_TENANT_MOVED = _QUERIES.statement("is_tenant_moved", TenantKey, _IsMoved)
_LIST_OWN_HOSTS = _QUERIES.statement("list_own_hosts", NoParams, OwnHostRow)


async def find_tenant(postgres: Postgres, key_digest: bytes) -> Tenant | None:
    """Find the tenant that a key names, unless the key is revoked or expired or the tenant deleted."""
    row = await postgres.row(_FIND_TENANT, _Sought(digest=key_digest))
    return _read(row) if row is not None else None


async def find_tenant_by_slug(postgres: Postgres, slug: str, *, sandbox: bool) -> Tenant | None:
    """Find a tenant or its sandbox by the tenant's slug, without a key: `key_kind` is `pk` or `test`."""
    row = await postgres.row(_FIND_TENANT, _Sought(slug=slug, kind="test" if sandbox else "pk"))
    return _read(row) if row is not None else None


def _read(row: _TenantRow) -> Tenant:
    return Tenant(
        id=f"{row.tenant_id}:test" if row.kind == "test" else row.tenant_id,
        name=row.name,
        settings=read_settings(row.settings),
        jwt_version=row.jwt_version,
        retired_versions=dict(zip(row.retired_versions, row.retired_at, strict=True)),
        sessions_from=row.sessions_from,
        suspended=row.suspended,
        moved=row.moved,
        closed_until=row.closed_until,
        key_id=row.key_id,
        key_kind=row.kind,
        allowed_origins=tuple(row.allowed_origins),
        key_expires_at=row.key_expires_at,
        policy=read_policy(row.policy),
        has_own_policy=row.has_own_policy,
        captcha_secret=row.captcha_secret,
        list_versions=(row.list_versions[0], row.list_versions[1]),
        hooks=NO_HOOKS if row.kind == "test" else read_hooks(row.hooks),
        hosts=tuple(row.hosts),
        canonical_host=row.canonical_host,
    )


async def list_moved_tenants(postgres: Postgres) -> set[str]:
    """Return the ids of the tenants that have moved to another database."""
    return {row.tenant_id for row in await postgres.rows(_LIST_MOVED_TENANTS, NO_PARAMS)}


async def is_tenant_moved(postgres: Postgres, tenant_id: str) -> bool | None:
    """Return whether a tenant has moved to another database; None if there is no tenant of this id."""
    row = await postgres.row(_IS_TENANT_MOVED, TenantKey(tenant_id))
    return row.is_moved if row is not None else None


async def list_own_hosts(postgres: Postgres) -> list[OwnHostRow]:
    """Return the verified hosts of all tenants."""
    return await postgres.rows(_LIST_OWN_HOSTS, NO_PARAMS)
