"""Connections and processes that are lost under a batch: each row has its effect once, or none."""

import asyncio

import asyncpg
import pytest

from auth1.challenges.store import ChallengeOpened
from auth1.core.postgres import Postgres
from auth1.errors import Unavailable
from tests.batches.conftest import NewPostgres, count, new_users, opened_users, verdicts
from tests.faults.relay import Relay
from tests.support.process import until

OPEN_CHALLENGES, RECORD_DELIVERIES, SUBMIT_CODES = "open_challenges(", "record_deliveries(", "submit_codes("


@pytest.mark.parametrize("committed", [True, False])
async def test_lost_connection_of_a_verification_batch_creates_one_session_each(
    relayed: Postgres, relay: Relay, database: asyncpg.Connection, committed: bool
) -> None:
    users = await opened_users(relayed, 32)
    lost = relay.hold_answer(SUBMIT_CODES) if committed else relay.hold(SUBMIT_CODES)
    lost.cut()

    results = await asyncio.gather(
        *(user.submit(relayed, b"w" * 32) for user in users[:8]), *(user.submit(relayed) for user in users[8:])
    )

    assert lost.caught.is_set()
    assert verdicts(results) == ["wrong"] * 8 + ["ok"] * 24
    assert [result.attempts_remaining for result in results[:8]] == [4] * 8
    assert await count(database, "sessions", users[0].tenant_id) == 24
    assert await count(database, "users", users[0].tenant_id) == 24
    attempts = "select sum(code_attempts) from identifiers where tenant_id = $1"
    assert await database.fetchval(attempts, users[0].tenant_id) == 32


@pytest.mark.parametrize("committed", [True, False])
async def test_lost_connection_of_an_opening_batch_creates_one_message_each(
    relayed: Postgres, relay: Relay, database: asyncpg.Connection, committed: bool
) -> None:
    users = new_users(32)
    lost = relay.hold_answer(OPEN_CHALLENGES) if committed else relay.hold(OPEN_CHALLENGES)
    lost.cut()

    results = await asyncio.gather(*(user.open(relayed) for user in users))

    assert lost.caught.is_set()
    assert all(isinstance(result, ChallengeOpened) and len(result.events) == 1 for result in results)
    for table in ("messages", "challenges", "events"):
        assert await count(database, table, users[0].tenant_id) == 32
    spent = "select sum(messages) from spending where tenant_id = $1"
    assert await database.fetchval(spent, users[0].tenant_id) == 32


@pytest.mark.parametrize("committed", [True, False])
async def test_lost_connection_of_a_delivery_batch_records_each_once(
    relayed: Postgres, relay: Relay, database: asyncpg.Connection, committed: bool
) -> None:
    users = await opened_users(relayed, 16)
    lost = relay.hold_answer(RECORD_DELIVERIES) if committed else relay.hold(RECORD_DELIVERIES)
    lost.cut()

    await asyncio.gather(*(user.record(relayed) for user in users))

    assert lost.caught.is_set()
    states = await database.fetch("select state, trying from messages where tenant_id = $1", users[0].tenant_id)
    assert [tuple(row) for row in states] == [("sent", None)] * 16


async def test_first_run_that_is_committed_after_its_connection_was_lost_counts_once(
    relayed: Postgres, relay: Relay, database: asyncpg.Connection, observer: asyncpg.Connection
) -> None:
    """The server does not notice the lost connection while the batch waits for a lock of the table."""
    users = await opened_users(relayed, 8)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and position($1 in query) > 0"

    async def one_waits() -> bool:
        return bool(await observer.fetchval(waiting, SUBMIT_CODES) == 1)

    async def all_wait() -> bool:
        # Each row looks itself up, and is repeated alone, behind its first run.
        return bool(await observer.fetchval(waiting, SUBMIT_CODES) > 1)

    async with database.transaction():
        await database.execute("lock table sessions in share mode")
        tasks = [asyncio.create_task(user.submit(relayed)) for user in users]
        await until(one_waits)
        assert relay.cut(SUBMIT_CODES) == 1
        await until(all_wait)

    assert verdicts(await asyncio.gather(*tasks)) == ["ok"] * 8
    assert await count(database, "sessions", users[0].tenant_id) == 8
    assert await count(database, "events", users[0].tenant_id) == 3 * 8


@pytest.mark.parametrize("kill", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_ended_backend_leaves_no_partial_batch(
    new_postgres: NewPostgres, database: asyncpg.Connection, observer: asyncpg.Connection, kill: str
) -> None:
    postgres = await new_postgres()
    users = await opened_users(postgres, 8)
    waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and position($1 in query) > 0"

    async def waits() -> bool:
        return await observer.fetchval(waiting, SUBMIT_CODES) is not None

    async with database.transaction():
        await database.execute("lock table sessions in share mode")
        tasks = [asyncio.create_task(user.submit(postgres)) for user in users]
        await until(waits)
        await observer.execute(f"select {kill}($1)", await observer.fetchval(waiting, SUBMIT_CODES))
        results = asyncio.gather(*tasks, return_exceptions=True)
        if kill == "pg_cancel_backend":
            await results  # a cancelled statement is not repeated
    outcomes = await results
    sessions = await count(database, "sessions", users[0].tenant_id)
    assert sessions == sum(not isinstance(one, BaseException) for one in outcomes)
    assert all(isinstance(one, Unavailable) for one in outcomes if isinstance(one, BaseException))
    again = await asyncio.gather(*(user.submit(postgres) for user in users))
    assert verdicts(again).count("ok") == 8 - sessions
    assert await count(database, "sessions", users[0].tenant_id) == 8
