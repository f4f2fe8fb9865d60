"""Most changes of a login need no new index entries (HOT updates): PostgreSQL writes and vacuums less."""

import asyncpg

from auth1.core.ids import new_id
from auth1.core.postgres import Queries
from tests.sql.conftest import Connect, NewDatabase
from tests.sql.logins import FUNCTIONS, call, new_login

LOGINS = 200
REPORT = Queries("messaging")["record_report"]
COUNTS = "select relname, n_tup_upd as updated, n_tup_hot_upd as hot from pg_stat_user_tables where n_tup_upd > 0"

# Its snapshot would keep old versions of rows, and a page that they fill takes no new version.
WITHOUT_AUTOVACUUM = """
do $$ declare name regclass; begin
  for name in select oid from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace loop
    execute format('alter table %s set (autovacuum_enabled = off)', name);
  end loop;
end $$
"""


async def updates(connection: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """Return the number of updates of each table, and how many of them were HOT."""
    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute("select pg_stat_clear_snapshot()")
    return {row["relname"]: (row["updated"], row["hot"]) for row in await connection.fetch(COUNTS)}


async def report(connection: asyncpg.Connection, tenant_id: str, message_id: str) -> None:
    """Record that a message was delivered."""
    values = dict.fromkeys(REPORT.parameters) | {
        "tenant_id": tenant_id,
        "message_id": message_id,
        "state": "delivered",
        "provider": "twilio",
        "provider_message_id": "SM1",
        "event_id": new_id("evt"),
        "actor": "twilio",
        "is_retryable": False,
    }
    await connection.fetch(REPORT.text, *(values[name] for name in REPORT.parameters))


async def test_delivery_and_report_change_no_index_of_messages(
    new_migrated_database: NewDatabase, connect: Connect
) -> None:
    url = await new_migrated_database()
    connection = await connect(url)
    tenant_id = new_id("tn")

    for _ in range(LOGINS):
        login = new_login(tenant_id)
        for name in FUNCTIONS:
            await connection.fetch(*call(name, login))
        await report(connection, tenant_id, login["message_id"])

    counts = await updates(connection)
    updated, hot = counts["messages"]
    assert updated == 2 * LOGINS
    assert hot >= 0.98 * updated  # a full page takes no new version of its rows
    assert counts["challenges"][1] >= 0.98 * LOGINS
    assert counts["spending"][1] >= 0.98 * counts["spending"][0]


async def test_login_of_a_known_user_changes_no_index_of_updated_rows(
    new_migrated_database: NewDatabase, connect: Connect
) -> None:
    url = await new_migrated_database()
    connection = await connect(url)
    await connection.execute(WITHOUT_AUTOVACUUM)
    login = new_login(new_id("tn")) | {"sends_per_hour": 0}

    async def log_in() -> None:
        ids = {"challenge_id": new_id("ch"), "message_id": new_id("msg"), "session_id": new_id("ses")}
        for name in FUNCTIONS:
            await connection.fetch(*call(name, login | ids))

    await log_in()
    before = await updates(connection)
    for _ in range(50):
        await log_in()
    after = await updates(connection)

    for table in ("users", "identifiers"):
        updated, hot = (now - then for now, then in zip(after[table], before.get(table, (0, 0)), strict=True))
        assert updated >= 50
        assert hot == updated, table
