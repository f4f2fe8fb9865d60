"""Read the plans of all statements that a call executes, also of those inside functions.

PostgreSQL prints each plan that it makes to the client (`debug_print_plan`). So this needs no extension, and works on
every version.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import asyncpg

from auth1.core.postgres import Queries
from auth1.core.postgres.functions import functions
from tests.sql.logins import call

_RELATION = re.compile(r":rtekind (\d+)(?: :relid (\d+))?")
_SEQUENTIAL_SCAN = re.compile(r"\{SEQSCAN .*?scanrelid (\d+)")
_INDEX = re.compile(r":indexid (\d+)")
_PARTITION = re.compile(r"^(events|decisions)_(rest|\d{4}_\d{2}(_\d{2})?)")
_READ = "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int from pg_stat_xact_user_tables"


class Executed(NamedTuple):
    """The work of a call: the indexes and sequential scans of its plans, its planned statements, and the rows it read.

    Statements of functions count if they read or write a table.
    """

    indexes: set[str]
    scanned: set[str]
    statements: int
    rows_read: int


class PlanReader:
    """Executes calls on a connection of a superuser, whose plans are all generic or all custom."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._names: dict[int, str] = {}
        self._details: list[str] = []

    async def start(self, mode: str) -> None:
        """Choose the plans: `force_generic_plan` or `force_custom_plan`."""
        rows = await self._connection.fetch(
            "select oid, relname from pg_class where relnamespace = 'public'::regnamespace"
        )
        self._names = {row["oid"]: _PARTITION.sub(r"\1", row["relname"]) for row in rows}
        await functions().warm(self._connection)
        self._connection.add_log_listener(self._listen)
        await self._connection.execute(f"set plan_cache_mode = {mode}")

    async def query(self, file: str, name: str, values: Mapping[str, Any]) -> Executed:
        """Execute a statement of `sql/queries`."""
        query = Queries(file)[name]
        return await self._execute(query.text, [values[parameter] for parameter in query.parameters])

    async def function(self, name: str, *logins: Mapping[str, Any]) -> Executed:
        """Execute a function of logins."""
        text, requests = call(name, *logins)
        return await self._execute(text, [requests])

    def _listen(self, _connection: object, message: Any) -> None:
        if message.message == "plan:":
            self._details.append(message.detail)

    async def _execute(self, text: str, arguments: list[Any]) -> Executed:
        # In one transaction, because its end flushes the counters.
        async with self._connection.transaction():
            read_before: int = await self._connection.fetchval(_READ)
            self._details.clear()
            await self._connection.execute("set client_min_messages = log; set debug_print_plan = on")
            await self._connection.fetch(text, *arguments)
            await self._connection.execute("set debug_print_plan = off; set client_min_messages = notice")
            rows_read = await self._connection.fetchval(_READ) - read_before
        plans = [" ".join(detail.split()) for detail in self._details]
        indexes = {self._names[int(oid)] for plan in plans for oid in _INDEX.findall(plan) if int(oid) in self._names}
        scanned = {name for plan in plans for name in self._scans(plan)}
        return Executed(indexes, scanned, sum(map(self._has_tables, plans)), rows_read)

    def _scans(self, plan: str) -> list[str]:
        relations = _RELATION.findall(plan)
        scanned = [relations[int(number) - 1][1] for number in _SEQUENTIAL_SCAN.findall(plan)]
        return [self._names[int(oid)] for oid in scanned if oid and int(oid) in self._names]

    def _has_tables(self, plan: str) -> bool:
        return any(oid and int(oid) in self._names for _, oid in _RELATION.findall(plan))
