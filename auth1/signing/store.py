"""The statements of signing keys."""

from typing import Literal, NamedTuple

import msgspec

from auth1.core.crypto import Keyring
from auth1.core.postgres import NO_PARAMS, NoParams, Postgres, Queries, Transaction
from auth1.endpoint_secrets import encrypt_secret
from auth1.row_keys import TenantKey
from auth1.signing.keys import Alg, NewSigningKey

State = Literal["next", "active", "retiring"]
MAX_ROWS = 100  # of one round of the rotation

_QUERIES = Queries("signing")


class StoredKey(NamedTuple):
    """A key of a tenant. `public` is a JWK as JSON, `box` the encrypted private key."""

    kid: str
    alg: Alg
    public: str
    box: bytes
    state: State


class _InsertKey(NamedTuple):
    tenant_id: str
    kid: str
    alg: Alg
    public: str
    box: bytes
    state: State


class _RetireKey(NamedTuple):
    tenant_id: str
    kid: str
    published_s: int


class _ActivateKey(NamedTuple):
    tenant_id: str
    alg: Alg


class _Kid(NamedTuple):
    kid: str


class _Ageing(NamedTuple):
    age_s: int
    max_rows: int


class AgeingKey(NamedTuple):
    """A tenant and an algorithm whose key needs a successor."""

    tenant_id: str
    alg: Alg


class _Old(NamedTuple):
    age_s: int
    published_s: int
    max_rows: int


class OldKey(NamedTuple):
    """A key to replace by its successor."""

    tenant_id: str
    alg: Alg
    kid: str


_LIST = _QUERIES.statement("list_signing_keys", TenantKey, StoredKey)
_INSERT = _QUERIES.statement("insert_signing_key", _InsertKey, NoParams)
_RETIRE = _QUERIES.statement("retire_signing_key", _RetireKey, _Kid)
_ACTIVATE = _QUERIES.statement("activate_signing_key", _ActivateKey, _Kid)
_LIST_AGEING = _QUERIES.statement("list_ageing_signing_keys", _Ageing, AgeingKey)
_LIST_OLD = _QUERIES.statement("list_old_signing_keys", _Old, OldKey)
_DELETE_RETIRED = _QUERIES.statement("delete_retired_signing_keys", NoParams, NoParams)


async def list_keys(postgres: Postgres, tenant_id: str) -> list[StoredKey]:
    """List the keys of a tenant or sandbox, newest first."""
    return await postgres.rows(_LIST, TenantKey(tenant_id))


async def insert_key(
    postgres: Postgres, keyring: Keyring, tenant_id: str, alg: Alg, new: NewSigningKey, state: State
) -> None:
    """Store a key, unless the tenant has one in this state."""
    public = msgspec.json.encode(new.jwk).decode()
    box = encrypt_secret(keyring, tenant_id, new.kid, new.private)
    await postgres.row(_INSERT, _InsertKey(tenant_id, new.kid, alg, public, box, state))


async def retire_key(postgres: Postgres, tenant_id: str, kid: str, published_s: int) -> None:
    """Make a key sign no longer; it stays published for some time."""
    await postgres.row(_RETIRE, _RetireKey(tenant_id, kid, published_s))


async def replace_key(postgres: Postgres, old: OldKey, published_s: int) -> bool:
    """Make the next key sign instead of the active one. Return False if another worker did it."""

    async def work(transaction: Transaction) -> bool:
        if await transaction.row(_RETIRE, _RetireKey(old.tenant_id, old.kid, published_s)) is None:
            return False
        await transaction.row(_ACTIVATE, _ActivateKey(old.tenant_id, old.alg))
        return True

    return await postgres.in_transaction(work)


async def list_ageing_keys(postgres: Postgres, age_s: int) -> list[AgeingKey]:
    """List the keys that have signed for `age_s` and have no successor."""
    return await postgres.rows(_LIST_AGEING, _Ageing(age_s, MAX_ROWS))


async def list_old_keys(postgres: Postgres, age_s: int, published_s: int) -> list[OldKey]:
    """List the keys that have signed for `age_s`, with a successor that has been published for `published_s`."""
    return await postgres.rows(_LIST_OLD, _Old(age_s, published_s, MAX_ROWS))


async def delete_retired_keys(postgres: Postgres) -> None:
    """Delete the keys that are no longer published."""
    await postgres.rows(_DELETE_RETIRED, NO_PARAMS)
