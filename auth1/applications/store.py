"""Store the applications of tenants."""

from datetime import datetime
from typing import NamedTuple

from auth1 import api_keys
from auth1.applications.kinds import Kind
from auth1.applications.records import Application, ApplicationChanges, NewApplication, has_secret
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import Conflict, NotFound
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.row_keys import TenantKey
from auth1.signing.keys import Alg

MAX_APPLICATIONS = 100  # of a tenant

_QUERIES = Queries("applications")


class _Slug(NamedTuple):
    slug: str


class _Count(NamedTuple):
    applications: int


class _Insert(NamedTuple):
    tenant_id: str
    client_id: str
    name: str
    kind: Kind
    secret_digests: list[bytes]
    scopes: list[str]
    alg: Alg
    redirect_uris: list[str]
    logout_uris: list[str]
    backchannel_logout_uri: str | None
    first_party: bool
    require_pkce: bool
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
    redirect_uris: list[str] | None
    logout_uris: list[str] | None
    backchannel_logout_uri: str | None
    first_party: bool | None
    require_pkce: bool | None
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


class _RotatedRow(NamedTuple):
    previous_secret_until: datetime | None
    events: str | None


class Created(NamedTuple):
    """A new application, its secret (None for a kind without one), and the event."""

    application: Application
    secret: str | None
    events: list[RecordedEvent]


class Rotated(NamedTuple):
    """A new secret, the end of the old one, and the event."""

    secret: str
    previous_secret_until: datetime | None
    events: list[RecordedEvent]


_LOCK_TENANT = _QUERIES.statement("lock_tenant_of_applications", TenantKey, _Slug)
_COUNT = _QUERIES.statement("count_applications", TenantKey, _Count)
_INSERT = _QUERIES.statement("insert_application", _Insert, RecordedEvents)
_LIST = _QUERIES.statement("list_applications", _List, Application)
_FIND = _QUERIES.statement("find_application", _Key, Application)
_UPDATE = _QUERIES.statement("update_application", _Update, RecordedEvents)
_DELETE = _QUERIES.statement("delete_application", _Delete, RecordedEvents)
_ROTATE = _QUERIES.statement("rotate_application_secret", _Rotate, _RotatedRow)


async def create_application(postgres: Postgres, tenant_id: str, new: NewApplication, context: EventContext) -> Created:
    """Register an application. Raises NotFound for a deleted tenant, Conflict above the maximum number."""
    client_id = new_id("app")

    async def work(transaction: Transaction) -> Created:
        slug = await _lock(transaction, tenant_id)
        count = await transaction.row(_COUNT, TenantKey(tenant_id))
        if count is not None and count.applications >= MAX_APPLICATIONS:
            raise Conflict(f"A tenant has at most {MAX_APPLICATIONS} applications.")
        secret = api_keys.make(api_keys.CLIENT, slug) if has_secret(new.kind) else None
        insert = _Insert(
            tenant_id=tenant_id,
            client_id=client_id,
            name=new.name,
            kind=new.kind,
            secret_digests=[] if secret is None else [secret.digest],
            scopes=_unique(new.scopes),
            alg=new.id_token_alg,
            redirect_uris=_unique(new.redirect_uris),
            logout_uris=_unique(new.logout_uris),
            backchannel_logout_uri=new.backchannel_logout_uri,
            first_party=new.first_party,
            require_pkce=new.require_pkce,
            event_id=new_id("evt"),
            **context._asdict(),
        )
        row = await transaction.row(_INSERT, insert)
        application = _one(await transaction.row(_FIND, _Key(tenant_id, client_id)))
        return Created(application, None if secret is None else secret.text, read_events(row.events if row else None))

    return await postgres.in_transaction(work)


async def list_applications(postgres: Postgres, tenant_id: str, after: str, max_rows: int) -> list[Application]:
    """List a tenant's applications, oldest first."""
    return await postgres.rows(_LIST, _List(tenant_id, after, max_rows))


async def get_application(postgres: Postgres, tenant_id: str, client_id: str) -> Application:
    """Return an application. Raises NotFound."""
    return _one(await postgres.row(_FIND, _Key(tenant_id, client_id)))


async def update_application(
    postgres: Postgres, tenant_id: str, client_id: str, changes: ApplicationChanges, context: EventContext
) -> tuple[Application, list[RecordedEvent]]:
    """Change some fields of an application. Raises NotFound."""
    update = _Update(
        tenant_id=tenant_id,
        client_id=client_id,
        name=changes.name,
        scopes=_unique_or_none(changes.scopes),
        alg=changes.id_token_alg,
        redirect_uris=_unique_or_none(changes.redirect_uris),
        logout_uris=_unique_or_none(changes.logout_uris),
        backchannel_logout_uri=changes.backchannel_logout_uri,
        first_party=changes.first_party,
        require_pkce=changes.require_pkce,
        enabled=changes.enabled,
        event_id=new_id("evt"),
        **context._asdict(),
    )
    row = await postgres.row(_UPDATE, update)
    application = await get_application(postgres, tenant_id, client_id)
    return application, read_events(row.events if row else None)


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
    """Replace the secret of an application. Raises NotFound, and Conflict for a kind without secrets."""

    async def work(transaction: Transaction) -> Rotated:
        secret = api_keys.make(api_keys.CLIENT, await _lock(transaction, tenant_id))
        found = await transaction.row(_FIND, _Key(tenant_id, client_id))
        if found is not None and not has_secret(found.kind):
            raise Conflict(f"An application of kind {found.kind} has no secret.")
        rotate = _Rotate(tenant_id, client_id, secret.digest, grace_in, new_id("evt"), *context)
        row = await transaction.row(_ROTATE, rotate)
        if row is None:
            raise NotFound
        return Rotated(secret.text, row.previous_secret_until, read_events(row.events))

    return await postgres.in_transaction(work)


async def _lock(transaction: Transaction, tenant_id: str) -> str:
    row = await transaction.row(_LOCK_TENANT, TenantKey(tenant_id))
    if row is None:
        raise NotFound
    return row.slug


def _one(application: Application | None) -> Application:
    if application is None:
        raise NotFound
    return application


def _unique(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _unique_or_none(texts: list[str] | None) -> list[str] | None:
    return None if texts is None else _unique(texts)
