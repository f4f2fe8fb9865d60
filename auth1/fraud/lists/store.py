"""Store the entries of allow and block lists, within their caps."""

from datetime import datetime
from typing import NamedTuple, get_args

from auth1.core.ids import new_id
from auth1.core.postgres import NO_PARAMS, NoParams, Postgres, Queries, Transaction
from auth1.errors import Conflict
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.fraud.lists.entries import NEVER, Entry, Kind, ListName
from auth1.fraud.lists.schemas import ListEntryIn, ListEntryOut
from auth1.fraud.policy_store import lock_settings
from auth1.tenants.settings import OPERATOR

MAX_ENTRIES = 10_000  # of a tenant, and of the operator
MAX_ALL_ENTRIES = 1_000_000  # of all tenants and the operator

_QUERIES = Queries("fraud_lists")
# One string object for all entries.
_LISTS: dict[str, ListName] = {name: name for name in get_args(ListName)}
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}


class _Counted(NamedTuple):
    entries: int


class _DeleteExpired(NamedTuple):
    tenant_id: str
    list: str | None
    kind: str | None
    value: str | None


class _Purged(NamedTuple):
    purged: int


class _InsertEntry(NamedTuple):
    tenant_id: str
    entry_id: str
    list: str
    kind: str
    value: str
    reason: str | None
    expires_at: datetime | None
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _InsertedRow(NamedTuple):
    entry_id: str
    list: ListName
    kind: Kind
    value: str
    reason: str | None
    expires_at: datetime | None
    author: str
    created_at: datetime
    events: str | None


class _DeleteEntry(NamedTuple):
    tenant_id: str
    entry_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Owner(NamedTuple):
    tenant_id: str


class _Version(NamedTuple):
    list_version: int


class _ListEntries(NamedTuple):
    tenant_id: str
    before: str
    list: str | None
    kind: str | None
    max_rows: int


class _LoadEntries(NamedTuple):
    tenant_id: str
    after: str
    max_rows: int


class _LoadedRow(NamedTuple):
    entry_id: str | None
    list: str
    kind: str
    value: str | None
    expires_at: float | None
    list_version: int


_COUNT_ALL_ENTRIES = _QUERIES.statement("count_all_entries", NoParams, _Counted)
_DELETE_EXPIRED_ENTRIES = _QUERIES.statement("delete_expired_entries", _DeleteExpired, _Purged)
_INSERT_ENTRY = _QUERIES.statement("insert_entry", _InsertEntry, _InsertedRow)
_DELETE_ENTRY = _QUERIES.statement("delete_entry", _DeleteEntry, RecordedEvents)
_COUNT_CHANGE = _QUERIES.statement("count_change", _Owner, _Version)
_LIST_ENTRIES = _QUERIES.statement("list_entries", _ListEntries, ListEntryOut)
_LOAD_ENTRIES = _QUERIES.statement("load_entries", _LoadEntries, _LoadedRow)


class LoadedPage(NamedTuple):
    """A page of the entries of an owner. `next_after`: where the next page begins; None after the last one."""

    version: int
    entries: list[Entry]
    next_after: str | None


async def add_entry(
    postgres: Postgres, owner: str, new: ListEntryIn, context: EventContext
) -> tuple[ListEntryOut, list[RecordedEvent]]:
    """Add an entry. Raises NotFound, and Conflict when it exists or the lists are full."""

    async def work(transaction: Transaction) -> tuple[ListEntryOut, list[RecordedEvent]]:
        return await add_entry_in(transaction, owner, new, context)

    return await postgres.in_transaction(work)


async def add_entry_in(
    transaction: Transaction, owner: str, new: ListEntryIn, context: EventContext
) -> tuple[ListEntryOut, list[RecordedEvent]]:
    """Add an entry in a transaction. Raises NotFound, Conflict."""
    entries = await _lock(transaction, owner)
    await transaction.row(_DELETE_EXPIRED_ENTRIES, _DeleteExpired(owner, new.list, new.kind, new.value))
    await _check_capacity(transaction, owner, entries)
    row = await transaction.row(
        _INSERT_ENTRY,
        _InsertEntry(
            owner, new_id("fl"), new.list, new.kind, new.value, new.reason, new.expires_at, new_id("evt"), *context
        ),
    )
    if row is None:
        raise Conflict("This list has this entry already.")
    await transaction.row(_COUNT_CHANGE, _Owner(owner))
    return ListEntryOut(*row[:-1]), read_events(row.events)


async def delete_entry(
    postgres: Postgres, owner: str, entry_id: str, context: EventContext
) -> list[RecordedEvent] | None:
    """Delete an entry and return the event; None when there is no such entry. Raises NotFound without a tenant."""

    async def work(transaction: Transaction) -> list[RecordedEvent] | None:
        return await delete_entry_in(transaction, owner, entry_id, context)

    return await postgres.in_transaction(work)


async def delete_entry_in(
    transaction: Transaction, owner: str, entry_id: str, context: EventContext
) -> list[RecordedEvent] | None:
    """Delete an entry in a transaction. Raises NotFound without a tenant."""
    await _lock(transaction, owner)
    row = await transaction.row(_DELETE_ENTRY, _DeleteEntry(owner, entry_id, new_id("evt"), *context))
    if row is None:
        return None
    await transaction.row(_COUNT_CHANGE, _Owner(owner))
    return read_events(row.events)


async def list_entries(
    postgres: Postgres, owner: str, before: str, list_name: str | None, kind: str | None, limit: int
) -> list[ListEntryOut]:
    """Return the valid entries of an owner, newest first."""
    # The character ~ sorts after all of an id.
    return await postgres.rows(_LIST_ENTRIES, _ListEntries(owner, before or "fl_~", list_name, kind, limit))


async def load_page(postgres: Postgres, owner: str, after: str, limit: int) -> LoadedPage:
    """Return a page of the valid entries of an owner, oldest first."""
    rows = await postgres.rows(_LOAD_ENTRIES, _LoadEntries(owner, after, limit))
    entries = [
        Entry(
            row.entry_id,
            _LISTS[row.list],
            _KINDS[row.kind],
            row.value,
            NEVER if row.expires_at is None else row.expires_at,
        )
        for row in rows
        if row.entry_id is not None and row.value is not None
    ]
    return LoadedPage(rows[0].list_version if rows else 0, entries, rows[-1].entry_id if len(rows) == limit else None)


async def _lock(transaction: Transaction, owner: str) -> int:
    """Lock the lists of all owners for a change, and return the number of the owner's entries. Raises NotFound."""
    if owner == OPERATOR:
        return (await lock_settings(transaction, OPERATOR)).list_entries
    await lock_settings(transaction, OPERATOR)
    return (await lock_settings(transaction, owner)).list_entries


async def _check_capacity(transaction: Transaction, owner: str, entries: int) -> None:
    """Raise Conflict when the lists are full, even after their expired entries were deleted."""
    counted = await transaction.row(_COUNT_ALL_ENTRIES, NO_PARAMS)
    total = counted.entries if counted is not None else 0
    if entries < MAX_ENTRIES and total < MAX_ALL_ENTRIES:
        return
    purged = await transaction.row(_DELETE_EXPIRED_ENTRIES, _DeleteExpired(owner, None, None, None))
    freed = purged.purged if purged is not None else 0
    if entries - freed >= MAX_ENTRIES:
        raise Conflict(f"The lists have {MAX_ENTRIES} entries, the most that is possible; delete some.")
    if total - freed >= MAX_ALL_ENTRIES:
        raise Conflict("The lists of all tenants are full; ask the operator to delete entries.")
