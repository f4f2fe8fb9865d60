"""The functions find their rows by primary key once the tables are large."""

import asyncpg

from auth1.core.ids import new_id
from auth1.core.postgres.functions import functions

FILL = """
insert into users (tenant_id, id) select $1, 'usr_' || n from generate_series(1, 5000) as n
"""
MESSAGES = """
insert into messages (tenant_id, id, challenge_id, identifier, channel, state, provider, trying)
select $1, 'msg_' || n, 'ch_' || n, '+15551234567', 'sms', 'sent', 'twilio', case when n % 2 = 0 then 'twilio' end
from generate_series(1, 20000) as n
"""
IDENTIFIERS = """
insert into identifiers (tenant_id, identifier, type, code_mac, code_box, code_purpose, code_expires_at,
  code_attempts_max, challenge_ids, challenge_attempts, user_id)
select $1, '+1555' || n, 'phone', 'x', 'x', 'login', now() + interval '1 min', 5, array['ch_' || n],
  array[0], 'usr_' || n
from generate_series(1, 5000) as n
"""
CHALLENGES = """
insert into challenges (tenant_id, id, identifier, channel, expires_at)
select $1, 'ch_' || n, '+1555' || n, 'sms', now() from generate_series(1, 20000) as n
"""
SESSIONS = """
insert into sessions (tenant_id, id, user_id, expires_at, idle_at)
select $1, 'ses_' || n, 'usr_' || n, now() + interval '1 h', now() + interval '1 h' from generate_series(1, 5000) as n
"""
TABLES = ["messages", "identifiers", "challenges", "users", "sessions"]
CALLS = {
    "submit_codes": """
        select * from {schema}.submit_codes(array[row('{tenant}', '+15551', array['x'::bytea], null, 'usr_new', 'ses_0',
          60, 60, null, null, null, 'evt_1', 'evt_2', 'key', null, null, null,
          now() + interval '1 min')::{schema}.submit_code])""",
    "record_deliveries": """
        select * from {schema}.record_deliveries(array[row('{tenant}', 'msg_2', 'unknown', 'twilio', null, 'e', false,
          null, null, null, '{{}}', 'evt_3', 'key', null, null, null, null, null)::{schema}.record_delivery])""",
    "find_sessions": """
        select * from {schema}.find_sessions(array[
          row('{tenant}', 'ses_2'), row('{tenant}', 'ses_3')]::{schema}.find_session[])""",
    "refresh_sessions": """
        select * from {schema}.refresh_sessions(array[
          row('{tenant}', 'ses_2', 0, 30, 60, 'evt_4', 'key', null, null, false, now() + interval '1 min'),
          row('{tenant}', 'ses_3', 0, 30, 60, 'evt_5', 'key', null, null, false, now() + interval '1 min')
        ]::{schema}.refresh_session[])""",
}


async def test_functions_find_rows_by_primary_key(connection: asyncpg.Connection) -> None:
    tenant, schema = new_id("tn"), functions().schema
    transaction = connection.transaction()
    await transaction.start()
    for fill in (FILL, MESSAGES, IDENTIFIERS, CHALLENGES, SESSIONS):
        await connection.execute(fill, tenant)
    await connection.execute("analyze messages, identifiers, challenges, users, sessions")
    for call in CALLS.values():
        await connection.execute(call.format(schema=schema, tenant=tenant))
    scans = await connection.fetch(
        "select relname, seq_scan from pg_stat_xact_user_tables where relname = any($1)", TABLES
    )
    by_key = {
        table: await connection.fetchval(f"select pg_stat_get_xact_numscans('{table}_pkey'::regclass)")
        for table in TABLES
    }
    await transaction.rollback()

    # Filling and ANALYZE scan no table; each row that is locked or changed is found by its key.
    assert {row["relname"]: row["seq_scan"] for row in scans} == dict.fromkeys(TABLES, 0)
    assert all(by_key.values()), by_key
