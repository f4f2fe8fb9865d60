"""The head of each chain of seals: on stdout each minute and at shutdown, and for a tenant.

Events that are deleted together with their seals leave no gap. So the heads must also be kept outside of the database.
"""

from datetime import datetime

from auth1.audit.sealing import store
from auth1.core.http.request import Request
from auth1.core.postgres import Transaction
from auth1.core.schemas import Out
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin

INTERVAL_S = 60.0
LINE = "audit.head"
PAGE = 1000
MAX_UNSEALED = 20_000  # events of all tenants that are counted


class ChainHead(Out):
    """The head of a tenant's chain of seals; null before the first seal. Keep it to detect a removed end later."""

    seq: int
    head: str | None  # hexadecimal
    mac: str | None
    key: str | None  # identifies the key of the MAC
    sealed_at: datetime | None
    unsealed: int  # events that are newer than the last seal


async def get_head(app: Services, request: Request[TenantAdmin]) -> ChainHead:
    """Return the head of the chain of seals, and the number of events that are not sealed yet."""
    found = await store.find_head(app.postgres, request.caller.tenant_id, MAX_UNSEALED)
    return ChainHead(
        seq=found.seq or 0,
        head=found.head.hex() if found.head is not None else None,
        mac=found.mac.hex() if found.mac is not None else None,
        key=found.key.hex() if found.key is not None else None,
        sealed_at=found.sealed_at,
        unsealed=found.unsealed,
    )


async def write_heads(app: Services) -> None:
    """Write a line for each chain that grew since the last time. One process writes; a crash repeats lines."""

    async def write(transaction: Transaction) -> None:
        rounds = await store.lock_heads(transaction)
        if rounds is None or rounds.written == rounds.sealed:
            return
        after: str | None = ""
        while after is not None:
            ends = await store.list_heads(transaction, rounds, after, PAGE)
            for end in ends:
                app.log.record(
                    LINE,
                    tenant_id=end.tenant_id,
                    seq=end.seq,
                    head=end.head.hex(),
                    mac=end.mac.hex(),
                    key=end.key.hex(),
                    sealed_at=end.sealed_at,
                )
            after = ends[-1].tenant_id if len(ends) == PAGE else None
        await store.advance_heads(transaction, rounds.sealed)

    await app.postgres.in_transaction(write)
