"""Seal final events: one seal per tenant and round, each bound to the seal before by its head.

leaf = SHA-256 of an event's canonical row · root = SHA-256 of the leaves in the order of (tx, id) ·
head = SHA-256(head before ‖ seq ‖ time ‖ root) · mac = HMAC-SHA256 of the head. The first head follows a digest of the
tenant's id, so no chain can stand for another. The newest MAC authenticates the whole chain.

Before a chain is continued, the MAC of its last seal is checked. If it is wrong, the next head does not follow from the
last one: the chain is broken for good, and every verification finds it.
"""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from auth1 import metrics
from auth1.audit.sealing import store
from auth1.audit.sealing.canonical import leaf
from auth1.audit.sealing.store import ChainEnd, Seal
from auth1.core.crypto import Keyring
from auth1.core.ids import pack_id
from auth1.core.postgres import Transaction
from auth1.events import reader
from auth1.events.reader import EventRow, Place
from auth1.services import Services

READER = "seals"
EVENT = "evt"  # the prefix of ids
LEAF_BYTES = 32
ID_BYTES = 16
KEY_BYTES = 4
EMPTY_ROOT = hashlib.sha256().digest()
MAX_CHAINS = 1000  # that get an empty seal in one round

_PURPOSE = "event seals"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _OutdatedSecret(Exception):
    """The last seal of a chain has an unknown key."""


class SealKey(NamedTuple):
    """A key of the MACs, and the bytes that identify it without revealing it."""

    name: bytes
    secret: bytes

    def mac(self, head: bytes) -> bytes:
        """Return the MAC of a head."""
        return hmac.digest(self.secret, head, "sha256")


def seal_keys(keyring: Keyring) -> list[SealKey]:
    """Return the keys of the accepted secrets; the first one seals."""
    keys = keyring.derive_all(_PURPOSE)
    names = keyring.derive_all(f"{_PURPOSE} key")
    return [SealKey(name[:KEY_BYTES], key) for name, key in zip(names, keys, strict=True)]


def first_head(tenant_id: str) -> bytes:
    """Return the head before the first seal of a tenant."""
    return hashlib.sha256(f"auth1 event seals\n{tenant_id}".encode()).digest()


def next_head(previous: bytes, seq: int, sealed_at: datetime, root: bytes) -> bytes:
    """Return the head of a seal."""
    microseconds = (sealed_at - _EPOCH) // _MICROSECOND
    return hashlib.sha256(
        previous + seq.to_bytes(8, "big") + microseconds.to_bytes(8, "big", signed=True) + root
    ).digest()


async def seal_once(app: Services) -> int:
    """Seal the next events of all tenants; return their number.

    A worker that does not know the key of a chain has an outdated secret. It leaves the work to newer workers.
    """
    keys = seal_keys(app.keyring)

    async def seal(transaction: Transaction, place: Place, events: list[EventRow]) -> None:
        by_tenant = defaultdict[str, list[EventRow]](list)
        for event in events:
            by_tenant[event.tenant_id].append(event)
        known = {key.name for key in keys}
        ends = dict[str, ChainEnd]()
        for end in await store.chain_ends(transaction, list(by_tenant)):
            if end.key not in known:
                raise _OutdatedSecret(end.tenant_id)
            ends[end.tenant_id] = _checked(app, keys, end)
        seals = [
            seal_events(tenant_id, rows, ends.get(tenant_id), place, keys[0]) for tenant_id, rows in by_tenant.items()
        ]
        await store.insert_seals(transaction, seals)

    try:
        sealed = await reader.follow(app.postgres, READER, seal)
    except _OutdatedSecret as error:
        app.log.warn("another instance seals with another JWT_SECRET; this one does not seal", tenant_id=str(error))
        return 0
    metrics.EVENTS_SEALED.inc(sealed)
    return sealed


def seal_events(tenant_id: str, events: Sequence[EventRow], end: ChainEnd | None, place: Place, key: SealKey) -> Seal:
    """Return the next seal of a tenant's chain; without events an empty one."""
    leaves = b"".join([leaf(event) for event in events])
    root = hashlib.sha256(leaves).digest()
    seq = end.seq + 1 if end is not None else 1
    previous = end.head if end is not None else first_head(tenant_id)
    head = next_head(previous, seq, place.started_at, root)
    first_tx = events[0].tx if events else end.last_tx if end is not None else "0"
    last_tx, last_id = (events[-1].tx, events[-1].id) if events else (first_tx, end.last_id if end is not None else "")
    return Seal(
        tenant_id=tenant_id,
        seq=seq,
        round=place.round + 1,
        first_tx=first_tx,
        last_tx=last_tx,
        last_id=last_id,
        events=len(events),
        ids=b"".join([pack_id(event.id, EVENT) for event in events]),
        leaves=leaves,
        root=root,
        head=head,
        mac=key.mac(head),
        key=key.name,
        sealed_at=place.started_at,
    )


async def continue_chains(app: Services) -> None:
    """Append an empty seal under the current secret to each chain that ends under another one.

    A worker calls it when it starts, because the secret changes with a restart.
    """
    keys = seal_keys(app.keyring)
    after: str | None = ""

    async def append(transaction: Transaction) -> str | None:
        place = await store.lock_place(transaction, READER)
        ends = await store.list_chain_ends(transaction, after or "", MAX_CHAINS)
        others = [_checked(app, keys, end) for end in ends if end.key != keys[0].name]
        if others:
            seals = [seal_events(end.tenant_id, (), end, place, keys[0]) for end in others]
            await store.insert_seals(transaction, seals)
            await store.count_round(transaction, READER)
        return ends[-1].tenant_id if len(ends) == MAX_CHAINS else None

    while after is not None:
        after = await app.postgres.in_transaction(append)


def _checked(app: Services, keys: Iterable[SealKey], end: ChainEnd) -> ChainEnd:
    """Return the end of a chain to continue; with another head if its MAC is wrong."""
    for key in keys:
        if key.name == end.key:
            if hmac.compare_digest(key.mac(end.head), end.mac):
                return end
            metrics.EVENT_CHAIN_ERRORS.inc()
            app.log.error("the last seal has a wrong MAC; run auth1 audit verify", tenant_id=end.tenant_id, seq=end.seq)
            return end._replace(head=hashlib.sha256(b"wrong mac" + end.head).digest())
    app.log.warn("JWT_SECRET was replaced without JWT_SECRET_PREVIOUS", tenant_id=end.tenant_id, seq=end.seq)
    return end


async def seal_until_cancelled(app: Services) -> None:
    """Seal events. First of all, chains of an earlier secret get an empty seal."""
    is_continued = False

    async def seal_next() -> int:
        nonlocal is_continued
        if not is_continued:
            await continue_chains(app)
            is_continued = True
        return await seal_once(app)

    await reader.run_rounds(app.log, seal_next)
