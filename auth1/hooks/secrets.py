"""Encrypt the secrets of hooks again when JWT_SECRET has changed."""

from typing import NamedTuple

from auth1.core.crypto import Keyring
from auth1.core.postgres import Postgres, Queries
from auth1.endpoint_secrets import current_seal, encrypt_again
from auth1.hooks.config import HookName

_QUERIES = Queries("hooks")
_ROWS = 500


class _ListOldSecrets(NamedTuple):
    prefix: bytes
    after_tenant: str
    after_name: str
    max_rows: int


class _SecretsRow(NamedTuple):
    tenant_id: str
    name: HookName
    secret: bytes
    previous_secret: bytes | None


class _ReplaceSecrets(NamedTuple):
    tenant_id: str
    name: HookName
    old_secret: bytes
    secret: bytes
    previous_secret: bytes | None


class _TenantId(NamedTuple):
    tenant_id: str


_LIST_OLD_SECRETS = _QUERIES.statement("list_old_secrets", _ListOldSecrets, _SecretsRow)
_REPLACE_SECRETS = _QUERIES.statement("replace_secrets", _ReplaceSecrets, _TenantId)


async def encrypt_all_again(postgres: Postgres, keyring: Keyring) -> int:
    """Encrypt the secrets of all hooks under the current JWT_SECRET; return the number of hooks that changed.

    A secret that no accepted JWT_SECRET decrypts stays as it is.
    """
    changed, after = 0, ("", "")
    while True:
        params = _ListOldSecrets(current_seal(keyring), *after, _ROWS)
        rows = await postgres.rows(_LIST_OLD_SECRETS, params)
        for row in rows:
            secret = encrypt_again(keyring, row.tenant_id, row.name, row.secret)
            if secret is None:
                continue
            previous = row.previous_secret and encrypt_again(keyring, row.tenant_id, row.name, row.previous_secret)
            replaced = _ReplaceSecrets(row.tenant_id, row.name, row.secret, secret, previous)
            changed += await postgres.row(_REPLACE_SECRETS, replaced) is not None
        if len(rows) < _ROWS:
            return changed
        after = (rows[-1].tenant_id, rows[-1].name)
