"""The content of a database."""

import asyncpg


async def dump(database: asyncpg.Connection, text: str = "") -> str:
    """Return every row of every table as text; bytea as hexadecimal digits."""
    tables = await database.fetch(
        "select format('%I', relname) as name from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition"
    )
    holds = "select t::text as row from {} t where strpos(t::text, $1) > 0 or $1 = ''"
    rows = [await database.fetch(holds.format(table["name"]), text) for table in tables]
    return "\n".join(row["row"] for found in rows for row in found)
