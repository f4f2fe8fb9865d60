"""Compare the events of a tenant with one of its seals, and name the first difference."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from auth1.audit.sealing.canonical import leaf
from auth1.audit.sealing.seals import EVENT, ID_BYTES, LEAF_BYTES
from auth1.audit.sealing.store import Seal
from auth1.core.ids import pack_id, unpack_id
from auth1.core.schemas import Out
from auth1.events.reader import EventRow

Kind = Literal["changed", "missing", "added", "moved", "chain", "mac", "removed tail"]
MESSAGES: dict[Kind, str] = {
    "changed": "The event differs from its digest in the seal.",
    "missing": "The seal contains an event that the table lacks.",
    "added": "No seal contains the event: it was added later, or its seal was removed.",
    "moved": "The event is at another place than in its seal.",
    "chain": "The seal is missing, was changed, or does not follow from the one before.",
    "mac": "The seal was not made with JWT_SECRET.",
    "removed tail": "The log has a head of a seal that the table lacks: the end of the chain was removed.",
}


class Finding(Out):
    """The first wrong event or seal of a tenant."""

    tenant_id: str
    kind: Kind
    event_id: str | None
    seq: int | None
    message: str


class SealedRow(NamedTuple):
    """An event as the table has it, and its digest."""

    event: EventRow
    leaf: bytes


def finding(tenant_id: str, kind: Kind, *, event_id: str | None = None, seq: int | None = None) -> Finding:
    """Return a finding with the message of its kind."""
    return Finding(tenant_id, kind, event_id, seq, MESSAGES[kind])


def packed_ids(seal: Seal) -> list[bytes]:
    """Return the ids of a seal, 16 bytes each."""
    return [seal.ids[at : at + ID_BYTES] for at in range(0, len(seal.ids), ID_BYTES)]


def compare(seal: Seal, rows: Sequence[SealedRow], purged_below: str) -> Finding | None:
    """Return the first difference; None if there is none. Events with ids below `purged_below` may be missing."""
    if b"".join([row.leaf for row in rows]) == seal.leaves:
        ids = b"".join([pack_id(row.event.id, EVENT) for row in rows])
        is_right = ids == seal.ids and (
            not rows or (rows[0].event.tx, rows[-1].event.tx) == (seal.first_tx, seal.last_tx)
        )
        return None if is_right else finding(seal.tenant_id, "chain", seq=seal.seq)
    sealed = packed_ids(seal)
    digests = [seal.leaves[at : at + LEAF_BYTES] for at in range(0, len(seal.leaves), LEAF_BYTES)]
    found = {pack_id(row.event.id, EVENT): row for row in rows}
    known = set(sealed)
    added = [row for row in rows if pack_id(row.event.id, EVENT) not in known]
    order = {packed: number for number, packed in enumerate(one for one in found if one in known)}
    present = 0
    for packed, digest in zip(sealed, digests, strict=True):
        row = found.get(packed)
        event_id = unpack_id(packed, EVENT)
        if row is None:
            if event_id < purged_below:
                continue
            if any(leaf(other.event._replace(id=event_id)) == digest for other in added):
                return finding(seal.tenant_id, "changed", event_id=event_id, seq=seal.seq)
            if any(other.leaf == digest for other in added):
                return finding(seal.tenant_id, "chain", seq=seal.seq)  # its ids were changed, not the event
            return finding(seal.tenant_id, "missing", event_id=event_id, seq=seal.seq)
        if row.leaf != digest:
            kind: Kind = "moved" if order[packed] != present else "changed"
            return finding(seal.tenant_id, kind, event_id=event_id, seq=seal.seq)
        present += 1
    last = found.get(sealed[-1]) if sealed else None
    if last is not None and last.event.tx != seal.last_tx:
        return finding(seal.tenant_id, "chain", seq=seal.seq)
    if added:
        return finding(seal.tenant_id, "added", event_id=added[0].event.id, seq=seal.seq)
    return None
