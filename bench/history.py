"""Fill a database with users and their history, by SQL, for `bench.scale`.

Each user has a phone number and ten old rows: two challenges, two messages, two sessions and four events, of the last
45 days. Ids sort by time and rows are inserted in the order of time, as a server would have done. So those older than
30 days are due for the purge. All messages were delivered, so they leave no work for the outbox. Indexes without a
constraint are made after the rows.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg

DAYS = 45
CHUNK = 200_000
TABLES = ("users", "identifiers", "challenges", "messages", "sessions", "events")
ROWS_PER_USER = {"users": 1, "identifiers": 1, "challenges": 2, "messages": 2, "sessions": 2, "events": 4}
# Multiplies numbers to spread neighbours; coprime to 10**8, so that phone numbers differ.
SPREAD = 7_368_787

# Of the session: the time parts of ids by hours ago, users by number from 1, and rows of history in the order of time.
_FUNCTIONS = """
create temp table hours as
  select h, substr(id_floor('x', timestamptz 'NOW' - h * interval '1 hour'), 3) as part
  from generate_series(0, DAYS * 24 + 25) as h;
analyze hours;
create function pg_temp.phone(n bigint) returns text language sql immutable as $$
  select '+49151' || lpad((n * SPREAD % 100000000)::text, 8, '0') $$;
create function pg_temp.born_ago(n bigint) returns float8 language sql immutable as $$
  select 25 + DAYS * 24 * (1 - n / USERS::float8) $$;
create function pg_temp.people(first bigint, last bigint)
returns table (n bigint, born timestamptz, user_id text, phone text) language sql stable as $$
  select n, timestamptz 'NOW' - ago * interval '1 hour', 'usr_' || part || lpad(to_hex(n), 16, '0'), pg_temp.phone(n)
  from (select n, pg_temp.born_ago(n) as ago from generate_series(first, last) as n) as numbered
  join hours on h = floor(ago)::int $$;
create function pg_temp.old(first bigint, last bigint, total bigint)
returns table (id text, moment timestamptz, user_id text, phone text) language sql stable as $$
  select own.part || lpad(to_hex(n), 16, '0'), timestamptz 'NOW' - ago * interval '1 hour',
    'usr_' || born.part || lpad(to_hex(u), 16, '0'), pg_temp.phone(u)
  from (select n, 1 + DAYS * 24 * (1 - n / total::float8) as ago, 1 + n * SPREAD % USERS as u
        from generate_series(first, last) as n) as numbered
  join hours as own on own.h = floor(ago)::int
  join hours as born on born.h = floor(pg_temp.born_ago(u))::int $$;
"""
# $1: the tenant; $2, $3: the first and last number; $4: how many there are in all.
_ROWS = {
    "users": """insert into users (tenant_id, id, created_at, last_login_at)
        select $1, user_id, born, now() - interval '1 hour'
        from pg_temp.people($2::bigint, least($3::bigint, $4::bigint))""",
    "identifiers": """insert into identifiers (tenant_id, identifier, type, user_id, sent_at)
        select $1, phone, 'phone', user_id, array[now() - interval '3 days']
        from pg_temp.people($2::bigint, least($3::bigint, $4::bigint))""",
    "challenges": """insert into challenges
          (tenant_id, id, identifier, channel, status, opened_at, expires_at, closed_at, message_id)
        select $1, 'ch_' || id, phone, 'sms', 'answered', moment, moment + interval '10 min', moment, 'msg_' || id
        from pg_temp.old($2, $3, $4)""",
    "messages": """insert into messages (tenant_id, id, challenge_id, identifier, channel, state, provider,
          provider_message_id, created_at, updated_at, attention_at, country, segments, price_microdollars,
          price_source)
        select $1, 'msg_' || id, 'ch_' || id, phone, 'sms', 'delivered', 'twilio', 'SM' || md5(id), moment, moment,
          null, 'DE', 1, 7900, 'estimate'
        from pg_temp.old($2, $3, $4)""",
    "sessions": """insert into sessions
          (tenant_id, id, user_id, created_at, last_used_at, expires_at, idle_at, channel, network)
        select $1, 'ses_' || id, user_id, moment, moment, moment + interval '90 days', moment + interval '30 days',
          'sms', '192.0.2.0/24'
        from pg_temp.old($2, $3, $4)""",
    # The oldest transaction, so that the readers take the events for sealed and do not work through millions of them.
    "events": """insert into events (tenant_id, id, type, actor, subject, data, created_at, tx)
        select $1, 'evt_' || id, 'challenge.verified', 'key', 'ch_' || id,
          jsonb_build_object('user_id', user_id, 'channel', 'sms'), moment, '3'
        from pg_temp.old($2, $3, $4)""",
}


def phone(user: int) -> str:
    """Return the phone number of a user by number, from 1."""
    return f"+49151{user * SPREAD % 10**8:08}"


async def fill(connection: asyncpg.Connection, tenant_id: str, users: int, show: Callable[[str], None]) -> int:
    """Fill the tables of a tenant; return the number of rows."""
    now = datetime.now(UTC)
    for months in range(DAYS // 28 + 1):
        await connection.execute(
            "select make_events_partition($1)", (now - timedelta(days=30 * months)).date().replace(day=1)
        )
    await connection.execute(
        "set session_replication_role = replica"
    )  # the rows are right, so no foreign key is checked
    await connection.execute("set synchronous_commit = off")
    indexes = await _drop_indexes(connection)
    text = _FUNCTIONS
    for name, value in {"NOW": now.isoformat(), "DAYS": DAYS, "SPREAD": SPREAD, "USERS": users}.items():
        text = text.replace(name, str(value))
    await connection.execute(text)
    for table in TABLES:
        rows = users * ROWS_PER_USER[table]
        for first in range(1, rows + 1, CHUNK):
            await connection.execute(_ROWS[table], tenant_id, first, min(rows, first + CHUNK - 1), rows)
        show(f"{rows:,} {table}")
    for definition in indexes:
        await connection.execute(definition)
    await connection.execute("reset session_replication_role")
    await connection.execute("reset synchronous_commit")
    for table in TABLES:
        await connection.execute(f"vacuum analyze {table}")
    return users * sum(ROWS_PER_USER.values())


async def _drop_indexes(connection: asyncpg.Connection) -> list[str]:
    """Drop the indexes of the tables that no constraint needs; return their definitions. Partitions keep theirs."""
    found = await connection.fetch(
        """select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
        from pg_index i where i.indrelid = any($1::regclass[]) and not i.indisunique""",
        [table for table in TABLES if table != "events"],
    )
    for row in found:
        await connection.execute(f"drop index {row['name']}")
    return [row["definition"] for row in found]
