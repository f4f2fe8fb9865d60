"""The statements of seals."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import NoParams, Postgres, Queries, Transaction
from auth1.events.reader import Place

_QUERIES = Queries("audit")


class Seal(NamedTuple):
    """A seal, with the columns of its row."""

    tenant_id: str
    seq: int
    round: int
    first_tx: str
    last_tx: str
    last_id: str
    events: int
    ids: bytes
    leaves: bytes
    root: bytes
    head: bytes
    mac: bytes
    key: bytes
    sealed_at: datetime


class ChainEnd(NamedTuple):
    """The last seal of a chain."""

    tenant_id: str
    seq: int
    head: bytes
    mac: bytes
    key: bytes
    last_tx: str
    last_id: str
    sealed_at: datetime


class Head(NamedTuple):
    """The last seal of one tenant, if it has one, and the number of events after it."""

    seq: int | None
    head: bytes | None
    mac: bytes | None
    key: bytes | None
    sealed_at: datetime | None
    unsealed: int


class Rounds(NamedTuple):
    """The last round whose heads are written, and the last one with seals."""

    written: int
    sealed: int


class _TenantIds(NamedTuple):
    tenant_ids: list[str]


class _After(NamedTuple):
    after: str
    max_rows: int


class _Name(NamedTuple):
    name: str


class _HeadsPage(NamedTuple):
    first_round: int
    last_round: int
    after: str
    max_rows: int


class _Round(NamedTuple):
    round: int


class _OfTenant(NamedTuple):
    tenant_id: str
    max_rows: int


class _InsertSeals(NamedTuple):
    tenant_ids: list[str]
    seqs: list[int]
    first_txs: list[str]
    last_txs: list[str]
    last_ids: list[str]
    counts: list[int]
    ids: list[bytes]
    leaves: list[bytes]
    roots: list[bytes]
    heads: list[bytes]
    macs: list[bytes]
    round: int
    key: bytes
    sealed_at: datetime


_CHAIN_ENDS = _QUERIES.statement("chain_ends", _TenantIds, ChainEnd)
_LIST_CHAIN_ENDS = _QUERIES.statement("list_chain_ends", _After, ChainEnd)
_LOCK_PLACE = _QUERIES.statement("lock_place", _Name, Place)
_COUNT_ROUND = _QUERIES.statement("count_round", _Name, NoParams)
_INSERT_SEALS = _QUERIES.statement("insert_seals", _InsertSeals, NoParams)
_LOCK_HEADS = _QUERIES.statement("lock_heads", NoParams, Rounds)
_LIST_HEADS = _QUERIES.statement("list_heads", _HeadsPage, ChainEnd)
_ADVANCE_HEADS = _QUERIES.statement("advance_heads", _Round, NoParams)
_FIND_HEAD = _QUERIES.statement("find_head", _OfTenant, Head)


async def chain_ends(transaction: Transaction, tenant_ids: list[str]) -> list[ChainEnd]:
    """Return the last seals of tenants that have one."""
    return await transaction.rows(_CHAIN_ENDS, _TenantIds(tenant_ids))


async def list_chain_ends(transaction: Transaction, after: str, limit: int) -> list[ChainEnd]:
    """Return the last seals of the next tenants."""
    return await transaction.rows(_LIST_CHAIN_ENDS, _After(after, limit))


async def lock_place(transaction: Transaction, reader: str) -> Place:
    """Wait for the row of a reader, and lock it."""
    place = await transaction.row(_LOCK_PLACE, _Name(reader))
    assert place is not None, "a migration makes it"
    return place


async def count_round(transaction: Transaction, reader: str) -> None:
    """Count a round that read no events."""
    await transaction.row(_COUNT_ROUND, _Name(reader))


async def insert_seals(transaction: Transaction, seals: Sequence[Seal]) -> None:
    """Insert the seals of a round."""
    columns = [list(column) for column in zip(*seals, strict=True)]
    by_name = dict(zip(Seal._fields, columns, strict=True))
    await transaction.row(
        _INSERT_SEALS,
        _InsertSeals(
            tenant_ids=by_name["tenant_id"],
            seqs=by_name["seq"],
            first_txs=by_name["first_tx"],
            last_txs=by_name["last_tx"],
            last_ids=by_name["last_id"],
            counts=by_name["events"],
            ids=by_name["ids"],
            leaves=by_name["leaves"],
            roots=by_name["root"],
            heads=by_name["head"],
            macs=by_name["mac"],
            round=seals[0].round,
            key=seals[0].key,
            sealed_at=seals[0].sealed_at,
        ),
    )


async def lock_heads(transaction: Transaction) -> Rounds | None:
    """Lock the row of written heads; None while another process writes them."""
    return await transaction.row(_LOCK_HEADS, NoParams())


async def list_heads(transaction: Transaction, rounds: Rounds, after: str, limit: int) -> list[ChainEnd]:
    """Return the last seals of the next chains that grew in the rounds."""
    return await transaction.rows(_LIST_HEADS, _HeadsPage(rounds.written, rounds.sealed, after, limit))


async def advance_heads(transaction: Transaction, last_round: int) -> None:
    """Store that all heads up to a round are written."""
    await transaction.row(_ADVANCE_HEADS, _Round(last_round))


async def find_head(postgres: Postgres, tenant_id: str, max_rows: int) -> Head:
    """Return the head of a tenant's chain, and the number of its unsealed events among the next ones of all tenants."""
    found = await postgres.row(_FIND_HEAD, _OfTenant(tenant_id, max_rows))
    assert found is not None, "the statement always returns a row"
    return found
