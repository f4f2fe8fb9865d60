"""Encrypt the secrets of hooks again after a change of JWT_SECRET, when a worker starts."""

import asyncio
from typing import NamedTuple

from auth1.core.crypto import Keyring
from auth1.core.postgres import Postgres, Queries
from auth1.endpoint_secrets import current_seal, encrypt_again
from auth1.errors import Unavailable
from auth1.hooks.config import HookName
from auth1.services import Services

_QUERIES = Queries("hooks")
_ROWS = 500
RETRY_S = 5.0


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


async def renew_secrets(app: Services) -> None:
    """Encrypt the secrets of all hooks under the current JWT_SECRET; repeat it until PostgreSQL is available."""
    while True:
        try:
            lost = await encrypt_all_again(app.postgres, app.keyring)
        except Unavailable:
            await asyncio.sleep(RETRY_S)
            continue
        if lost:
            app.log.warn("JWT_SECRET was replaced without JWT_SECRET_PREVIOUS; rotate the secrets of hooks", hooks=lost)
        return


async def encrypt_all_again(postgres: Postgres, keyring: Keyring) -> int:
    """Encrypt the secrets of all hooks under the current JWT_SECRET.

    A secret that no accepted JWT_SECRET decrypts stays as it is. Returns the number of these. Raises Unavailable.
    """
    lost, after = 0, ("", "")
    while rows := await postgres.rows(_LIST_OLD_SECRETS, _ListOldSecrets(current_seal(keyring), *after, _ROWS)):
        for row in rows:
            secret = encrypt_again(keyring, row.tenant_id, row.name, row.secret)
            if secret is None:
                lost += 1
                continue
            previous = row.previous_secret and encrypt_again(keyring, row.tenant_id, row.name, row.previous_secret)
            await postgres.row(_REPLACE_SECRETS, _ReplaceSecrets(row.tenant_id, row.name, row.secret, secret, previous))
        after = (rows[-1].tenant_id, rows[-1].name)
    return lost
