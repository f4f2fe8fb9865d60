"""Verify the audit log: events against seals, the chain of each tenant, the MACs, and heads of a log.

Everything is read as a stream in the order in which it was sealed. In memory are the end of each chain, and the events
and seals of one round. A tenant with a finding is not read further; it cannot disturb other tenants.
"""

import hashlib
import hmac
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import datetime

import msgspec

from auth1.audit.sealing.canonical import leaf
from auth1.audit.sealing.compare import Finding, SealedRow, compare, finding, packed_ids
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import EVENT, ID_BYTES, LEAF_BYTES, SealKey, first_head, next_head
from auth1.audit.sealing.store import Seal
from auth1.core.ids import pack_id
from auth1.core.schemas import Out
from auth1.events.reader import EventRow, Place, Position, position_of

MAX_EXTRA = 10_000  # events of a round that no seal announces
MAX_WAITING = 20_000  # events of a tenant without a seal
Progress = Callable[[int, int], None]


class Report(Out):
    """The result of a verification."""

    tenants: int
    seals: int
    events: int
    unsealed: int  # events that no seal fixes yet
    unknown_keys: int  # tenants whose last seal has an unknown key: JWT_SECRET is another one
    findings: list[Finding]


class _Data(msgspec.Struct):
    before_id: str = ""


class Chain:
    """The state of one tenant."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.seq = 0
        self.head = first_head(tenant_id)
        self.key_is_known: bool | None = None  # of the last seal
        self.rows: list[SealedRow] = []  # that wait for their seal
        self.purged_below = ""
        self.finding: Finding | None = None

    def take(self, end: Position) -> list[SealedRow]:
        """Return the events up to a place; later ones wait for the next seal."""
        taken = [row for row in self.rows if position_of(row.event.tx, row.event.id) <= end]
        self.rows = self.rows[len(taken) :]
        return taken

    def add(self, row: EventRow) -> None:
        """Keep an event for its seal."""
        if self.finding is None:
            self.rows.append(SealedRow(row, leaf(row)))
            if len(self.rows) > MAX_WAITING:
                self.found(finding(self.tenant_id, "added", event_id=self.rows[0].event.id))

    def found(self, what: Finding) -> None:
        """Store the first finding, and drop the rest of the tenant."""
        self.finding = what
        self.rows = []


class Verification:
    """One verification. `run` returns its report."""

    def __init__(self, reader: AuditReader, keys: Iterable[SealKey], progress: Progress = lambda events, seals: None):
        self._reader = reader
        self._keys = {key.name: key for key in keys}
        self._progress = progress
        self.chains: dict[str, Chain] = {}
        self._seals = 0
        self._events = 0
        self._since = False

    async def run(self, since: datetime | None = None) -> Report:
        """Verify the events that were sealed since a time, or all events. Raises Unavailable."""
        last = await self._reader.place()
        first = await self._reader.place_before(since) if since is not None else None
        self._since = first is not None
        events = Lookahead(self._reader.events(first, last))
        async for seals in self._reader.rounds(first, last):
            await self._verify_round(seals, events)
            self._progress(self._events, self._seals)
        while (row := await events.next_up_to(position_of(last.tx, last.id))) is not None:
            self._take_event(row)
        for chain in self.chains.values():
            if chain.rows:
                chain.found(finding(chain.tenant_id, "added", event_id=chain.rows[0].event.id))
        return await self._report(last)

    async def _report(self, last: Place) -> Report:
        unknown = [chain for chain in self.chains.values() if chain.key_is_known is False]
        # An unknown key of all chains is another JWT_SECRET. That of one chain is not.
        if len(unknown) < sum(chain.key_is_known is not None for chain in self.chains.values()):
            for chain in unknown:
                chain.finding = chain.finding or finding(chain.tenant_id, "mac", seq=chain.seq)
            unknown = []
        findings = [chain.finding for chain in self.chains.values() if chain.finding is not None]
        unsealed = await self._reader.count_unsealed(last)
        findings.sort(key=lambda one: one.tenant_id)
        return Report(len(self.chains), self._seals, self._events, unsealed, len(unknown), findings)

    async def _verify_round(self, seals: list[Seal], events: "Lookahead") -> None:
        expected = 0
        for seal in seals:
            self._seals += 1
            chain = self._chain(seal.tenant_id)
            if self._since and chain.seq == 0 and seal.seq > 1:
                await self._begin(chain, seal)
            if chain.finding is None:
                self._verify_seal(chain, seal)
            elif chain.finding.kind == "added" and pack_id(chain.finding.event_id or "", EVENT) in packed_ids(seal):
                chain.finding = finding(seal.tenant_id, "moved", event_id=chain.finding.event_id, seq=seal.seq)
            expected += seal.events
        end = max(position_of(seal.last_tx, seal.last_id) for seal in seals)
        left = expected + MAX_EXTRA
        while left and (row := await events.next_up_to(end)) is not None:
            self._take_event(row)
            left -= 1
        for seal in seals:
            chain = self._chain(seal.tenant_id)
            if chain.finding is None:
                await self._compare(chain, seal, chain.take(position_of(seal.last_tx, seal.last_id)))

    def _chain(self, tenant_id: str) -> Chain:
        if tenant_id not in self.chains:
            self.chains[tenant_id] = Chain(tenant_id)
        return self.chains[tenant_id]

    def _take_event(self, row: EventRow) -> None:
        self._events += 1
        self._chain(row.tenant_id).add(row)

    async def _begin(self, chain: Chain, seal: Seal) -> None:
        """Continue from the seal before the first one that is read."""
        before = await self._reader.find_seal(seal.tenant_id, seal.seq - 1)
        if before is not None:
            chain.seq, chain.head = before.seq, before.head

    def _verify_seal(self, chain: Chain, seal: Seal) -> None:
        """Check a seal by itself, its place in the chain, and its MAC."""
        head = next_head(chain.head, seal.seq, seal.sealed_at, seal.root)
        is_consistent = (
            len(seal.ids) == seal.events * ID_BYTES
            and len(seal.leaves) == seal.events * LEAF_BYTES
            and hashlib.sha256(seal.leaves).digest() == seal.root
            and (seal.events == 0 or packed_ids(seal)[-1] == pack_id(seal.last_id, EVENT))
        )
        if seal.seq != chain.seq + 1 or head != seal.head or not is_consistent:
            chain.found(finding(seal.tenant_id, "chain", seq=min(seal.seq, chain.seq + 1)))
            return
        chain.seq, chain.head = seal.seq, seal.head
        key = self._keys.get(seal.key)
        # After a seal under a known key there is none under an unknown one.
        is_valid = hmac.compare_digest(key.mac(head), seal.mac) if key is not None else not chain.key_is_known
        if not is_valid:
            chain.found(finding(seal.tenant_id, "mac", seq=seal.seq))
            return
        chain.key_is_known = key is not None

    async def _compare(self, chain: Chain, seal: Seal, rows: list[SealedRow]) -> None:
        """Compare the events of a seal. Missing ones are looked for elsewhere, and allowed below a purge."""
        found = compare(seal, rows, chain.purged_below)
        if found is not None and found.kind == "missing":
            chain.purged_below = await self._purged_below(seal.tenant_id)
            found = compare(seal, rows, chain.purged_below)
        if found is not None and found.kind == "missing" and found.event_id is not None:
            found = await self._moved(found, seal)
        if found is not None:
            chain.found(found)

    async def _moved(self, missing: Finding, seal: Seal) -> Finding:
        """Return the finding for an event that is not at its place."""
        for row in await self._reader.find_events(list(self.chains), missing.event_id or ""):
            if row.tenant_id == missing.tenant_id and leaf(row) in seal.leaves:
                return finding(missing.tenant_id, "chain", seq=seal.seq)  # the event is intact, the seal is not
            return finding(missing.tenant_id, "moved", event_id=missing.event_id, seq=seal.seq)
        return missing

    async def _purged_below(self, tenant_id: str) -> str:
        """Return the id below which a purge may have deleted events, if its mark is in the chain."""
        mark = await self._reader.last_purge(tenant_id)
        if mark is None:
            return ""
        for seal in await self._reader.seals_around(mark):
            ids = packed_ids(seal)
            packed = pack_id(mark.id, EVENT)
            if packed in ids:
                at = ids.index(packed) * LEAF_BYTES
                key = self._keys.get(seal.key)
                is_authentic = key is None or hmac.compare_digest(key.mac(seal.head), seal.mac)
                if is_authentic and seal.leaves[at : at + LEAF_BYTES] == leaf(mark):
                    return msgspec.json.decode(mark.data, type=_Data).before_id
        return ""


class Lookahead:
    """A stream of events that can be read up to a place."""

    def __init__(self, events: AsyncGenerator[EventRow, None]) -> None:
        self._events = events
        self._next: EventRow | None = None

    async def next_up_to(self, end: Position) -> EventRow | None:
        """Return the next event if it is not after a place."""
        if self._next is None:
            self._next = await anext(self._events, None)
        if self._next is None or position_of(self._next.tx, self._next.id) > end:
            return None
        row, self._next = self._next, None
        return row
