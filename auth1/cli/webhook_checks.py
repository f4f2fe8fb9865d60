"""Checks of webhooks for `auth1 doctor`."""

import asyncpg

from auth1.config.checklist import Finding
from auth1.config.settings import Settings
from auth1.core.crypto import Keyring
from auth1.core.postgres.queries import Queries
from auth1.endpoint_secrets import current_seal

_QUERIES = Queries("webhooks")
CONNECT_S = 5


async def check_secrets(settings: Settings) -> list[Finding]:
    """Count the webhooks with a secret that JWT_SECRET has not encrypted. After a restart there should be none."""
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=CONNECT_S, statement_cache_size=0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []  # check_database reports it
    try:
        seal = current_seal(Keyring(settings.jwt_secret))
        count = await connection.fetchval(_QUERIES["count_outdated_secrets"].text, seal)
    except asyncpg.UndefinedTableError:
        return []  # check_migrations reports it
    finally:
        await connection.close()
    if not count:
        return [Finding("webhook secrets", "ok", "JWT_SECRET encrypts the secrets of all webhooks.")]
    message = f"JWT_SECRET does not encrypt the secrets of {count} webhooks."
    fix = "set JWT_SECRET_PREVIOUS to the secret before, and restart; or rotate the secrets of these webhooks"
    return [Finding("webhook secrets", "warn", message, fix)]
