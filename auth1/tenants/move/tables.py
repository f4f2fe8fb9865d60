"""The tables with rows of a tenant, from the catalogue, and the statements that move them."""

from graphlib import TopologicalSorter
from typing import NamedTuple

import asyncpg

from auth1.core.postgres import Queries, Query

_QUERIES = Queries("tenant_move")
# With a column `tenant_id`, and not moved.
NOT_MOVED = (
    "tenant_moves",  # the move itself
    "tenant_changes",  # what it has recorded
    "message_hours_next",  # one row for all tenants
)


class Table(NamedTuple):
    """A table with rows of tenants. The other fields are statements."""

    name: str
    columns: list[str]
    refers_to: list[str]
    record_changes: str
    record_deletions: str
    forget_changes: str
    forget_deletions: str
    all_rows: str
    has_rows: str
    empty: str
    changed_rows: str
    stage_name: str
    stage: str
    delete_changed: str
    release_unique: str | None
    insert_changed: str


def arguments(query: Query, **values: object) -> list[object]:
    """Return the arguments of a statement in their order."""
    return [values[name] for name in query.parameters]


async def describe_tables(connection: asyncpg.Connection, owner: str) -> list[Table]:
    """Return the tables, each after those that it refers to."""
    query = _QUERIES["describe_tables"]
    rows = await connection.fetch(query.text, *arguments(query, owner=owner, excluded=NOT_MOVED))
    tables = {row["name"]: Table(*row) for row in rows}
    order = TopologicalSorter({name: set(table.refers_to) & tables.keys() for name, table in tables.items()})
    return [tables[name] for name in order.static_order()]
