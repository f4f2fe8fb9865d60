"""The types of the statements of tenants and keys: parameters and rows, by the names that SQL gives them."""

from datetime import datetime
from typing import NamedTuple

from auth1.api_keys import Kind
from auth1.core.postgres import Queries
from auth1.events.log import RecordedEvents
from auth1.row_keys import TenantKey

_QUERIES = Queries("tenants")


class CreateTenant(NamedTuple):
    """Parameters of `create_tenant`."""

    tenant_id: str
    slug: str
    name: str
    settings: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    key_ids: list[str]
    digests: list[bytes]
    kinds: list[str]
    hints: list[str]


class ChangedTenantRow(NamedTuple):
    """A row of `create_tenant`."""

    id: str
    name: str
    slug: str
    settings: str
    created_at: datetime
    suspended_at: datetime | None
    events: str | None


class ListTenants(NamedTuple):
    """Parameters of `list_tenants`."""

    after: str
    max_rows: int


class TenantRow(NamedTuple):
    """A row of `list_tenants`."""

    id: str
    name: str
    slug: str
    settings: str
    created_at: datetime
    suspended_at: datetime | None


class GetTenant(NamedTuple):
    """Parameters of `get_tenant`."""

    tenant_id: str
    slug: str


class GetTenantRow(NamedTuple):
    """A row of `get_tenant`."""

    id: str
    name: str
    slug: str
    settings: str
    created_at: datetime
    suspended_at: datetime | None
    jwt_version: int


class UpdateTenant(NamedTuple):
    """Parameters of `update_tenant`."""

    tenant_id: str
    name: str
    settings: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    changed: list[str]
    resets_budget: bool


class SuspendTenant(NamedTuple):
    """Parameters of `suspend_tenant`."""

    tenant_id: str
    suspend: bool
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class TenantEvent(NamedTuple):
    """Parameters of `delete_tenant` and `get_jwt_versions`."""

    tenant_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class GetJwtVersionsRow(NamedTuple):
    """A row of `get_jwt_versions`."""

    versions: list[int]
    events: str | None


class RotateJwt(NamedTuple):
    """Parameters of `rotate_jwt`."""

    tenant_id: str
    grace_in: int
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class RotateJwtRow(NamedTuple):
    """A row of `rotate_jwt`."""

    jwt_version: int
    events: str | None


class CreateKey(NamedTuple):
    """Parameters of `create_key`."""

    tenant_id: str
    key_id: str
    digest: bytes
    kind: str
    hint: str
    allowed_origins: list[str]
    expires_at: datetime | None
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class ChangedKeyRow(NamedTuple):
    """A row of `create_key`."""

    id: str
    kind: Kind
    hint: str
    allowed_origins: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    events: str | None


class ListKeys(NamedTuple):
    """Parameters of `list_keys`."""

    tenant_id: str
    after: str
    max_rows: int


class KeyRow(NamedTuple):
    """A row of `list_keys`."""

    id: str
    kind: Kind
    hint: str
    allowed_origins: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class FindKeyById(NamedTuple):
    """Parameters of `find_key_by_id`."""

    tenant_id: str
    key_id: str


class FindKeyByIdRow(NamedTuple):
    """A row of `find_key_by_id`."""

    kind: Kind
    slug: str


class RotateKey(NamedTuple):
    """Parameters of `rotate_key`."""

    tenant_id: str
    key_id: str
    new_key_id: str
    digest: bytes
    hint: str
    grace_in: int
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class UpdateKey(NamedTuple):
    """Parameters of `update_key`."""

    tenant_id: str
    key_id: str
    changes_origins: bool
    allowed_origins: list[str]
    changes_end: bool
    expires_at: datetime | None
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class UpdateKeyRow(NamedTuple):
    """A row of `update_key`."""

    id: str
    kind: Kind
    hint: str
    allowed_origins: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    ended: bool
    events: str | None


class RevokeKey(NamedTuple):
    """Parameters of `revoke_key`."""

    tenant_id: str
    key_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


CREATE_TENANT = _QUERIES.statement("create_tenant", CreateTenant, ChangedTenantRow)
LIST_TENANTS = _QUERIES.statement("list_tenants", ListTenants, TenantRow)
GET_TENANT = _QUERIES.statement("get_tenant", GetTenant, GetTenantRow)
LOCK_TENANT = _QUERIES.statement("lock_tenant", TenantKey, TenantRow)
UPDATE_TENANT = _QUERIES.statement("update_tenant", UpdateTenant, ChangedTenantRow)
SUSPEND_TENANT = _QUERIES.statement("suspend_tenant", SuspendTenant, RecordedEvents)
DELETE_TENANT = _QUERIES.statement("delete_tenant", TenantEvent, RecordedEvents)
GET_JWT_VERSIONS = _QUERIES.statement("get_jwt_versions", TenantEvent, GetJwtVersionsRow)
ROTATE_JWT = _QUERIES.statement("rotate_jwt", RotateJwt, RotateJwtRow)
CREATE_KEY = _QUERIES.statement("create_key", CreateKey, ChangedKeyRow)
LIST_KEYS = _QUERIES.statement("list_keys", ListKeys, KeyRow)
FIND_KEY_BY_ID = _QUERIES.statement("find_key_by_id", FindKeyById, FindKeyByIdRow)
ROTATE_KEY = _QUERIES.statement("rotate_key", RotateKey, ChangedKeyRow)
UPDATE_KEY = _QUERIES.statement("update_key", UpdateKey, UpdateKeyRow)
REVOKE_KEY = _QUERIES.statement("revoke_key", RevokeKey, RecordedEvents)
