"""Encrypt secrets of webhooks and hooks, and signing keys, again after a change of JWT_SECRET, when a worker starts."""

import asyncio
from typing import NamedTuple

from auth1.core.crypto import Keyring
from auth1.core.postgres import NoParams, Postgres, Queries, Statement
from auth1.endpoint_secrets import current_seal, encrypt_again
from auth1.errors import Unavailable
from auth1.services import Services

_QUERIES = Queries("endpoint_secrets")
_ROWS = 200
RETRY_S = 5.0


class _Page(NamedTuple):
    seal: bytes
    after_tenant: str
    after: str
    max_rows: int


class _Secrets(NamedTuple):
    tenant_id: str
    endpoint_id: str
    secret: bytes
    previous_secret: bytes | None


class _Replace(NamedTuple):
    tenant_id: str
    endpoint_id: str
    secret: bytes
    previous_secret: bytes | None
    new_secret: bytes
    new_previous_secret: bytes | None


_LIST_WEBHOOKS = _QUERIES.statement("list_webhook_secrets", _Page, _Secrets)
_LIST_HOOKS = _QUERIES.statement("list_hook_secrets", _Page, _Secrets)
_LIST_SIGNING_KEYS = _QUERIES.statement("list_signing_key_secrets", _Page, _Secrets)
_REPLACE_WEBHOOK = _QUERIES.statement("replace_webhook_secrets", _Replace, NoParams)
_REPLACE_HOOK = _QUERIES.statement("replace_hook_secrets", _Replace, NoParams)
_REPLACE_SIGNING_KEY = _QUERIES.statement("replace_signing_key_secrets", _Replace, NoParams)


async def renew_secrets(app: Services) -> None:
    """Encrypt all secrets under the current JWT_SECRET; repeat it until PostgreSQL is available."""
    while True:
        try:
            lost = await encrypt_all_again(app.postgres, app.keyring)
        except Unavailable:
            await asyncio.sleep(RETRY_S)
            continue
        if any(lost.values()):
            app.log.warn("JWT_SECRET was replaced without JWT_SECRET_PREVIOUS; rotate these secrets", **lost)
        return


async def encrypt_all_again(postgres: Postgres, keyring: Keyring) -> dict[str, int]:
    """Encrypt all secrets under the current JWT_SECRET; return how many `webhooks` and `hooks` have lost theirs.

    A secret that no accepted JWT_SECRET decrypts stays as it is; `auth1 doctor` counts these. A lost signing key is
    replaced when it is needed. Raises Unavailable.
    """
    await _encrypt_table(postgres, keyring, _LIST_SIGNING_KEYS, _REPLACE_SIGNING_KEY)
    return {
        "webhooks": await _encrypt_table(postgres, keyring, _LIST_WEBHOOKS, _REPLACE_WEBHOOK),
        "hooks": await _encrypt_table(postgres, keyring, _LIST_HOOKS, _REPLACE_HOOK),
    }


async def _encrypt_table(
    postgres: Postgres, keyring: Keyring, listing: Statement[_Page, _Secrets], replacing: Statement[_Replace, NoParams]
) -> int:
    lost, after = 0, ("", "")
    while rows := await postgres.rows(listing, _Page(current_seal(keyring), *after, _ROWS)):
        for row in rows:
            secret = encrypt_again(keyring, row.tenant_id, row.endpoint_id, row.secret)
            if secret is None:
                lost += 1
                continue
            previous = row.previous_secret and encrypt_again(
                keyring, row.tenant_id, row.endpoint_id, row.previous_secret
            )
            await postgres.row(replacing, _Replace(*row, secret, previous))
        after = rows[-1].tenant_id, rows[-1].endpoint_id
    return lost
