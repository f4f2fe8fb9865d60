"""Detects a connection pooler, such as PgBouncer in transaction mode, that the settings do not allow for."""

import asyncpg

from auth1.core.postgres.connections import Deadlines, clean_dsn, server_settings
from auth1.core.postgres.queries import Queries

CONNECT_S = 5.0
_QUERIES = Queries("postgres")


async def pooler_problem(url: str, statement_cache_size: int) -> str | None:
    """Return the reason that the statement cache cannot be used with this URL, or None.

    A pooler rejects our settings of a connection, or ignores them (`ignore_startup_parameters`). Prepared statements
    would be lost, too, because each transaction may use another connection of the pooler. Raises connection errors as
    asyncpg does.
    """
    if statement_cache_size == 0:
        return None
    expected = server_settings(statement_cache_size, Deadlines())
    try:
        connection = await asyncpg.connect(
            clean_dsn(url), timeout=CONNECT_S, statement_cache_size=0, server_settings=expected
        )
    except asyncpg.ProtocolViolationError as error:
        return f"a connection pooler such as PgBouncer rejects the connection ({error})"
    try:
        milliseconds = await connection.fetchval(_QUERIES["read_statement_timeout"].text)
    finally:
        await connection.close()
    if f"{milliseconds}ms" != expected["statement_timeout"]:
        return "a connection pooler such as PgBouncer ignores the settings of the connection"
    return None
