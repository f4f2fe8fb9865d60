"""Read seals and sealed events page by page, in the order in which they were sealed."""

from collections.abc import AsyncGenerator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from auth1.audit.sealing.store import ChainEnd, Seal
from auth1.core.postgres import NO_PARAMS, NoParams, Postgres, Queries
from auth1.events.reader import WITHOUT_TX, EventRow, Place
from auth1.row_keys import TenantKey

SEALS = 20  # of a page; a seal has at most 240 KB
ROWS = 2000  # of a page

_QUERIES = Queries("audit")


class _RoundPage(NamedTuple):
    round: int
    last_round: int
    after: str
    max_rows: int


class _TenantPage(NamedTuple):
    tenant_id: str
    seq: int
    last_round: int
    max_rows: int


class _EventPage(NamedTuple):
    tx: str
    id: str
    last_tx: str
    last_id: str
    tenant_id: str | None
    max_rows: int


class _OldEventPage(NamedTuple):
    id: str
    last_id: str | None
    tenant_id: str | None
    max_rows: int


class _After(NamedTuple):
    tx: str
    id: str
    tenant_id: str | None


class _Since(NamedTuple):
    since: datetime


class _SealKey(NamedTuple):
    tenant_id: str
    seq: int


class _EventOf(NamedTuple):
    tenant_ids: list[str]
    id: str


class _Around(NamedTuple):
    tenant_id: str
    tx: str


class _Lines(NamedTuple):
    tenant_ids: list[str]
    seqs: list[int]


class _Count(NamedTuple):
    events: int


class LoggedHead(NamedTuple):
    """The head of a seal that a log names, as the table has it, and the last seal of its tenant."""

    tenant_id: str
    seq: int
    head: bytes | None
    last_seq: int | None


_PLACE = _QUERIES.statement("place_of_seals", NoParams, Place)
_ROUND_BEFORE = _QUERIES.statement("round_before", _Since, Place)
_SEALS_BY_ROUND = _QUERIES.statement("seals_by_round", _RoundPage, Seal)
_SEALS_OF_TENANT = _QUERIES.statement("seals_of_tenant", _TenantPage, Seal)
_SEALS_AROUND = _QUERIES.statement("seals_around", _Around, Seal)
_FIND_SEAL = _QUERIES.statement("find_seal", _SealKey, ChainEnd)
_EVENTS = _QUERIES.statement("sealed_events", _EventPage, EventRow)
_OLD_EVENTS = _QUERIES.statement("sealed_events_without_transaction", _OldEventPage, EventRow)
_COUNT_UNSEALED = _QUERIES.statement("count_unsealed", _After, _Count)
_FIND_EVENTS = _QUERIES.statement("find_events", _EventOf, EventRow)
_LAST_PURGE = _QUERIES.statement("last_purge", TenantKey, EventRow)
_HEADS_OF_SEALS = _QUERIES.statement("heads_of_seals", _Lines, LoggedHead)


class AuditReader:
    """Reads of a verification: of all tenants or one, up to the place of the seals when it began."""

    def __init__(self, postgres: Postgres, tenant_id: str | None) -> None:
        self._postgres = postgres
        self._tenant_id = tenant_id

    async def place(self) -> Place:
        """Return the last sealed event and the last round."""
        [place] = await self._postgres.report(_PLACE, NO_PARAMS)
        return place

    async def place_before(self, since: datetime) -> Place | None:
        """Return the last round before a moment."""
        places = await self._postgres.report(_ROUND_BEFORE, _Since(since))
        return places[0] if places else None

    async def rounds(self, first: Place | None, last: Place) -> AsyncGenerator[list[Seal], None]:
        """Return the seals by rounds; those of one tenant one by one."""
        seals: list[Seal] = []
        if self._tenant_id is not None:
            seq = 0
            while seals := await self._postgres.report(
                _SEALS_OF_TENANT, _TenantPage(self._tenant_id, seq, last.round, SEALS)
            ):
                for seal in seals:
                    if first is None or seal.round > first.round:
                        yield [seal]
                seq = seals[-1].seq
            return
        pending: list[Seal] = []
        number, after = (first.round + 1 if first is not None else 0), ""
        while seals := await self._postgres.report(_SEALS_BY_ROUND, _RoundPage(number, last.round, after, SEALS)):
            number, after = seals[-1].round, seals[-1].tenant_id
            pending += seals
            *complete, pending = [list(group) for _, group in groupby(pending, key=lambda seal: seal.round)]
            for one in complete:
                yield one
        if pending:
            yield pending

    async def events(self, first: Place | None, last: Place) -> AsyncGenerator[EventRow, None]:
        """Return the events in the order in which they were sealed."""
        tx, event_id = (first.tx, first.id) if first is not None else (WITHOUT_TX, "")
        if tx == WITHOUT_TX:
            last_id = last.id if last.tx == WITHOUT_TX else None
            while rows := await self._postgres.report(
                _OLD_EVENTS, _OldEventPage(event_id, last_id, self._tenant_id, ROWS), in_order=True
            ):
                for row in rows:
                    yield row
                event_id = rows[-1].id
            tx, event_id = "1", ""
        while rows := await self._postgres.report(
            _EVENTS, _EventPage(tx, event_id, last.tx, last.id, self._tenant_id, ROWS), in_order=True
        ):
            for row in rows:
                yield row
            tx, event_id = rows[-1].tx, rows[-1].id

    async def count_unsealed(self, place: Place) -> int:
        """Return the number of events after a place."""
        [count] = await self._postgres.report(_COUNT_UNSEALED, _After(place.tx, place.id, self._tenant_id))
        return count.events

    async def find_seal(self, tenant_id: str, seq: int) -> ChainEnd | None:
        """Return a seal by its number."""
        seals = await self._postgres.report(_FIND_SEAL, _SealKey(tenant_id, seq))
        return seals[0] if seals else None

    async def seals_around(self, event: EventRow) -> list[Seal]:
        """Return the seals that may contain an event."""
        return await self._postgres.report(_SEALS_AROUND, _Around(event.tenant_id, event.tx))

    async def find_events(self, tenant_ids: list[str], event_id: str) -> list[EventRow]:
        """Return the events with an id, of any of the tenants."""
        return await self._postgres.report(_FIND_EVENTS, _EventOf(tenant_ids, event_id))

    async def last_purge(self, tenant_id: str) -> EventRow | None:
        """Return the newest sealed event `audit.purged` of a tenant."""
        marks = await self._postgres.report(_LAST_PURGE, TenantKey(tenant_id))
        return marks[0] if marks else None

    async def logged_heads(self, heads: list[tuple[str, int]]) -> list[LoggedHead]:
        """Return the heads of the seals that a log names."""
        lines = _Lines([tenant_id for tenant_id, _ in heads], [seq for _, seq in heads])
        return await self._postgres.report(_HEADS_OF_SEALS, lines)
