"""Checks of webhooks and hooks for `auth1 doctor`."""

import asyncpg

from auth1.config.checklist import Finding
from auth1.config.settings import Settings
from auth1.core.crypto import Keyring
from auth1.core.postgres.queries import Queries, Query
from auth1.endpoint_secrets import current_seal

_OUTDATED_WEBHOOKS = Queries("endpoint_secrets")["count_webhook_secrets"]
_OUTDATED_HOOKS = Queries("endpoint_secrets")["count_hook_secrets"]
CONNECT_S = 5


async def check_secrets(settings: Settings) -> list[Finding]:
    """Count the webhooks with a secret that JWT_SECRET has not encrypted. After a restart there should be none."""
    return await _check(settings, _OUTDATED_WEBHOOKS, "webhook")


async def check_hook_secrets(settings: Settings) -> list[Finding]:
    """Count the hooks with a secret that JWT_SECRET has not encrypted."""
    return await _check(settings, _OUTDATED_HOOKS, "hook")


async def _check(settings: Settings, query: Query, name: str) -> list[Finding]:
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=CONNECT_S, statement_cache_size=0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []  # check_database reports it
    try:
        count = await connection.fetchval(query.text, current_seal(Keyring(settings.jwt_secret)))
    except asyncpg.UndefinedTableError:
        return []  # check_migrations reports it
    finally:
        await connection.close()
    if not count:
        return [Finding(f"{name} secrets", "ok", f"JWT_SECRET encrypts the secrets of all {name}s.")]
    message = f"JWT_SECRET does not encrypt the secrets of {count} {name}s."
    fix = f"set JWT_SECRET_PREVIOUS to the secret before, and restart; or rotate the secrets of these {name}s"
    return [Finding(f"{name} secrets", "warn", message, fix)]
