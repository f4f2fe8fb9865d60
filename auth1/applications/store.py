"""Store the applications of tenants."""

from datetime import datetime
from typing import NamedTuple

from auth1 import api_keys
from auth1.applications.schemas import ApplicationIn, ApplicationOut, ApplicationPatch, Kind
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import Conflict, NotFound
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.signing.keys import Alg

MAX_APPLICATIONS = 100  # of a tenant

_QUERIES = Queries("applications")


class _TenantId(NamedTuple):
    tenant_id: str


class _Slug(NamedTuple):
    slug: str


class _Count(NamedTuple):
    applications: int


class _Insert(NamedTuple):
    tenant_id: str
    client_id: str
    name: str
    kind: Kind
    secret_digest: bytes
    scopes: list[str]
    alg: Alg
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _List(NamedTuple):
    tenant_id: str
    after: str
    max_rows: int


class _Key(NamedTuple):
    tenant_id: str
    client_id: str


class _Update(NamedTuple):
    tenant_id: str
    client_id: str
    name: str | None
    scopes: list[str] | None
    alg: Alg | None
    enabled: bool | None
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Delete(NamedTuple):
    tenant_id: str
    client_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Rotate(NamedTuple):
    tenant_id: str
    client_id: str
    secret_digest: bytes
    grace_in: int
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Row(NamedTuple):
    client_id: str
    name: str
    kind: Kind
    scopes: list[str]
    id_token_alg: Alg
    enabled: bool
    previous_secret_until: datetime | None
    created_at: datetime
    events: str | None

    def shown(self) -> ApplicationOut:
        return ApplicationOut(*self[:-1])


class _Events(NamedTuple):
    events: str | None


class _RotatedRow(NamedTuple):
    previous_secret_until: datetime | None
    events: str | None


class Created(NamedTuple):
    """A new application, its secret, and the event."""

    application: ApplicationOut
    secret: str
    events: list[RecordedEvent]


class Rotated(NamedTuple):
    """A new secret, the end of the old one, and the event."""

    secret: str
    previous_secret_until: datetime | None
    events: list[RecordedEvent]


_LOCK_TENANT = _QUERIES.statement("lock_tenant_of_applications", _TenantId, _Slug)
_COUNT = _QUERIES.statement("count_applications", _TenantId, _Count)
_INSERT = _QUERIES.statement("insert_application", _Insert, _Row)
_LIST = _QUERIES.statement("list_applications", _List, _Row)
_FIND = _QUERIES.statement("find_application", _Key, _Row)
_UPDATE = _QUERIES.statement("update_application", _Update, _Row)
_DELETE = _QUERIES.statement("delete_application", _Delete, _Events)
_ROTATE = _QUERIES.statement("rotate_application_secret", _Rotate, _RotatedRow)


async def create_application(postgres: Postgres, tenant_id: str, body: ApplicationIn, context: EventContext) -> Created:
    """Register an application. Raises NotFound for a deleted tenant, Conflict above the maximum number."""
    client_id = new_id("app")

    async def work(transaction: Transaction) -> Created:
        slug = await _lock(transaction, tenant_id)
        count = await transaction.row(_COUNT, _TenantId(tenant_id))
        if count is not None and count.applications >= MAX_APPLICATIONS:
            raise Conflict(f"A tenant has at most {MAX_APPLICATIONS} applications.")
        secret = api_keys.make(api_keys.CLIENT, slug)
        new = _Insert(
            tenant_id=tenant_id,
            client_id=client_id,
            name=body.name,
            kind=body.kind,
            secret_digest=secret.digest,
            scopes=_unique(body.scopes),
            alg=body.id_token_alg,
            event_id=new_id("evt"),
            **context._asdict(),
        )
        row = _one(await transaction.row(_INSERT, new))
        return Created(row.shown(), secret.text, read_events(row.events))

    return await postgres.in_transaction(work)


async def list_applications(postgres: Postgres, tenant_id: str, after: str, max_rows: int) -> list[ApplicationOut]:
    """List a tenant's applications, oldest first."""
    return [row.shown() for row in await postgres.rows(_LIST, _List(tenant_id, after, max_rows))]


async def get_application(postgres: Postgres, tenant_id: str, client_id: str) -> ApplicationOut:
    """Return an application. Raises NotFound."""
    return _one(await postgres.row(_FIND, _Key(tenant_id, client_id))).shown()


async def update_application(
    postgres: Postgres, tenant_id: str, client_id: str, patch: ApplicationPatch, context: EventContext
) -> tuple[ApplicationOut, list[RecordedEvent]]:
    """Change some fields of an application. Raises NotFound."""
    changes = _Update(
        tenant_id=tenant_id,
        client_id=client_id,
        name=patch.name or None,
        scopes=_unique(patch.scopes) if isinstance(patch.scopes, list) else None,
        alg=patch.id_token_alg or None,
        enabled=patch.enabled if isinstance(patch.enabled, bool) else None,
        event_id=new_id("evt"),
        **context._asdict(),
    )
    row = _one(await postgres.row(_UPDATE, changes))
    return row.shown(), read_events(row.events)


async def delete_application(
    postgres: Postgres, tenant_id: str, client_id: str, context: EventContext
) -> list[RecordedEvent]:
    """Delete an application; returns the event. Raises NotFound."""
    row = await postgres.row(_DELETE, _Delete(tenant_id, client_id, new_id("evt"), *context))
    if row is None:
        raise NotFound
    return read_events(row.events)


async def rotate_secret(
    postgres: Postgres, tenant_id: str, client_id: str, grace_in: int, context: EventContext
) -> Rotated:
    """Replace the secret of an application. Raises NotFound."""

    async def work(transaction: Transaction) -> Rotated:
        secret = api_keys.make(api_keys.CLIENT, await _lock(transaction, tenant_id))
        rotate = _Rotate(tenant_id, client_id, secret.digest, grace_in, new_id("evt"), *context)
        row = await transaction.row(_ROTATE, rotate)
        if row is None:
            raise NotFound
        return Rotated(secret.text, row.previous_secret_until, read_events(row.events))

    return await postgres.in_transaction(work)


async def _lock(transaction: Transaction, tenant_id: str) -> str:
    row = await transaction.row(_LOCK_TENANT, _TenantId(tenant_id))
    if row is None:
        raise NotFound
    return row.slug


def _one(row: _Row | None) -> _Row:
    if row is None:
        raise NotFound
    return row


def _unique(scopes: list[str]) -> list[str]:
    return list(dict.fromkeys(scopes))
