"""PostgreSQL.

pool             deadlines, statements and calls
clock            the time in which all machines agree
connection_pool  open connections, and the requests that wait for one
connections      how one is made and ended, which errors mean that the database is unavailable
hosts            connects to the suitable host of several
queries          the statements of sql/queries, with named parameters and typed rows; calls of functions
functions        installs the functions of sql/functions, in a schema for each release
batches          group commit: requests of several callers share a statement; repeats after a lost connection
replica          the lag of a replica, and whether it serves reads
transactions     transactions; the limit of long reads
migrations       sql/migrations, forward only
pooler           detects PgBouncer where the settings do not allow for it
probe            the state of the database for health checks, on a connection of its own
"""

from auth1.core.postgres.batches import Batched, find_nothing, repeat_once
from auth1.core.postgres.connections import MAX_REPORTS, REPORT_S, ConnectionLost
from auth1.core.postgres.functions import function
from auth1.core.postgres.pool import Postgres
from auth1.core.postgres.queries import NO_PARAMS, Function, NoParams, Queries, Query, Statement, sql_directory
from auth1.core.postgres.replica import Replica
from auth1.core.postgres.transactions import Transaction

__all__ = [
    "MAX_REPORTS",
    "NO_PARAMS",
    "REPORT_S",
    "Batched",
    "ConnectionLost",
    "Function",
    "NoParams",
    "Postgres",
    "Queries",
    "Query",
    "Replica",
    "Statement",
    "Transaction",
    "find_nothing",
    "function",
    "repeat_once",
    "sql_directory",
]
