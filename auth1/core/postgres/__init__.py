"""PostgreSQL.

pool             deadlines, statements and calls
connection_pool  open connections, and the requests that wait for one
connections      how one is made and ended, which errors mean that the database is unavailable
queries          the statements of sql/queries, with named parameters and typed rows
functions        the functions of sql/functions, in a schema for each release
transactions     transactions; statements that are repeated
migrations       sql/migrations, forward only
probe            the state of the database for health checks, on a connection of its own
"""

from auth1.core.postgres.connections import MAX_REPORTS, REPORT_S, ConnectionLost
from auth1.core.postgres.functions import Function, function
from auth1.core.postgres.pool import Postgres
from auth1.core.postgres.queries import NO_PARAMS, NoParams, Queries, Query, Statement, sql_directory
from auth1.core.postgres.transactions import Transaction, repeat_once

__all__ = [
    "MAX_REPORTS",
    "NO_PARAMS",
    "REPORT_S",
    "ConnectionLost",
    "Function",
    "NoParams",
    "Postgres",
    "Queries",
    "Query",
    "Statement",
    "Transaction",
    "function",
    "repeat_once",
    "sql_directory",
]
