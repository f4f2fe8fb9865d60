"""Store the hosts of tenants."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import NoParams, Postgres, Queries, Transaction
from auth1.errors import Conflict, NotFound
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.row_keys import TenantKey

MAX_HOSTS = 10  # of a tenant

_QUERIES = Queries("hosts")


class Host(NamedTuple):
    """A host of a tenant. `token` is the secret part of its TXT record, which is public."""

    host_id: str
    host: str
    token: str
    canonical: bool
    created_at: datetime
    verified_at: datetime | None


class _Slug(NamedTuple):
    slug: str


class _Count(NamedTuple):
    hosts: int


class _Key(NamedTuple):
    tenant_id: str
    host_id: str


class _Name(NamedTuple):
    host: str


class _Insert(NamedTuple):
    tenant_id: str
    host_id: str
    host: str
    token: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Change(NamedTuple):
    tenant_id: str
    host_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _SetCanonical(NamedTuple):
    tenant_id: str
    host_id: str
    canonical: bool
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Row(NamedTuple):
    host_id: str
    host: str
    token: str
    canonical: bool
    created_at: datetime
    verified_at: datetime | None
    events: str | None

    def split(self) -> tuple[Host, list[RecordedEvent]]:
        """Return the host and the events of its change."""
        return Host(*self[:-1]), read_events(self.events)


_LOCK_TENANT = _QUERIES.statement("lock_tenant_of_hosts", TenantKey, _Slug)
_COUNT = _QUERIES.statement("count_hosts", TenantKey, _Count)
_INSERT = _QUERIES.statement("insert_host", _Insert, _Row)
_LIST = _QUERIES.statement("list_hosts", TenantKey, _Row)
_FIND = _QUERIES.statement("find_host", _Key, _Row)
_LOCK = _QUERIES.statement("lock_host", _Name, TenantKey)
_FIND_VERIFIED = _QUERIES.statement("find_verified_tenant", _Name, TenantKey)
_VERIFY = _QUERIES.statement("verify_host", _Change, _Row)
_CLEAR_CANONICAL = _QUERIES.statement("clear_canonical_host", _Key, NoParams)
_SET_CANONICAL = _QUERIES.statement("set_canonical_host", _SetCanonical, RecordedEvents)
_DELETE = _QUERIES.statement("delete_host", _Change, RecordedEvents)


async def add_host(
    postgres: Postgres, tenant_id: str, host: str, token: str, context: EventContext
) -> tuple[Host, list[RecordedEvent]]:
    """Add a host. Raises NotFound for a deleted tenant, and Conflict for a known host or above the maximum number."""
    insert = _Insert(tenant_id, new_id("hst"), host, token, new_id("evt"), *context)

    async def work(transaction: Transaction) -> tuple[Host, list[RecordedEvent]]:
        await _lock_tenant(transaction, tenant_id)
        count = await transaction.row(_COUNT, TenantKey(tenant_id))
        if count is not None and count.hosts >= MAX_HOSTS:
            raise Conflict(f"A tenant has at most {MAX_HOSTS} hosts.")
        row = await transaction.row(_INSERT, insert)
        if row is None:
            raise Conflict("This host exists already.")
        return row.split()

    return await postgres.in_transaction(work)


async def list_hosts(postgres: Postgres, tenant_id: str) -> list[Host]:
    """List a tenant's hosts, oldest first."""
    return [row.split()[0] for row in await postgres.rows(_LIST, TenantKey(tenant_id))]


async def get_host(postgres: Postgres, tenant_id: str, host_id: str) -> Host:
    """Return a host. Raises NotFound."""
    return _one(await postgres.row(_FIND, _Key(tenant_id, host_id))).split()[0]


async def verify_host(
    postgres: Postgres, tenant_id: str, host: Host, context: EventContext
) -> tuple[Host, list[RecordedEvent]]:
    """Mark a host as verified. Raises NotFound if it was removed, and Conflict if another tenant has verified it."""
    change = _Change(tenant_id, host.host_id, new_id("evt"), *context)

    async def work(transaction: Transaction) -> tuple[Host, list[RecordedEvent]]:
        await _lock_tenant(transaction, tenant_id)
        await transaction.rows(_LOCK, _Name(host.host))
        verified = await transaction.row(_FIND_VERIFIED, _Name(host.host))
        if verified is not None and verified.tenant_id != tenant_id:
            raise Conflict("Another tenant has verified this host; it must be removed there first.")
        return _one(await transaction.row(_VERIFY, change)).split()

    return await postgres.in_transaction(work)


async def set_canonical(
    postgres: Postgres, tenant_id: str, host_id: str, context: EventContext, *, canonical: bool
) -> tuple[Host, list[RecordedEvent]]:
    """Make a host canonical or not. Raises NotFound, and Conflict for a host that is not verified."""
    change = _SetCanonical(tenant_id, host_id, canonical, new_id("evt"), *context)

    async def work(transaction: Transaction) -> tuple[Host, list[RecordedEvent]]:
        await _lock_tenant(transaction, tenant_id)
        host = _one(await transaction.row(_FIND, _Key(tenant_id, host_id))).split()[0]
        if canonical and host.verified_at is None:
            raise Conflict("Verify the host first.")
        if canonical:
            await transaction.rows(_CLEAR_CANONICAL, _Key(tenant_id, host_id))
        row = await transaction.row(_SET_CANONICAL, change)
        return host._replace(canonical=canonical), read_events(row.events if row is not None else None)

    return await postgres.in_transaction(work)


async def remove_host(postgres: Postgres, tenant_id: str, host_id: str, context: EventContext) -> list[RecordedEvent]:
    """Remove a host; returns the event. Raises NotFound."""
    row = await postgres.row(_DELETE, _Change(tenant_id, host_id, new_id("evt"), *context))
    if row is None:
        raise NotFound
    return read_events(row.events)


async def _lock_tenant(transaction: Transaction, tenant_id: str) -> None:
    if await transaction.row(_LOCK_TENANT, TenantKey(tenant_id)) is None:
        raise NotFound


def _one(row: _Row | None) -> _Row:
    if row is None:
        raise NotFound
    return row
