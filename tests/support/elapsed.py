"""Change stored times as if time had passed."""

import asyncpg

from auth1.sessions.guards import RECENT_LOGIN_S


async def end_resend_delay(database: asyncpg.Connection, identifier: str) -> None:
    """End the delay before the next code of an identifier."""
    await database.execute("update identifiers set resend_at = now() where identifier = $1", identifier)


async def end_recent_logins(database: asyncpg.Connection, tenant_id: str) -> None:
    """Make all sessions of a tenant too old for a change that needs a recent login."""
    older = "update sessions set created_at = created_at - ($2::int + 60) * interval '1 s' where tenant_id = $1"
    await database.execute(older, tenant_id, RECENT_LOGIN_S)
