"""Import users, a batch at a time: one transaction each, which makes all of a batch that nobody has yet.

Users who are there already are left as they are, so an import can be repeated, and go on where it was broken off. A row
whose phone, email or external id belong to somebody else than the rest of it is rejected by name, and so is what the
database refuses, which is looked for by halves.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import asyncpg

from auth1.core.postgres import Postgres
from auth1.errors import ApiError, Unavailable
from auth1.events.types import Event, EventType, tell
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin
from auth1.user_transfer import validate
from auth1.user_transfer.field_map import FieldMap
from auth1.user_transfer.parsers import Line
from auth1.users import store
from auth1.users.schemas import Imported, Reject
from auth1.users.store import Row

BATCH = 500
FAIRNESS = 20  # rows that are read in one go, while logins wait
MAX_RETRIES = 5  # how often somebody may be faster
RETRY_DELAYS_S = (0.2, 1.0, 3.0)  # seconds between tries while the database is away
REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    store.ConcurrentUpdate,
)


class Entry(NamedTuple):
    """A row that is well-formed, and its line."""

    line: int
    row: Row


Done = Callable[[int, Imported], None]  # what the line is up to which all is settled, and what became of it


async def import_users(
    app: Services, manager: TenantAdmin, lines: Iterable[Line], fields: FieldMap, done: Done | None = None
) -> Imported:
    """Import all lines; `done` hears of each batch. Raises Unavailable when the database stays away: go on later."""
    total = Imported(rejects=[])
    batch: list[Entry] = []
    rejects: list[Reject] = []
    read = 0

    async def settle(line: int) -> None:
        part = await _import_batch(app.postgres, manager.tenant_id, batch)
        part.rejects = sorted([*rejects, *part.rejects], key=lambda reject: reject.line)
        part.rejected = len(part.rejects)
        total.created += part.created
        total.existing += part.existing
        total.rejected += part.rejected
        if done is not None:
            done(line, part)
        else:
            total.rejects += part.rejects
        batch.clear()
        rejects.clear()

    last = 0
    try:
        for line in lines:
            last = line.number
            try:
                if line.row is None:
                    rejects.append(Reject(line.number, line.wrong))
                else:
                    batch.append(Entry(line.number, validate.check(line.row, fields)))
            except ApiError as refusal:
                rejects.append(Reject(line.number, _reason(refusal)))
            read += 1
            if read % FAIRNESS == 0:
                await asyncio.sleep(0)
            if len(batch) + len(rejects) >= BATCH:
                await settle(last)
        await settle(last)
    finally:
        await _record(app, manager, total)
    return total


async def _record(app: Services, manager: TenantAdmin, total: Imported) -> None:
    """Write the event of an import, also of one that was broken off, if it did anything."""
    if not (total.created or total.existing or total.rejected):
        return
    counts = (total.created, total.existing, total.rejected)
    try:
        event_id = await store.record_import(app.postgres, manager.tenant_id, manager.actor, *counts)
    except Unavailable:
        return  # was logged where it happened
    event = Event(event_id, EventType.USERS_IMPORTED, manager.tenant_id, manager.actor, manager.tenant_id)
    tell(app.log, event, manager.request_id, created=counts[0], existing=counts[1], rejected=counts[2])


async def _import_batch(postgres: Postgres, tenant_id: str, batch: Sequence[Entry]) -> Imported:
    """Import a batch; of one that the database refuses each half on its own, down to the row that it is about."""
    if not batch:
        return Imported(rejects=[])
    try:
        return await _patiently(postgres, tenant_id, batch)
    except REFUSED as error:
        if len(batch) == 1:
            why = error.sqlstate if isinstance(error, asyncpg.PostgresError) else "others are making it"
            return Imported(rejects=[Reject(batch[0].line, f"The database refuses it ({why})")])
    halves = batch[: len(batch) // 2], batch[len(batch) // 2 :]
    parts = [await _import_batch(postgres, tenant_id, half) for half in halves]
    return Imported(
        created=sum(part.created for part in parts),
        existing=sum(part.existing for part in parts),
        rejects=[reject for part in parts for reject in part.rejects],
    )


async def _patiently(postgres: Postgres, tenant_id: str, batch: Sequence[Entry]) -> Imported:
    """Try again while the database is away or others are faster. The ids are the same, so a commit that was lost
    is recognised by them."""
    faster = 0
    waits = list(RETRY_DELAYS_S)
    while True:
        try:
            return await _try_batch(postgres, tenant_id, batch)
        except store.ConcurrentUpdate:
            faster += 1
            if faster == MAX_RETRIES:
                raise
        except Unavailable:
            if not waits:
                raise
            await asyncio.sleep(waits.pop(0))


async def _try_batch(postgres: Postgres, tenant_id: str, batch: Sequence[Entry]) -> Imported:
    result = Imported(rejects=[])
    made: list[Row] = []
    async with postgres.transaction() as transaction:
        owners = await store.find_owners(transaction, tenant_id, [entry.row for entry in batch])
        for entry in batch:
            row = entry.row
            people = {owners.of_identifiers[one] for one in row.identifiers.values() if one in owners.of_identifiers}
            if row.external_id in owners.of_external_ids:
                people.add(owners.of_external_ids[row.external_id])
            if not people:
                made.append(row)
                _enter(owners, row)
                result.created += 1
            elif people == {row.id}:
                result.created += 1  # by the try before, whose commit was not heard of
            elif (wrong := _clash(owners, row, people)) is not None:
                result.rejects.append(Reject(entry.line, wrong))
            else:
                result.existing += 1
        if made:
            await store.make_users(transaction, tenant_id, made, None, "")
    return result


def _enter(owners: store.Owners, row: Row) -> None:
    """Let the rows after it find what a row will have."""
    owners.of_identifiers.update(dict.fromkeys(row.identifiers.values(), row.id))
    owners.external_ids[row.id] = row.external_id
    if row.external_id is not None:
        owners.of_external_ids[row.external_id] = row.id


def _clash(owners: store.Owners, row: Row, people: set[str]) -> str | None:
    """What is wrong with a row of which something is somebody's: nothing, if all of it can be that one user."""
    if len(people) > 1:
        return "Its phone, email and external_id belong to different users"
    known_as = owners.external_ids.get(next(iter(people)))
    if row.external_id is not None and known_as is not None and known_as != row.external_id:
        return "Its phone or email belongs to a user with another external_id"
    return None


def _reason(refusal: ApiError) -> str:
    if refusal.errors:
        return "; ".join(f"{error.field}: {error.message}" for error in refusal.errors)
    return refusal.detail
