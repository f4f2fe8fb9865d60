"""Import users in batches: one transaction each, which creates all users of a batch that do not exist.

Existing users are left unchanged, so an import can be repeated, or resumed after an interruption. A row whose phone,
email or external id belongs to another user than the rest of the row is rejected by name. So is a row that the database
rejects; it is found by halving the batch.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import asyncpg

from auth1.core.postgres import Postgres, Transaction
from auth1.errors import ApiError, Unavailable
from auth1.events.log import EventContext, log_events
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin
from auth1.user_transfer import validate
from auth1.user_transfer.field_map import FieldMap
from auth1.user_transfer.lines import Line
from auth1.users import store
from auth1.users.schemas import ImportResult, RejectedLine
from auth1.users.store import Row

BATCH = 500  # at the command line
BATCH_BESIDE_REQUESTS = 100  # a batch is encoded and compared in one go: 2 ms
BATCH_BYTES = 128 * 1024  # of metadata: a driver encodes a batch in one go
WORK_S = 0.002  # of parsing and checks in one go, while other requests wait
REST = 1.0  # pause of the parsing, as a multiple of the work before it
MAX_RETRIES = 5  # after concurrent updates
RETRY_DELAYS_S = (0.2, 1.0, 3.0)  # while the database is unavailable
REJECTED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    store.ConcurrentUpdate,
)


class ValidRow(NamedTuple):
    """A valid row, its first and last line, and how many lines it spans."""

    line: int
    row: Row
    last: int
    lines: int


class Options(NamedTuple):
    """The options of an import. `first_line` is the first that is imported; the lines before it are skipped."""

    fields: FieldMap
    trust_unverified: bool = False
    first_line: int = 1


OnBatch = Callable[[int, ImportResult], None]  # the last line that is done, and the result since the batch before


class Pace:
    """Leaves the event loop to other tasks by time: work for some milliseconds, then pause for a multiple of that.

    The pause grows with the number of imports in this process, so that all of them together take the same share.
    """

    _running: ClassVar[int] = 0

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._started = time.perf_counter()

    def __enter__(self) -> "Pace":
        Pace._running += 1
        return self

    def __exit__(self, *exception: object) -> None:
        Pace._running -= 1

    def resume(self) -> None:
        """Start to count again, after a wait."""
        self._started = time.perf_counter()

    async def pause(self) -> None:
        """Pause when the time is used up."""
        worked = time.perf_counter() - self._started
        if worked >= WORK_S:
            await asyncio.sleep(worked * self._rest * Pace._running)
            self.resume()


async def import_users(
    app: Services, manager: TenantAdmin, lines: Iterable[Line], options: Options, on_batch: OnBatch | None = None
) -> ImportResult:
    """Import all lines and call `on_batch` after each batch. Raises Unavailable when the database stays unavailable."""
    total, part = ImportResult(), ImportResult()
    batch: list[ValidRow] = []
    size = 0

    async def settle(line: int) -> None:
        nonlocal part, size
        done, part, size = part, ImportResult(), 0
        result = await _import_batch(app.postgres, manager.tenant_id, batch)
        done.add(result)
        done.rejects = sorted([*done.rejects, *result.rejects], key=lambda reject: reject.line)
        batch.clear()
        total.add(done)
        if on_batch is not None:
            on_batch(line, done)
        else:
            total.rejects += done.rejects

    last = 0
    most = BATCH_BESIDE_REQUESTS if on_batch is None else BATCH
    with Pace(REST if on_batch is None else 0.0) as pace:
        try:
            for line in lines:
                last = max(line.number, line.last)
                entry = _read(line, options, part)
                if entry is not None:
                    batch.append(entry)
                    size += len(entry.row.metadata) + len(entry.row.user_metadata)
                await pace.pause()
                if len(batch) + len(part.rejects) >= most or size >= BATCH_BYTES:
                    await settle(last)
                    pace.resume()
            await settle(last)
        finally:
            await _record(app, manager, total)
    return total


def _read(line: Line, options: Options, part: ImportResult) -> ValidRow | None:
    """Count a line, and return its user if it has one. A row that is rejected counts with all lines that it spans."""
    if line.number < options.first_line or (line.row is None and not line.error):
        part.read += 1
        part.skipped += 1
        return None
    try:
        if line.row is not None:
            row = validate.check(line.row, options.fields, trust_unverified=options.trust_unverified)
            part.read += 1
            return ValidRow(line.number, row, line.last, line.lines)
        reject = RejectedLine(line.number, line.error)
    except ApiError as error:
        reject = RejectedLine(line.number, _reason(error))
    if line.lines > 1:
        reject.last_line = line.last
    part.rejects.append(reject)
    part.read += line.lines
    part.rejected += line.lines
    return None


async def _record(app: Services, manager: TenantAdmin, total: ImportResult) -> None:
    """Write the event of an import, also of an interrupted one, if it has an effect."""
    counts = {name: count for name, count in total.counts().items() if name not in ("read", "skipped")}
    if not any(counts.values()):
        return
    try:
        events = await store.record_import(app.postgres, manager.tenant_id, manager.context, counts)
    except Unavailable:
        return  # was logged where it happened
    log_events(app.log, events)


async def _import_batch(postgres: Postgres, tenant_id: str, batch: Sequence[ValidRow]) -> ImportResult:
    """Import a batch; halve one that the database rejects, down to the row that is the cause."""
    if not batch:
        return ImportResult()
    try:
        return await _with_retries(postgres, tenant_id, batch)
    except REJECTED as error:
        if len(batch) == 1:
            cause = error.sqlstate if isinstance(error, asyncpg.PostgresError) else "concurrent updates"
            return ImportResult(
                rejected=1, rejects=[RejectedLine(batch[0].line, f"Rejected by the database ({cause}).")]
            )
    result = ImportResult()
    for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
        part = await _import_batch(postgres, tenant_id, half)
        result.add(part)
        result.rejects += part.rejects
    return result


async def _with_retries(postgres: Postgres, tenant_id: str, batch: Sequence[ValidRow]) -> ImportResult:
    """Retry while the database is unavailable or others update the same rows.

    The ids stay the same, so that a retry recognises what a lost commit has created.
    """
    conflicts = 0
    delays = list(RETRY_DELAYS_S)
    while True:
        try:
            return await _try_batch(postgres, tenant_id, batch)
        except store.ConcurrentUpdate:
            conflicts += 1
            if conflicts == MAX_RETRIES:
                raise
        except Unavailable:
            if not delays:
                raise
            await asyncio.sleep(delays.pop(0))


async def _try_batch(postgres: Postgres, tenant_id: str, batch: Sequence[ValidRow]) -> ImportResult:
    return await postgres.in_transaction(partial(_import_rows, tenant_id, batch))


async def _import_rows(tenant_id: str, batch: Sequence[ValidRow], transaction: Transaction) -> ImportResult:
    result = ImportResult()
    created: list[Row] = []
    owners = await store.find_owners(transaction, tenant_id, [entry.row for entry in batch])
    for entry in batch:
        row = entry.row
        values = (*row.identifiers.values(), row.stored_phone)
        users = {owners.of_identifiers[one] for one in values if one in owners.of_identifiers}
        if row.external_id in owners.of_external_ids:
            users.add(owners.of_external_ids[row.external_id])
        if row.rejected is not None and not _is_known(owners, row, users):
            _reject(result, entry, row.rejected)
        elif not users or users == {row.id}:  # its own id: created before, by a commit without a received result
            if not users:
                created.append(row)
                _enter(owners, row)
            result.created += 1
            result.unverified += row.unverified_phone is not None or row.unverified_email is not None
        elif (conflict := _conflict(owners, row, users)) is not None:
            result.rejects.append(RejectedLine(entry.line, conflict))
            result.rejected += 1
        else:
            result.existing += 1
    if created:
        await store.create_users(transaction, tenant_id, created, None, EventContext(""))
    return result


def _is_known(owners: store.Owners, row: Row, users: set[str]) -> bool:
    """Return whether a row is a user whose phone was stored before its numbering plan changed."""
    phones = [phone for phone in (row.identifiers.get("phone"), row.stored_phone) if phone is not None]
    return bool(users) and (not phones or any(phone in owners.of_identifiers for phone in phones))


def _reject(result: ImportResult, entry: ValidRow, reason: str) -> None:
    """Reject a row with all lines that it spans."""
    reject = RejectedLine(entry.line, reason)
    if entry.lines > 1:
        reject.last_line = entry.last
    result.rejects.append(reject)
    result.read += entry.lines - 1  # one was counted when the row was read
    result.rejected += entry.lines


def _enter(owners: store.Owners, row: Row) -> None:
    """Enter a new user, for the rows after it."""
    owners.of_identifiers.update(dict.fromkeys(row.identifiers.values(), row.id))
    owners.external_ids[row.id] = row.external_id
    if row.external_id is not None:
        owners.of_external_ids[row.external_id] = row.id


def _conflict(owners: store.Owners, row: Row, users: set[str]) -> str | None:
    """Return the reason that a row conflicts with the users that have parts of it; None without a conflict."""
    if len(users) > 1:
        return "Its phone, email and external_id belong to different users."
    external_id = owners.external_ids.get(next(iter(users)))
    if row.external_id is not None and external_id is not None and external_id != row.external_id:
        return "Its phone or email belongs to a user with another external_id."
    return None


def _reason(error: ApiError) -> str:
    if error.errors:
        return " ".join(f"{one.field}: {one.message}" for one in error.errors)
    return error.detail
